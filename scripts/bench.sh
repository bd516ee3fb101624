#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks named, all when none is, and prints one JSON object a line:
#   {"bench":…,"metric":…,"value":…,"unit":…,"baseline":…}
# A name is that of a program in build/release/bench, with dashes for underscores: client-cpu.
set -eu
cd "$(dirname "$0")/.."
scripts/build.sh release >&2
bench=build/release/bench
if [ $# = 0 ]; then
	for program in "$bench"/*; do
		[ -x "$program" ] && [ -f "$program" ] || continue
		set -- "$@" "$(basename "$program" | tr _ -)"
	done
fi
for name in "$@"; do
	program=$bench/$(echo "$name" | tr - _)
	if [ ! -x "$program" ]; then
		echo "bench.sh: no benchmark is called $name" >&2
		exit 2
	fi
	"$program"
done
