#!/bin/sh
# What one would write without matrixctl: per cell one server and one client container, and the same
# requests. It judges less (no digests, no attestation, no hardening) and says the time of its curls.
# Usage: plain_loop.sh FILES.tar SERVER_IMAGE CLIENT_IMAGE [EMULATOR...]
# FILES.tar holds haproxy and, per cell, cells/NNN/{haproxy.cfg,port,h3.curlrc,control.curlrc}.
set -eu
files=$1 server_image=$2 client_image=$3
shift 3
name=matrixctl-bench-$$
trap 'docker rm --force "$name-server" "$name-client" > /dev/null 2>&1 || true
      docker volume rm --force "$name" > /dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM

docker volume create --label matrixctl=bench "$name" > /dev/null
docker create --name "$name-client" --label matrixctl=bench --volume "$name:/work" "$client_image" > /dev/null
docker cp - "$name-client:/work" < "$files" > /dev/null
docker rm "$name-client" > /dev/null

for folder in $(tar -tf "$files" | sed -n 's,^\(cells/[0-9][0-9]*\)/*$,\1,p' | sort -u); do
  docker run --detach --name "$name-server" --label matrixctl=bench --network none \
    --user 65534:65534 --volume "$name:/work" "$server_image" \
    "$@" /work/haproxy -db -f "/work/$folder/haproxy.cfg" > /dev/null
  docker run --rm --name "$name-client" --label matrixctl=bench --network "container:$name-server" \
    --user 65534:65534 --volume "$name:/work" --env FOLDER="/work/$folder" "$client_image" sh -euc '
      listens() { grep -q "$(printf ":%04X " "$1")" "/proc/net/$2"; }
      origin=$(cat /work/origin.port) port=$(cat "$FOLDER/port")
      python3 /work/origin.py "$origin" /work > /dev/null 2>&1 &
      until listens "$port" udp && listens "$origin" tcp; do sleep 0.01; done
      started=$(date +%s%N)
      for transport in h3 control; do
        curl --config "$FOLDER/$transport.curlrc" > "$FOLDER/$transport.json"
      done
      ended=$(date +%s%N)
      answers=$(cat "$FOLDER"/*.json | grep -c "\"http_code\":200")
      [ "$answers" = 6 ] || { echo "$FOLDER: $answers of 6 answers are good" >&2; exit 1; }
      echo "$((ended - started))"'
  docker rm --force "$name-server" > /dev/null
done
