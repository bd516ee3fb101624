/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbol/protocol.h - what the agent and the symbolizer's child say to each other, one packet each
 * way over a SOCK_SEQPACKET pair.  Private to symbol/.
 *
 * A request carries descriptors: the binary, a memfd for the table, and perhaps a debug file and
 * its alt.  The child may answer that it wants one of these, with what it is known by; the agent
 * then asks again, with one or saying that there is none.
 */
#ifndef SYMBOL_PROTOCOL_H
#define SYMBOL_PROTOCOL_H

#include <stdint.h>

#define SYMBOL_SOCKET 3 /* the child's end */
#define SYMBOL_BUILD_ID_MAX 64
#define SYMBOL_TYPE_MAX 256

enum symbol_request_kind {
	SYMBOL_READ = 1, /* may be answered by SYMBOL_WANT_DEBUG */
	SYMBOL_READ_DEBUG =
	    2,                /* with this debug file or none; may be answered by SYMBOL_WANT_ALT */
	SYMBOL_READ_ALL = 3,  /* with what there is */
	SYMBOL_SELF_TEST = 4, /* open a file: must kill the child */
	SYMBOL_TYPE = 5,      /* demangle `type`, without descriptors */
};

struct symbol_request {
	uint32_t kind;
	uint32_t build_id_len; /* 0: any */
	uint8_t build_id[SYMBOL_BUILD_ID_MAX];
	uint64_t binary_bytes, debug_bytes, alt_bytes; /* sizes of the files; 0: none */
	char type[SYMBOL_TYPE_MAX];
};

/* Statuses beside 0 and negative errno. "alt" is the file that dwz moves common parts of several
 * debug files to (.gnu_debugaltlink). */
#define SYMBOL_WANT_DEBUG 1
#define SYMBOL_WANT_ALT 2

struct symbol_answer {
	int32_t status;
	uint32_t debug_link_crc, build_id_len;
	uint8_t
	    build_id[SYMBOL_BUILD_ID_MAX]; /* the binary's own; the alt's with SYMBOL_WANT_ALT */
	char debug_link[256];              /* likewise; the alt's is a path; a demangled type */
	char message[200];
	uint64_t table_bytes;
};

#endif
