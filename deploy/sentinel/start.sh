#!/bin/sh
# Starts one sentinel. Settings are sentinel.conf and users.acl beside this file; a
# sentinel's own come from the environment and from files of secrets. What it has
# learned (who is the primary, who else there is, the number of the last failover) is
# carried over from its last life; without DATA kept it begins with PRIMARY.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
HOST=${HOST:-$(hostname)} # the name by which the others reach this sentinel
PORT=${PORT:-26379}
DATA=${DATA:-/data}
SECRETS=${SECRETS:-/run/secrets} # files: app operator sentinel
PRIMARY=${PRIMARY:-redis-0:6379} # the first primary
PEERS=${PEERS:-$PRIMARY}         # host:port of every data server
QUORUM=${QUORUM:-2}
MASTER_NAME=${MASTER_NAME:-freight-master}
TLS=${TLS:-no} # yes: TLS alone, with TLS_DIR/{ca.crt,tls.crt,tls.key}
TLS_DIR=${TLS_DIR:-/tls}
own=$DATA/sentinel.conf

say() { echo "start.sh: $*" >&2; }

# ask HOST:PORT COMMAND... puts a question to a data server.
ask() {
	addr=$1
	shift
	set -- -h "${addr%:*}" -p "${addr##*:}" --user sentinel "$@"
	[ "$TLS" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key" "$@"
	REDISCLI_AUTH=$(cat "$SECRETS/sentinel") timeout 2 redis-cli "$@" 2>/dev/null | tr -d '\r' || true
}

# primary prints whom to watch: a sentinel that has lost what it knew looks for
# the primary that is there before it believes PRIMARY.
primary() {
	for p in $PEERS; do
		ask "$p" info replication | grep -q '^role:master' && echo "$p" && return
	done
	echo "$PRIMARY"
}

learned() {
	[ ! -f "$own" ] || grep -E "^sentinel (myid|monitor|config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) " "$own" || true
}

write_users() {
	rules=$(sed '/^#/d; /^$/d' "$here/users.acl")
	for name in app operator sentinel; do
		hash=$(printf %s "$(cat "$SECRETS/$name")" | sha256sum | cut -d' ' -f1)
		rules=$(echo "$rules" | sed "s/{$name}/$hash/")
	done
	echo "$rules" >"$DATA/users.acl"
}

write_settings() {
	before=$(learned)
	if [ -z "$before" ]; then first=$(primary); else first=; fi
	{
		if [ -n "$before" ]; then
			echo "$before"
			sed '/^#/d; /^sentinel monitor/d' "$here/sentinel.conf"
		else
			sed '/^#/d' "$here/sentinel.conf"
		fi | sed "s/{master}/$MASTER_NAME/g; s/{primary}/${first%:*} ${first##*:}/; s/{quorum}/$QUORUM/; s|{scripts}|$here|; s/{secret}/$(cat "$SECRETS/sentinel")/"
		if [ "$TLS" = no ]; then
			echo "port $PORT"
		else
			echo "port 0"
			echo "tls-port $PORT"
			echo "tls-replication yes"
			echo "tls-auth-clients optional"
			echo "tls-ca-cert-file $TLS_DIR/ca.crt"
			echo "tls-cert-file $TLS_DIR/tls.crt"
			echo "tls-key-file $TLS_DIR/tls.key"
		fi
		echo "dir $DATA"
		echo "aclfile $DATA/users.acl"
		echo "sentinel announce-ip $HOST"
		echo "sentinel announce-port $PORT"
		echo "sentinel sentinel-user sentinel"
		echo "sentinel sentinel-pass $(cat "$SECRETS/sentinel")"
	} >"$own.new"
	mv "$own.new" "$own"
	say "$HOST:$PORT watches $(sed -n 's/^sentinel monitor //p' "$own")"
}

umask 077
write_users
write_settings
exec "${REDIS_SERVER:-redis-server}" "$own" --sentinel
