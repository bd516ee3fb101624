/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/own_agent.h - an agent for one command, in a temporary directory that goes with it.
 */
#ifndef CLI_OWN_AGENT_H
#define CLI_OWN_AGENT_H

#include <sys/types.h>

#include "cli/ask.h"

struct own_agent {
	pid_t pid;          /* 0: none */
	char temporary[64]; /* its directory */
	struct place place; /* where to ask it */
};

/* Start the hearthd beside this program and wait until it is ready.  `who` begins complaints.
 * Returns 0 or an exit code, having complained; stop it in both cases. */
int own_agent_start(const char *who, struct own_agent *agent);

/* End it and remove its directory. A zeroed one is fine. */
void own_agent_stop(struct own_agent *agent);

#endif
