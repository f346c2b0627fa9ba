#!/bin/sh
# PID 1's child in the server's container: one HAProxy process per cell, so that a crash takes one
# cell with it. Writes what the machine and the binary say of themselves, and of each process the
# log, the pid and, once it ended, its exit status (128 + signal number).
cd "${1:-/work}" || exit 1
for cell in cells/*/; do
  (
    ./haproxy -db -f "${cell}haproxy.cfg" > "${cell}haproxy.log" 2>&1 &
    echo "$!" > "${cell}pid"
    wait "$!"
    echo "$?" > "${cell}status.new"
    mv "${cell}status.new" "${cell}status"
  ) 2> "${cell}shell.log" &
done
uname -m > machine.txt
LD_SHOW_AUXV=1 uname -m > auxv.txt
./haproxy -vv > vv.txt 2>&1
echo "$?" > vv.status
wait
# The container, and with it the network that the client has joined, outlives the last process.
exec sleep infinity
