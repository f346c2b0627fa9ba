set confirm off
set pagination off
set width 0
set print elements 16
set backtrace limit 64
set debuginfod enabled off
handle all nostop noprint pass
handle SIGSEGV SIGABRT SIGBUS SIGILL SIGFPE stop print nopass
