#!/bin/sh
# Starts one Redis server of a set. Settings are redis.conf and users.acl beside this
# file; what is a node's own comes from the environment and from files of secrets.
#
# Its main work is to say which role the server begins with, since a server that
# begins as primary because nobody told it otherwise is how data are lost:
#
#   * The sentinels know who is the primary: then so it is. They do not answer: then
#     whoever of the others is primary. Nobody is: the role that this server had; at
#     the very first start the first of PEERS is the primary.
#   * A server that has no data does not become primary while another may have some.
#     It waits until the sentinels have promoted one of those, and follows that.
#
# In a Cluster the nodes know their roles; there a primary without its data waits
# until its shard has another.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
MODE=${MODE:-sentinel}                # sentinel, or cluster
HOST=${HOST:-$(hostname)}             # the name by which the others reach this server
PORT=${PORT:-6379}
DATA=${DATA:-/data}
SECRETS=${SECRETS:-/run/secrets}      # files: app mover operator replica sentinel metrics
PEERS=${PEERS:-}                      # host:port of every data server, this one too
SENTINELS=${SENTINELS:-}              # host:port of every sentinel
QUORUM=${QUORUM:-2}
MASTER_NAME=${MASTER_NAME:-freight-master}
MAXMEMORY=${MAXMEMORY:-384mb}         # three quarters of what the server may take
PATIENCE=${PATIENCE:-30}              # s that a first primary waits for the others
TLS=${TLS:-no}                        # yes: TLS alone, with TLS_DIR/{ca.crt,tls.crt,tls.key}
TLS_DIR=${TLS_DIR:-/tls}

say() { echo "start.sh: $*" >&2; }
secret() { cat "$SECRETS/$1"; }

