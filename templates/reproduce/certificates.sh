#!/bin/sh
# Makes ca.pem, and server.pem with key and certificate, for the name $1, in this folder. They are worth nothing
# elsewhere: the authority's own key is thrown away.
set -eu
umask 077
cat > request.cnf <<REQUEST
[req]
distinguished_name = name
prompt = no
[name]
CN = $1
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
subjectAltName = DNS:$1
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
REQUEST
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
# shellcheck disable=SC2086 # several options
openssl req -x509 -days 3650 -config request.cnf -extensions ca -subj '/CN=reproducer CA' $key -keyout ca.key -out ca.pem
# shellcheck disable=SC2086
openssl req -x509 -days 3650 -config request.cnf -extensions server -CA ca.pem -CAkey ca.key $key \
  -keyout server.key -out server.crt
cat server.key server.crt > server.pem
rm -f ca.key server.key server.crt request.cnf
