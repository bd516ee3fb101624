/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/lock_names.h - what is known of a lock's identity: the name that the program gave it, and
 * where it was initialized.
 *
 * Private to client/.  Plain memory of the process, which a forked child inherits.  Any thread;
 * looking up is async-signal-safe and takes no lock.
 */
#ifndef CLIENT_LOCK_NAMES_H
#define CLIENT_LOCK_NAMES_H

#include <stdint.h>

#define LOCK_NAMES_MAX 1024
#define LOCK_NAME_BYTES 64 /* with its NUL */

/* Name a lock, or name it anew; "" forgets the name.  Returns HEARTH_OK, or HEARTH_E_LIMIT: too
 * long, or there are LOCK_NAMES_MAX.  Not from a handler. */
int lock_name_set(const void *lock, const char *name);

#define LOCK_NAME_KEY "lock name"
#define LOCK_TEXT_BYTES (sizeof(LOCK_NAME_KEY) + LOCK_NAME_BYTES)

/* Write the lock's name into `to` as a label of a record, key and value.  Returns the bytes, 0 when
 * it has no name. */
uint16_t lock_name_text(const void *lock, char to[LOCK_TEXT_BYTES]);

/* `lock` was initialized by the call that returns to `pc`; the last few thousand are remembered. */
void lock_creator_set(const void *lock, uint64_t pc);

/* The same pc, 0: not known. */
uint64_t lock_creator_get(const void *lock);

#endif
