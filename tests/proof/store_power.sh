#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# what a loss of power can leave, 2,000 images; the nth call failing, once and for ever.
set -eu
if HEARTH_IMAGES=${HEARTH_IMAGES:-2000} HEARTH_FAILURES=${HEARTH_FAILURES:-400} "$HEARTH_BUILD/tests/test_storage_disk"; then
	echo "ok store_power"
else
	echo "not ok store_power"
	exit 1
fi
