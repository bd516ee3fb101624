#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 10,000 random histories against the slow model.
set -eu
if HEARTH_SEEDS=${HEARTH_SEEDS:-10000} "$HEARTH_BUILD/tests/contract_storage"; then
	echo "ok store_model"
else
	echo "not ok store_model"
	exit 1
fi
