/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/vdso.h - the kernel's code in every program, which stands in no file.
 *
 * The agent has the same image as the programs that it watches, so it hands its own to the
 * symbolizer once.
 */
#ifndef SERVER_VDSO_H
#define SERVER_VDSO_H

#include "server/symbols.h"

/* Queue the vDSO for reading. Nothing happens where there is none. */
void vdso_add(struct symbols *symbols);

#endif
