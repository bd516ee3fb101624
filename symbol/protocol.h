/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/protocol.h - what the agent and the symbolizer's child say to each other, one packet each
 * way over a SOCK_SEQPACKET pair.  Private to symbol/.
 *
 * A request carries descriptors: the binary, a memfd for the table, and perhaps a debug file.  The
 * child may answer that it wants a debug file, with what it is known by; the agent then asks again,
 * with one or saying that there is none.
 */
#ifndef SYMBOL_PROTOCOL_H
#define SYMBOL_PROTOCOL_H

#include <stdint.h>

#define SYMBOL_SOCKET 3 /* the child's end */
#define SYMBOL_BUILD_ID_MAX 64

enum symbol_request_kind {
	SYMBOL_READ = 1,	/* may be answered by SYMBOL_WANT_DEBUG */
	SYMBOL_READ_FINAL = 2,	/* with what there is */
	SYMBOL_SELF_TEST = 3,	/* open a file: must kill the child */
};

struct symbol_request {
	uint32_t kind;
	uint32_t build_id_len; /* 0: any */
	uint8_t build_id[SYMBOL_BUILD_ID_MAX];
	uint64_t binary_bytes, debug_bytes; /* sizes of the files; debug 0: none */
};

#define SYMBOL_WANT_DEBUG 1 /* a status beside 0 and negative errno */

struct symbol_answer {
	int32_t status;
	uint32_t debug_link_crc, build_id_len;
	uint8_t build_id[SYMBOL_BUILD_ID_MAX]; /* the binary's own */
	char debug_link[256];
	char message[200];
	uint64_t table_bytes;
};

#endif
