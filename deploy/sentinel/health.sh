#!/bin/sh
# Does this sentinel answer, and could a failover be led (ready)?
set -eu

PORT=${PORT:-26379}
SECRETS=${SECRETS:-/run/secrets}
TLS_DIR=${TLS_DIR:-/tls}

ask() {
	set -- -p "$PORT" "$@"
	[ "${TLS:-no}" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key" "$@"
	timeout 3 redis-cli "$@" 2>/dev/null | tr -d '\r'
}

case ${1:-} in
live) [ -n "$(ask ping)" ] ;;
ready)
	REDISCLI_AUTH=$(cat "$SECRETS/app")
	export REDISCLI_AUTH
	ask --user app sentinel ckquorum "${MASTER_NAME:-freight-master}" | grep -q '^OK'
	;;
*)
	echo "usage: health.sh live|ready" >&2
	exit 64
	;;
esac
