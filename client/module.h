/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/module.h - which files are mapped: the shared table of ring.h and what the unwinder needs.
 *
 * Private to client/.  Async-signal-safe: a handler adds a module when it first meets one, found
 * through _dl_find_object, which takes no lock.  Entries are never taken back; a module that was
 * unloaded keeps its entry, and its rules are forgotten.
 */
#ifndef CLIENT_MODULE_H
#define CLIENT_MODULE_H

#include "client/unwind.h"

/* Outside handlers, once: remember the executable's path, the vDSO and libc's lookup function. */
void module_start(void);

/* A new session: an empty table. */
void module_table_open(void);

/* unwind_space.find for this process.  Adds the module when it is new. */
bool module_find(const struct unwind_space *space, uint64_t pc, struct unwind_module *ret);

/* The ring_frame of an address, which may be of data: module and ELF address, or the address itself
 * outside all modules. */
uint64_t module_frame(uint64_t address);

/* By module number. */
const uint64_t *module_biases(void);

/* Has a known module gone, or another one come in its place?  Then forget the rules.  Costs some 50
 * ns a module; done once a second, and after each dlclose that the preload sees. */
void module_check_unloaded(struct rule *rules);

#endif
