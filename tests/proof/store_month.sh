#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A month of ten services under the default retention, at the generator's speed: 2,400 samples a
# service and minute, which takes most of an hour.
exec "$HEARTH_BUILD/tests/store_month" 31 "${HEARTH_SAMPLES:-2400}"
