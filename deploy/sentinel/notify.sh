#!/bin/sh
# A sentinel runs this for each of its warnings: notify.sh EVENT DESCRIPTION. It logs,
# and tells NOTIFY_URL as JSON where one is set (a chat's webhook, an SNS bridge). It
# ends well in any case: a sentinel runs a script that fails again, up to ten times.
set -eu

event=$(printf %s "${1:-}" | tr -cd '[:alnum:]+-')
text=$(printf %s "${2:-}" | tr -cd '[:alnum:] .:_@#/=,-')
case $event in
+sdown | -sdown | +odown | -odown | +switch-master | +failover-end | -failover-abort* | +tilt) ;;
*) exit 0 ;;
esac
echo "notify.sh: $event $text" >&2
[ -n "${NOTIFY_URL:-}" ] || exit 0
body=$(printf '{"text":"redis %s: %s %s"}' "${HOST:-$(hostname)}" "$event" "$text")
if command -v curl >/dev/null; then
	curl -fsS -m 10 -H 'Content-Type: application/json' -d "$body" "$NOTIFY_URL" >/dev/null
else
	wget -q -T 10 -O /dev/null --header 'Content-Type: application/json' --post-data "$body" "$NOTIFY_URL"
fi || echo "notify.sh: $NOTIFY_URL did not take it" >&2
