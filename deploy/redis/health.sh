#!/bin/sh
# health.sh live: the process answers something; one that loads its data, or asks for
# a password, lives. health.sh ready: it takes reads, and a replica has its primary.
# The password is read from a file, and stands on no command line.
set -eu

PORT=${PORT:-6379}
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
	REDISCLI_AUTH=$(cat "$SECRETS/replica")
	export REDISCLI_AUTH
	info=$(ask --user replica info)
	echo "$info" | grep -q '^loading:0' || exit 1
	echo "$info" | grep -q '^role:master' || echo "$info" | grep -q '^master_link_status:up'
	;;
*)
	echo "usage: health.sh live|ready" >&2
	exit 64
	;;
esac
