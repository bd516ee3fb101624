/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/record.h - finds the records of .eh_frame that describe one pc: an FDE and its CIE.
 *
 * Private to cfi.c.  Bounded and async-signal-safe as cfi.h says.
 */
#ifndef CLIENT_RECORD_H
#define CLIENT_RECORD_H

#include "client/cfi.h"

struct cursor;

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_register;
	uint64_t instructions, end;
	uint8_t encoding;
	bool augmented; /* 'z': FDEs carry augmentation data, to be skipped */
	bool signal_frame;
};

struct fde {
	uint64_t start, size;
	uint64_t instructions, end;
};

/* By the table of .eh_frame_hdr.  CFI_OK only when the FDE covers pc. */
enum cfi_status record_find(const struct cfi_section *section, uint64_t pc, struct cie *ret_cie,
			    struct fde *ret_fde);

/* Read a pointer written as `encoding` (DW_EH_PE_*) says; `header` is what datarel counts from. */
uint64_t record_pointer(struct cursor *c, uint8_t encoding, uint64_t header);

#endif
