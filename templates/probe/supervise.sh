#!/bin/sh
# PID 1's child in the server's container: one HAProxy process per cell, so that a crash takes one
# cell with it. Writes what the machine and the binary say of themselves, and of each process the
# log, the pid and, once it ended, its exit status (128 + signal number).
# Usage: supervise.sh FOLDER LOADER [EMULATOR...]
# LOADER: the C library's, which says what a program sees of its machine; EMULATOR: stands before each program
cd "$1" || exit 1
loader=$2
shift 2
# No file of ours grows beyond 8 MiB (16384 blocks of 512 bytes): a write beyond is an error for who writes, as on a
# full disk, and the signal that would end it is ignored. So a HAProxy that logs without end fills no disk, and lives on.
trap '' XFSZ
ulimit -f 16384
# Where a sanitizer was compiled in. Leaks are looked for with ptrace, which no container here has.
export ASAN_OPTIONS=detect_leaks=0
for cell in cells/*/; do
  (
    "$@" ./haproxy -db -f "${cell}haproxy.cfg" > "${cell}haproxy.log" 2>&1 &
    echo "$!" > "${cell}pid"
    wait "$!"
    echo "$?" > "${cell}status.new"
    mv "${cell}status.new" "${cell}status"
  ) 2> "${cell}shell.log" &
done
# Beside what follows: glibc ends with what CPUID says of each processor, which nothing here reads, and for which a
# virtual machine takes a quarter of a second.
"$@" "$loader" --list-diagnostics 2>&1 | {
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in x86.cpu_features.preferred.* | x86.processor*) break ;; esac
    printf '%s\n' "$line"
  done > cpu.new
  mv cpu.new cpu.txt
} &
"$@" ./haproxy -vv > vv.txt 2>&1
echo "$?" > vv.status
wait
# The container, and with it the network that the client has joined, outlives the last process.
exec sleep infinity
