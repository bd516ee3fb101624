#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 500 cycles of SIGKILL under load, on a disk.
set -eu
if HEARTH_CYCLES=${HEARTH_CYCLES:-500} HEARTH_TEST_DIR=${HEARTH_TEST_DIR:-/var/tmp} "$HEARTH_BUILD/tests/test_storage_kill"; then
	echo "ok store_kill"
else
	echo "not ok store_kill"
	exit 1
fi
