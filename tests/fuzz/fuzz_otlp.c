/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/ingest_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	return ingest_request_one(ingest_find(STR("otlp")), bytes, len);
}
