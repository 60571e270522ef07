#!/bin/sh
# create-cluster.sh makes one Cluster of the nodes in PEERS, three or more primaries with
# a replica each. Run again it makes nothing: nodes of a Cluster that is there are told
# each other's addresses, since nodes know each other by these alone, and containers that
# were all away come back with others. With STAY=yes it goes on to do so, until it is
# stopped. create-cluster.sh ok: are all slots served?
set -eu

PEERS=${PEERS:?host:port of every node}
SECRETS=${SECRETS:-/run/secrets}
REPLICAS=${REPLICAS:-1}
STAY=${STAY:-no}
TLS=${TLS:-no}
TLS_DIR=${TLS_DIR:-/tls}
first=${PEERS%% *}
REDISCLI_AUTH=$(cat "$SECRETS/operator")
export REDISCLI_AUTH

cli() {
	[ "$TLS" = no ] || set -- --tls --cacert "$TLS_DIR/ca.crt" --cert "$TLS_DIR/tls.crt" --key "$TLS_DIR/tls.key" "$@"
	redis-cli --user operator "$@"
}

ask_first() { cli -h "${first%:*}" -p "${first##*:}" "$@" | tr -d '\r'; }

# A node's name is looked up here: nodes are introduced to each other by address.
addresses() {
	for p in $PEERS; do
		address=$(getent hosts "${p%:*}" | awk '{print $1; exit}')
		echo "${address:-${p%:*}}:${p##*:}"
	done
}

state() { ask_first cluster info | grep -E "^$1:" | cut -d: -f2; }

served() { [ "$(state cluster_state)" = ok ]; }

introduce() {
	for a in $(addresses); do ask_first cluster meet "${a%:*}" "${a##*:}" >/dev/null; done
}

wait_for_slots() {
	tries=0
	until served; do
		[ $((tries += 1)) -gt 1 ] && [ "$(state cluster_known_nodes)" -gt 1 ] && introduce
		sleep 2
	done
}

if [ "${1:-}" = ok ]; then
	served
	exit
fi
until known=$(state cluster_known_nodes) && [ -n "$known" ]; do sleep 1; done
if [ "$known" -gt 1 ]; then
	echo "create-cluster.sh: there is a Cluster of $known nodes"
	introduce
else
	# shellcheck disable=SC2046 # one address a word
	cli --cluster create $(addresses) --cluster-replicas "$REPLICAS" --cluster-yes
fi
wait_for_slots
echo "create-cluster.sh: $(state cluster_slots_assigned) slots are served by $(state cluster_size) primaries"
while [ "$STAY" = yes ]; do
	sleep 5
	wait_for_slots
done
