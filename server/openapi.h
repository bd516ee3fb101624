/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/openapi.h - the bytes of server/openapi.json, built in.
 */
#ifndef SERVER_OPENAPI_H
#define SERVER_OPENAPI_H

#include <stddef.h>

extern const unsigned char openapi_json[];
extern const size_t openapi_json_len;

#endif
