#!/bin/sh
# Makes one Cluster of the nodes in PEERS, three or more primaries with a replica each.
# Run again it does nothing: a Cluster that is there is left alone.
set -eu

PEERS=${PEERS:?host:port of every node}
SECRETS=${SECRETS:-/run/secrets}
REPLICAS=${REPLICAS:-1}
TLS=${TLS:-no}
TLS_DIR=${TLS_DIR:-/tls}
REDISCLI_AUTH=$(cat "$SECRETS/operator")
export REDISCLI_AUTH

cli() {
	[ "$TLS" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key" "$@"
	redis-cli --user operator "$@"
}

# A node's name is looked up here: nodes are introduced to each other by address.
addresses() {
	for p in $PEERS; do
		address=$(getent hosts "${p%:*}" | awk '{print $1; exit}')
		echo "${address:-${p%:*}}:${p##*:}"
	done
}

state() {
	first=${PEERS%% *}
	cli -h "${first%:*}" -p "${first##*:}" cluster info | tr -d '\r' | grep -E "^$1:" | cut -d: -f2
}

if [ "$(state cluster_known_nodes)" -gt 1 ]; then
	echo "create-cluster.sh: there is a Cluster of $(state cluster_known_nodes) nodes"
else
	# shellcheck disable=SC2046 # one address a word
	cli --cluster create $(addresses) --cluster-replicas "$REPLICAS" --cluster-yes
fi
until [ "$(state cluster_state)" = ok ]; do sleep 1; done
echo "create-cluster.sh: $(state cluster_slots_assigned) slots are served by $(state cluster_size) primaries"
