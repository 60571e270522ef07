#!/bin/sh
# The same as the Terraform files beside this one, but for the alarms, by the AWS CLI.
#
#   VPC_ID=vpc-… SUBNET_IDS="subnet-… subnet-…" APP_SECURITY_GROUP=sg-… ./create.sh
#
# Run again after a failure it goes on where it stopped. The password stands on no
# command line: it is made in a file that goes away, and read by the CLI from there.
set -eu

: "${VPC_ID:?}" "${SUBNET_IDS:?of two or three availability zones}" "${APP_SECURITY_GROUP:?the group of what may reach Redis}"
NAME=${NAME:-freight-redis}
ENVIRONMENT=${ENVIRONMENT:-production}
NODE_TYPE=${NODE_TYPE:-cache.t4g.medium}
SECRET=freight/$ENVIRONMENT/redis-auth-token
umask 077
token=$(mktemp)
trap 'rm -f "$token"' EXIT
trap 'exit 1' HUP INT TERM

has() { "$@" >/dev/null 2>&1; }

group=$(aws ec2 describe-security-groups --filters "Name=group-name,Values=$NAME" "Name=vpc-id,Values=$VPC_ID" \
	--query 'SecurityGroups[0].GroupId' --output text)
if [ "$group" = None ]; then
	group=$(aws ec2 create-security-group --group-name "$NAME" --vpc-id "$VPC_ID" \
		--description "Redis, from the app alone" --query GroupId --output text)
	aws ec2 authorize-security-group-ingress --group-id "$group" --protocol tcp --port 6379 \
		--source-group "$APP_SECURITY_GROUP" >/dev/null
fi

# shellcheck disable=SC2086 # one subnet a word
has aws elasticache describe-cache-subnet-groups --cache-subnet-group-name "$NAME-subnet-group" ||
	aws elasticache create-cache-subnet-group --cache-subnet-group-name "$NAME-subnet-group" \
		--cache-subnet-group-description "$NAME" --subnet-ids $SUBNET_IDS >/dev/null

has aws elasticache describe-cache-parameters --cache-parameter-group-name "$NAME-redis7" ||
	aws elasticache create-cache-parameter-group --cache-parameter-group-name "$NAME-redis7" \
		--cache-parameter-group-family redis7 --description "$NAME" >/dev/null
aws elasticache modify-cache-parameter-group --cache-parameter-group-name "$NAME-redis7" --parameter-name-values \
	ParameterName=maxmemory-policy,ParameterValue=noeviction \
	ParameterName=min-replicas-to-write,ParameterValue=1 \
	ParameterName=min-replicas-max-lag,ParameterValue=3 \
	ParameterName=timeout,ParameterValue=300 >/dev/null

topic=$(aws sns create-topic --name "$NAME-events" --query TopicArn --output text) # the same one if it is there

# The secret first: a password that only Redis knows would be lost.
if has aws secretsmanager describe-secret --secret-id "$SECRET"; then
	aws secretsmanager get-secret-value --secret-id "$SECRET" --query SecretString --output text | tr -d '\n' >"$token"
else
	od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$token" # hexadecimal: base64 holds characters that a token may not
	aws secretsmanager create-secret --name "$SECRET" --secret-string "file://$token" >/dev/null
fi

has aws elasticache describe-replication-groups --replication-group-id "$NAME" ||
	aws elasticache create-replication-group \
		--replication-group-id "$NAME" \
		--replication-group-description "Redis of the freight app" \
		--engine redis --engine-version 7.0 \
		--cache-node-type "$NODE_TYPE" \
		--num-cache-clusters 3 \
		--automatic-failover-enabled --multi-az-enabled \
		--cache-subnet-group-name "$NAME-subnet-group" \
		--cache-parameter-group-name "$NAME-redis7" \
		--security-group-ids "$group" \
		--at-rest-encryption-enabled --transit-encryption-enabled \
		--auth-token "file://$token" \
		--snapshot-retention-limit 7 --snapshot-window 03:00-04:00 \
		--preferred-maintenance-window sun:05:00-sun:06:00 \
		--notification-topic-arn "$topic" \
		--auto-minor-version-upgrade \
		--tags "Key=Environment,Value=$ENVIRONMENT" Key=HA,Value=enabled >/dev/null

echo "waiting until the group is available: ten minutes or more" >&2
aws elasticache wait replication-group-available --replication-group-id "$NAME"

endpoint() {
	aws elasticache describe-replication-groups --replication-group-id "$NAME" \
		--query "ReplicationGroups[0].NodeGroups[0].$1.Address" --output text
}
echo "REDIS_URL=rediss://$(endpoint PrimaryEndpoint):6379"
echo "REDIS_READER_URL=rediss://$(endpoint ReaderEndpoint):6379"
echo "# REDIS_PASSWORD is the secret $SECRET; events: aws sns subscribe --topic-arn $topic --protocol email --notification-endpoint YOU"
