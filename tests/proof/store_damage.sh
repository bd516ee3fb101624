#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 400 damaged files.
set -eu
if HEARTH_DAMAGES=${HEARTH_DAMAGES:-400} "$HEARTH_BUILD/tests/test_storage_damage"; then
	echo "ok store_damage"
else
	echo "not ok store_damage"
	exit 1
fi
