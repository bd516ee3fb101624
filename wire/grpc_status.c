/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/grpc_status.h"

#include <errno.h>

#include "base/util.h"

enum grpc_status grpc_status_of(int code)
{
	static const struct {
		int code;
		enum grpc_status status;
	} statuses[] = {
	    {-EINVAL, GRPC_INVALID_ARGUMENT},
	    {-E2BIG, GRPC_RESOURCE_EXHAUSTED},
	    {-EDQUOT, GRPC_RESOURCE_EXHAUSTED},
	    {-EOPNOTSUPP, GRPC_UNIMPLEMENTED},
	    {-ETIMEDOUT, GRPC_DEADLINE_EXCEEDED},
	    {-EPERM, GRPC_PERMISSION_DENIED},
	    {-EAGAIN, GRPC_UNAVAILABLE},
	    {-ENOSPC, GRPC_UNAVAILABLE},
	    {-EIO, GRPC_UNAVAILABLE},
	    {-ENOMEM, GRPC_UNAVAILABLE},
	};

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (statuses[i].code == code)
			return statuses[i].status;
	return code < 0 ? GRPC_INTERNAL : GRPC_OK;
}
