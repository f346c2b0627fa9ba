#!/bin/sh
# In place of supervise.sh where a server that crashed is run once more, under gdb: one process, whose backtrace
# is kept. The status is written when gdb is done with it.
# Usage: debug.sh FOLDER LOADER [EMULATOR...], as supervise.sh
cd "$1" || exit 1
shift 2
trap '' XFSZ
ulimit -f 16384
# A report of a sanitizer is followed by SIGABRT, at which gdb stops.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1
# Was said when the cell was probed, and the driver waits for it.
: > cpu.txt
: > vv.txt
echo 0 > vv.status
cell=cells/000
kept=60000 # bytes: the driver hands on the end of a longer file, and the crash stands at the beginning
{
  if [ -d /target ]; then # the image has an emulator, and the target's libraries there
    "$@" -g "$cell/gdb.sock" ./haproxy -db -f "$cell/haproxy.cfg" > "$cell/haproxy.log" 2>&1 &
    emulator=$!
    until [ -S "$cell/gdb.sock" ] || ! kill -0 "$emulator" 2> /dev/null; do sleep 0.1; done
    gdb-multiarch --version | head -n 1
    gdb-multiarch -nx -batch -ex 'set sysroot /target' -ex "target remote $cell/gdb.sock" \
      -ex 'source handle.gdb' -ex continue -x backtrace.gdb ./haproxy < /dev/null
    kill -9 "$emulator" 2> /dev/null
  else
    gdb --version | head -n 1
    # A container may not turn it off for a child; for a remote target gdb cannot, and calls it an error.
    "$@" gdb -nx -batch -ex 'source handle.gdb' -ex 'set disable-randomization off' \
      -ex "run -db -f $cell/haproxy.cfg > $cell/haproxy.log 2>&1" -x backtrace.gdb ./haproxy < /dev/null
  fi
} 2>&1 | head -c "$kept" > "$cell/backtrace.txt"
echo 139 > "$cell/status.new"
mv "$cell/status.new" "$cell/status"
exec sleep infinity
