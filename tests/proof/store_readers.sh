#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One writer and eight readers for a minute, under ThreadSanitizer; prints how long the slowest put took.
set -eu
scripts/build.sh tsan
if HEARTH_SECONDS=${HEARTH_SECONDS:-60} build/tsan/tests/test_storage_threads; then
	echo "ok store_readers"
else
	echo "not ok store_readers"
	exit 1
fi
