#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The long proofs, which take minutes and real programs: what scripts/test.sh shows in small.
#
#   scripts/proof.sh [NAME...]     all of them when none is named: redis unwind accuracy blocked
#                                   alloc locks own_cost programs clients profilecli formats jfr roundtrip query
#                                   fuzz restart bare
#                                   store_model store_power store_kill store_damage store_readers
#                                   store_month
#
# Each prints its figures and "ok" or "not ok".  What is fetched and built for them stays in
# build/proof; `redis` and `bare` need root or a Debian with its package lists, and the network.
set -u
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- redis unwind accuracy blocked alloc locks own_cost programs clients profilecli formats jfr \
	roundtrip query fuzz restart bare store_model store_power store_kill store_damage store_readers store_month

status=0
built=""
for name in "$@"; do
	if [ -f "tests/proof/$name.sh" ]; then
		run="sh tests/proof/$name.sh"
	elif [ -f "tests/proof/$name.py" ]; then
		run="python3 tests/proof/$name.py"
	else
		echo "scripts/proof.sh: there is no proof named $name" >&2
		exit 2
	fi
	# A bare machine and the fuzz targets build for themselves; the others need one build.
	if [ "$name" != bare ] && [ "$name" != fuzz ] && [ -z "$built" ]; then
		scripts/deps.sh build run test && scripts/build.sh release || exit 1
		built=1
	fi
	[ "$name" != programs ] || scripts/deps.sh bench || exit 1
	[ "$name" != fuzz ] || scripts/deps.sh build fuzz || exit 1
	echo "== $name"
	HEARTH_BUILD=${HEARTH_BUILD:-$PWD/build/release} PYTHONDONTWRITEBYTECODE=1 $run || status=1
done
exit "$status"
