#!/bin/sh
# secrets.sh DIR makes a password for each user, one a file, and leaves what is there.
# 64 hexadecimal digits: every service takes them, in URLs and settings too. Nobody
# else may look into DIR; the files in it can be read, since containers that are given
# single ones have users of their own.
set -eu

dir=${1:?usage: secrets.sh DIR}
mkdir -p "$dir"
chmod 700 "$dir"
for name in app mover operator replica sentinel metrics; do
	[ -s "$dir/$name" ] || od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >"$dir/$name"
done
