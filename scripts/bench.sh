#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks named, all when none is, and prints one JSON object a line:
#   {"bench":…,"metric":…,"value":…,"unit":…,"baseline":…}
# A name is that of a program in build/release/bench, with dashes for underscores: client-cpu; or of
# tests/bench/NAME.py: client, agent (many clients), ingest, query, busy (both at once), pprofs (an hour of them),
# recorded (the store under the stacks of ten real programs).
# `client` also takes names of its parts: scripts/bench.sh client -- redis.
set -eu
cd "$(dirname "$0")/.."
scripts/build.sh release >&2
bench=build/release/bench
if [ $# = 0 ]; then
	set -- client agent ingest query busy pprofs recorded
	for program in "$bench"/*; do
		[ -x "$program" ] && [ -f "$program" ] && [ "${program##*/}" != agent_clients ] || continue
		set -- "$@" "$(basename "$program" | tr _ -)"
	done
fi
for name in "$@"; do
	shift
	program=$bench/$(echo "$name" | tr - _)
	case $name in
	agent | busy | ingest | pprofs | query | recorded)
		[ "$name" != recorded ] && [ "$name" != pprofs ] || scripts/deps.sh bench >&2
		HEARTH_BUILD=$PWD/build/release PYTHONDONTWRITEBYTECODE=1 python3 "tests/bench/$name.py"
		continue
		;;
	esac
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
