/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/control.h - orders to running clients: sample faster for a while, or stop.
 *
 * A table of rules, each for one process, a service, or the host, within what the one who gave it
 * owns. The loop asks at every tick what is in force for a process and writes that into its page;
 * routes change the table.  Any thread.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "base/err.h"
#include "base/json.h"

#define CONTROL_RULES_MAX 64
#define CONTROL_ZOOM_MAX_NS (INT64_C(3600) * NS_PER_S)
#define CONTROL_HZ_MIN 1
#define CONTROL_HZ_MAX 1000

struct control;

/* Whom a rule is for.  Zeroed: everything that the owner filter lets through. */
struct control_target {
	char service[64]; /* "": any */
	int64_t pid;      /* 0: any */
	bool any_owner;   /* given by one who sees all */
	uint32_t owner;   /* else only this uid's processes */
};

enum control_action { CONTROL_ZOOM, CONTROL_PAUSE };

struct control_rule {
	struct control_target target;
	enum control_action action;
	uint32_t cpu_interval_us; /* of a zoom */
	int64_t until_ns;         /* CLOCK_MONOTONIC; INT64_MAX: until it is taken back */
};

/* What is in force for one process. */
struct control_state {
	bool paused;
	uint32_t cpu_interval_us; /* 0: its own */
};

/* `switch_path`: while this file exists everything is paused. Copied. NULL without memory. */
struct control *control_new(const char *switch_path);
void control_free(struct control *control);

/* Add a rule; an equal target's rule of the same action is replaced. -ENOSPC when the table is
 * full. */
MUST_CHECK int control_add(struct control *control, const struct control_rule *rule,
			   struct err *err);

/* Take back the rules of this target; returns how many there were. */
size_t control_remove(struct control *control, const struct control_target *target);

/* Forget what is over and look for the switch file: once a tick, loop thread. */
void control_tick(struct control *control, int64_t now_ns);

struct control_state control_for(struct control *control, const char *service, int64_t pid,
				 uint32_t owner);

/* "rules":[...] and "paused_by" into an open object, as far as `target`'s owner may see. */
void control_json(struct control *control, const struct control_target *viewer, int64_t now_ns,
		  struct json *json);

#endif
