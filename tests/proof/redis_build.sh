#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds Redis from the distribution's source package as a release would, -O2 -g without frame
# pointers, into FOLDER, unless it is there; prints where the programs are.
#   redis_build.sh FOLDER
set -eu
. "$(dirname "$0")/apt.sh"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
log=$folder/redis.log

if [ ! -x "$folder/redis/src/redis-server" ]; then
	sources_of_this_machine "$folder/apt" source
	mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
	apt() {
		apt-get -q -o Dir::Etc::SourceList="$folder/apt/deb.list" -o Dir::Etc::SourceParts=- \
			-o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" \
			-o APT::Sandbox::User=root "$@"
	}
	{
		command -v dpkg-source || DEBIAN_FRONTEND=noninteractive apt-get install -y \
			--no-install-recommends dpkg-dev
		apt update
		cd "$folder"
		rm -rf redis redis-*/ redis_*
		apt source redis
		mv redis-*/ redis
		# In src: at the top, each of several goals would build the dependencies, all at once.
		make -C redis/src -j2 MALLOC=libc USE_SYSTEMD=no BUILD_TLS=no OPTIMIZATION=-O2 \
			DEBUG="-g -fomit-frame-pointer" redis-server redis-benchmark redis-cli
	} >"$log" 2>&1 </dev/null || {
		tail -n 30 "$log" >&2
		exit 1
	}
fi
echo "$folder/redis/src"
