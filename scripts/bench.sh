#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks named, all when none is, and prints one JSON object a line:
#   {"bench":…,"metric":…,"value":…,"unit":…,"baseline":…}
# A name is that of a program in build/release/bench, with dashes for underscores: client-cpu; or of
# tests/bench/NAME.py: client, ingest, query.  `client` also takes names of its parts: scripts/bench.sh client -- redis.
set -eu
cd "$(dirname "$0")/.."
scripts/build.sh release >&2
bench=build/release/bench
if [ $# = 0 ]; then
	set -- client ingest query
	for program in "$bench"/*; do
		[ -x "$program" ] && [ -f "$program" ] || continue
		set -- "$@" "$(basename "$program" | tr _ -)"
	done
fi
for name in "$@"; do
	shift
	program=$bench/$(echo "$name" | tr - _)
	if [ "$name" = ingest ]; then
		HEARTH_BUILD=$PWD/build/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/ingest.py
		continue
	fi
	if [ "$name" = query ]; then
		HEARTH_BUILD=$PWD/build/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/query.py
		continue
	fi
	if [ "$name" = client ]; then
		scripts/deps.sh bench >&2
		more=""
		[ "${1:-}" != -- ] || { shift; more="$*"; set --; }
		HEARTH_BUILD=$PWD/build/release PYTHONDONTWRITEBYTECODE=1 python3 tests/bench/client.py $more
		[ -z "$more" ] || exit 0
		continue
	fi
	if [ ! -x "$program" ]; then
		echo "bench.sh: no benchmark is called $name" >&2
		exit 2
	fi
	"$program"
done
