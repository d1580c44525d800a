#!/bin/sh
# Makes the certificates of the TLS tests, good for a hundred years. The keys are public and protect nothing.
set -e
cd "$(dirname "$0")"
for name in ca other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=cyxcloud test $name" -keyout "$name.key" -out "$name.pem" 2>/dev/null
done
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=node" -keyout node.key -out node.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE' > ext
openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile ext -out node.pem 2>/dev/null
rm -f node.csr ext ca.key ca.srl
