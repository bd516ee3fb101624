#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, runs every test; the last line is "N passed, N failed".
#
# release runs everything; asan and tsan run again what has no business with timing or the client's
# preload.  A case is a cmocka test or a line "ok NAME" / "not ok NAME" of another program.
set -u
cd "$(dirname "$0")/.."
scripts/deps.sh build run test || exit 1

passed=0
failed=0

count() { # FILE PATTERN
	grep -cE "$2" "$1" || true
}

run() { # PRESET CTEST-ARGUMENTS...
	preset=$1
	shift
	if ! scripts/build.sh "$preset"; then
		echo "not ok build $preset"
		failed=$((failed + 1))
		return
	fi
	log=build/$preset/tests.log
	if ctest --test-dir "build/$preset" -V --timeout 600 "$@" >"$log" 2>&1; then
		status=0
	else
		status=1
	fi
	ok=$(count "$log" '^[0-9]+: (\[ +OK +\]|ok )')
	bad=$(count "$log" '^[0-9]+: (\[  FAILED  \] [A-Za-z_0-9]+$|not ok )')
	if [ "$status" != 0 ]; then
		grep -E '^[0-9]+: (\[  (ERROR|FAILED)  |not ok |.*(Error|error|ERROR|runtime error|SUMMARY):)' "$log" | head -60
		sed -n '/^The following tests FAILED/,$p' "$log"
		[ "$bad" != 0 ] || bad=$(count "$log" '(Failed|Timeout|Exception|Not Run)\)?$')
		[ "$bad" != 0 ] || bad=1
	fi
	echo "$preset: $ok passed, $bad failed ($(grep -E '^Total Test time' "$log" | sed 's/.*= *//'))"
	passed=$((passed + ok))
	failed=$((failed + bad))
}

run release
run asan -LE 'timing|release-only'
run tsan -L 'threads|agent'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
