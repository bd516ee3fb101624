/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/hello.h - shows the session to the agent: one message, no answer.
 *
 * Private to client/.  Async-signal-safe and never waits, since a handler does it: connect, sendmsg
 * and close without blocking.  Whether the agent took it is seen in its page of the memory.
 */
#ifndef CLIENT_HELLO_H
#define CLIENT_HELLO_H

#include <stdbool.h>
#include <stdint.h>

/* Look whether it is time to attach, to attach again or to show new modules, and do it. */
void hello_poll(int64_t now_ns);

/* Send one now whatever the time (ring_hello_flags).  False: no agent, or another thread is at
 * it. */
bool hello_send(uint32_t flags);

/* Sampling has stopped: show the rings to the agent if they hold what it has not stored, for its
 * heartbeat may be that of one that is gone.  `last`: the process ends, so even when that was done
 * before.  Waits 2 ms at most, for another thread that is sending. */
void hello_offer(bool last);

/* The agent's heartbeat is fresh. */
bool hello_attached(int64_t now_ns);

/* A new session, or new settings: attach anew. */
void hello_reset(void);

/* Let nobody send until hello_reset: the settings change.  Waits 2 ms at most for one who is at
 * it. */
void hello_hold(void);

/* Note the seccomp mode that the process starts with (a container's), as no reason to be silent. */
void hello_note_seccomp(void);

#endif
