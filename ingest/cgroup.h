/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/cgroup.h - which container and which unit a process runs in, from its /proc/PID/cgroup.
 *
 * Pure.  The file's form is in cgroups(7): "hierarchy:controllers:path" a line, "0::/path" for
 * version 2.  What runtimes write there: a container's id is 64 hexadecimal digits (Docker,
 * containerd, CRI-O, Podman) or a task's 32 and a number (ECS), bare or with a prefix and ".scope".
 */
#ifndef INGEST_CGROUP_H
#define INGEST_CGROUP_H

#include "base/err.h"

struct cgroup {
	char container[80]; /* its id; "": none was seen */
	/* of the unit or pod, without scopes that are new with each login; "": none. A longer path
	 * loses its beginning */
	char path[128];
};

void cgroup_parse(struct str text, struct cgroup *ret_cgroup);

#endif
