/* SPDX-License-Identifier: Apache-2.0 */
#include "client/preload.h"

void preload_calls_start(void)
{
}
