/* SPDX-License-Identifier: Apache-2.0 */
/* The API's own description (OpenAPI 3.1): a document that is written by hand and checked by a
 * test. */
#include "server/openapi.h"
#include "server/route.h"

void route_openapi(struct route_call *call)
{
	(void)buf_add(&call->answer->body, openapi_json, openapi_json_len);
	route_tag(call);
}
