#!/bin/sh
# Puts the key log into the capture, which then opens in Wireshark as it is (a Decryption Secrets Block of pcapng);
# lists its packets in packets.txt; prints the number of the suite in each ServerHello over UDP. Without any key:
# those of QUIC's Initial packets follow from the connection id (RFC 9001, 5.2).
# Usage: read_capture.sh FOLDER PORT LINES
cd "$1" || exit 1
export HOME=/tmp
if [ -s keys.log ]; then
  editcap --inject-secrets tls,keys.log capture.pcapng with-keys.pcapng && mv -f with-keys.pcapng capture.pcapng
fi
tshark -n -r capture.pcapng -d "udp.port==$2,quic" -c "$3" > packets.txt
tshark -n -r capture.pcapng -d "udp.port==$2,quic" -c 50 -Y 'udp && tls.handshake.type == 2' \
  -T fields -e tls.handshake.ciphersuite
