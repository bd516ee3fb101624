#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a CMake preset (release, dev, asan, tsan, fuzz) into build/PRESET/; release when none is named.
set -eu
cd "$(dirname "$0")/.."
preset=${1:-release}
scripts/deps.sh build
case $preset in fuzz) scripts/deps.sh test ;; esac
mkdir -p build
log=build/$preset.log
if ! { cmake --preset "$preset" && cmake --build "build/$preset" -j "$(nproc)"; } >"$log" 2>&1; then
	tail -n 60 "$log" >&2
	echo "hearth: building $preset failed; the whole log is in $log" >&2
	exit 1
fi
