#!/bin/sh
# Captures what goes through one port of the loopback, from when FOLDER is there until FOLDER/stop is; FOLDER/captured
# says that the file is whole. Runs as root whose one power is to capture: FOLDER must be open to all.
# Usage: capture.sh FOLDER PORT KIB
until [ -d "$1" ]; do sleep 0.05; done
dumpcap -q -p -i lo -f "port $2" -a "filesize:$3" -w "$1/capture.pcapng" 2> "$1/dumpcap.log" &
pid=$!
while [ ! -e "$1/stop" ] && kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
kill -TERM "$pid" 2> /dev/null
wait "$pid"
chmod 644 "$1/capture.pcapng"
: > "$1/captured"
# The container outlives its program: a volume's other users see nothing end.
exec sleep infinity
