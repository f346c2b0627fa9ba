#!/bin/sh
# PID 1's child in the server's container: one HAProxy process per cell, so that a crash takes one
# cell with it. Writes what the machine and the binary say of themselves, and of each process the
# log, the pid and, once it ended, its exit status (128 + signal number).
# Usage: supervise.sh FOLDER [EMULATOR...]     EMULATOR: stands before each program that runs on its CPU
cd "${1:-/work}" || exit 1
# No file of ours grows beyond 8 MiB (16384 blocks of 512 bytes): a write beyond is an error for who writes, as on a
# full disk, and the signal that would end it is ignored. So a HAProxy that logs without end fills no disk, and lives on.
trap '' XFSZ
ulimit -f 16384
[ $# = 0 ] || shift
for cell in cells/*/; do
  (
    "$@" ./haproxy -db -f "${cell}haproxy.cfg" > "${cell}haproxy.log" 2>&1 &
    echo "$!" > "${cell}pid"
    wait "$!"
    echo "$?" > "${cell}status.new"
    mv "${cell}status.new" "${cell}status"
  ) 2> "${cell}shell.log" &
done
uname -m > machine.txt
"$@" /usr/lib/*-linux-gnu/ld*.so.[0-9] --list-diagnostics > cpu.txt 2>&1
"$@" ./haproxy -vv > vv.txt 2>&1
echo "$?" > vv.status
wait
# The container, and with it the network that the client has joined, outlives the last process.
exec sleep infinity