# ask HOST:PORT USER COMMAND... puts a question to another server.
ask() {
	addr=$1 user=$2
	shift 2
	set -- -h "${addr%:*}" -p "${addr##*:}" --user "$user" "$@"
	[ "$TLS" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key" "$@"
	REDISCLI_AUTH=$(secret "$user") timeout 2 redis-cli "$@" 2>/dev/null | tr -d '\r' || true
}

others() { for p in $PEERS; do [ "$p" = "$HOST:$PORT" ] || echo "$p"; done; }

# named_by_sentinels prints the primary that QUORUM of them name.
named_by_sentinels() {
	for s in $SENTINELS; do
		ask "$s" sentinel sentinel get-master-addr-by-name "$MASTER_NAME" | paste -sd: -
	done | grep -E '^[^ ]+:[0-9]+$' | sort | uniq -c | while read -r n addr; do
		[ "$n" -lt "$QUORUM" ] || echo "$addr"
	done | head -n 1
}

primary_of_others() {
	for p in $(others); do
		ask "$p" replica info replication | grep -q '^role:master' && echo "$p" && return
	done
	true
}

has_data() {
	[ -s "$DATA/dump.rdb" ] || [ -n "$(find "$DATA/appendonlydir" -name '*.aof' -size +0 2>/dev/null | head -n 1)" ] ||
		[ -n "$(find "$DATA/appendonlydir" -name '*.rdb' -size +0 2>/dev/null | head -n 1)" ]
}

others_answer() { for p in $(others); do ask "$p" replica ping | grep -q PONG || return 1; done; }

# others_may_have_data: one says so, or the sentinels know of replicas that may.
others_may_have_data() {
	for p in $(others); do
		ask "$p" replica info keyspace | grep -q '^db' && return
	done
	for s in $SENTINELS; do
		ask "$s" sentinel sentinel replicas "$MASTER_NAME" | grep -q runid && return
	done
	return 1
}

# may_lead: this server has data, or nobody has.
may_lead() {
	has_data && return
	began=$(date +%s)
	until others_answer || [ $(($(date +%s) - began)) -ge "$PATIENCE" ]; do sleep 1; done
	! others_may_have_data
}

# role prints "primary" or "replica HOST PORT", or nothing while that is not known.
role() {
	who=$(named_by_sentinels)
	[ -n "$who" ] || who=$(primary_of_others)
	if [ -z "$who" ] && [ -f "$DATA/node.conf" ]; then
		who=$(sed -n 's/^replicaof \([^ ]*\) \([0-9]*\)$/\1:\2/p' "$DATA/node.conf" | tail -n 1)
		[ -n "$who" ] || who=$HOST:$PORT
	fi
	[ -n "$who" ] || who=${PEERS%% *}
	[ -n "$who" ] || who=$HOST:$PORT
	if [ "$who" != "$HOST:$PORT" ]; then
		echo "replica ${who%:*} ${who##*:}"
	elif may_lead; then
		echo primary
	fi
}

wait_for_role() {
	until r=$(role) && [ -n "$r" ]; do
		say "this server is named as the primary, but has no data, and others may have some: waiting until one of them is promoted"
		sleep 1
	done
	echo "$r"
}

# keeps_slots: the others of a Cluster hold this node for the owner of slots.
keeps_slots() {
	id=$(sed -n 's/^\([0-9a-f]*\) .*myself,.*/\1/p' "$DATA/nodes.conf")
	for p in $(others); do
		line=$(ask "$p" replica cluster nodes | grep "^$id ") || continue
		[ "$(echo "$line" | wc -w)" -gt 8 ] && return 0
		return 1
	done
	return 0 # nobody says otherwise
}

wait_for_shard() {
	[ -s "$DATA/nodes.conf" ] || return 0
	if has_data || ! grep -q 'myself,master' "$DATA/nodes.conf"; then return 0; fi
	[ "$(grep -c 'connected' "$DATA/nodes.conf")" -gt 1 ] || return 0 # not of a Cluster yet
	while keeps_slots; do
		say "this node is a primary of the Cluster, but has no data: waiting until its replica has been promoted"
		sleep 1
	done
}

# write_users fills in the secrets' hashes. While users.acl and the secrets are what
# they were the file is left alone: ACL SAVE may have changed it.
write_users() {
	rules=$(sed '/^#/d; /^$/d' "$here/users.acl")
	for name in app mover operator replica sentinel metrics; do
		hash=$(printf %s "$(secret "$name")" | sha256sum | cut -d' ' -f1)
		rules=$(echo "$rules" | sed "s/{$name}/$hash/")
	done
	sum=$(echo "$rules" | sha256sum)
	[ -f "$DATA/users.acl" ] && [ "$(cat "$DATA/users.sum" 2>/dev/null)" = "$sum" ] && return
	echo "$rules" >"$DATA/users.acl"
	echo "$sum" >"$DATA/users.sum"
}

# write_settings makes the node's own file, which CONFIG REWRITE may change.
write_settings() {
	{
		echo "include $here/redis.conf"
		[ "$MODE" = sentinel ] || echo "include $here/cluster.conf"
		if [ "$TLS" = no ]; then
			echo "port $PORT"
		else
			echo "port 0"
			echo "tls-port $PORT"
			echo "tls-replication yes"
			[ "$MODE" = sentinel ] || echo "tls-cluster yes"
			echo "tls-auth-clients optional"
			echo "tls-ca-cert-file $TLS_DIR/ca.crt"
			echo "tls-cert-file $TLS_DIR/tls.crt"
			echo "tls-key-file $TLS_DIR/tls.key"
		fi
		echo "dir $DATA"
		echo "aclfile $DATA/users.acl"
		echo "maxmemory $MAXMEMORY"
		echo "masteruser replica"
		echo "masterauth $(secret replica)"
		if [ "$MODE" = sentinel ]; then
			echo "replica-announce-ip $HOST"
			echo "replica-announce-port $PORT"
			case $1 in replica*) echo "replicaof ${1#replica }" ;; esac
		else
			echo "cluster-announce-hostname $HOST"
		fi
	} >"$DATA/node.conf.new"
	mv "$DATA/node.conf.new" "$DATA/node.conf"
}

umask 077
if [ "$MODE" = sentinel ]; then
	begin=$(wait_for_role)
else
	wait_for_shard
	begin=node
fi
say "$HOST:$PORT begins as $begin"
write_users
write_settings "$begin"
exec "${REDIS_SERVER:-redis-server}" "$DATA/node.conf"
