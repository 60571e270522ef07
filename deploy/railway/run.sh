#!/bin/sh
# run.sh SCRIPT makes of Railway's variables what the start scripts read: secrets as
# files (SECRET_APP becomes the file app), the private name as HOST. Volumes belong to
# root there, so they are handed to the user redis before he takes over.
set -eu

script=$1
SECRETS=${SECRETS:-/dev/shm/secrets}
DATA=${DATA:-/data}
HOST=${HOST:-${RAILWAY_PRIVATE_DOMAIN:?the private network is off}}
export SECRETS DATA HOST
umask 077
value=
mkdir -p "$SECRETS" "$DATA"
for name in app mover operator replica sentinel metrics; do
	variable=SECRET_$(echo "$name" | tr '[:lower:]' '[:upper:]')
	eval "value=\${$variable:-}"
	[ -n "$value" ] || continue
	printf %s "$value" >"$SECRETS/$name"
	unset "$variable"
done
[ "$(id -u)" = 0 ] || exec /bin/sh "$script"
chown -R redis "$SECRETS" "$DATA"
exec su -s /bin/sh redis -c "exec /bin/sh $script"
