/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct control {
	pthread_mutex_t lock;
	char *switch_path;
	bool switched_off;
	size_t count;
	struct control_rule rules[CONTROL_RULES_MAX]; /* a later one wins */
};

struct control *control_new(const char *switch_path)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c)
		c->switch_path = strdup(switch_path);
	if (!c || !c->switch_path) {
		free(c);
		return NULL;
	}
	(void)pthread_mutex_init(&c->lock, NULL);
	c->switched_off = access(c->switch_path, F_OK) == 0;
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	(void)pthread_mutex_destroy(&c->lock);
	free(c->switch_path);
	free(c);
}

static bool same_target(const struct control_target *a, const struct control_target *b)
{
	return !strcmp(a->service, b->service) && a->pid == b->pid &&
	       a->any_owner == b->any_owner && (a->any_owner || a->owner == b->owner);
}

static void remove_at(struct control *c, size_t i)
{
	memmove(&c->rules[i], &c->rules[i + 1], (c->count - i - 1) * sizeof(c->rules[0]));
	c->count--;
}

int control_add(struct control *c, const struct control_rule *rule, struct err *err)
{
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++)
		if (c->rules[i].action == rule->action &&
		    same_target(&c->rules[i].target, &rule->target)) {
			remove_at(c, i);
			break;
		}
	if (c->count < CONTROL_RULES_MAX)
		c->rules[c->count++] = *rule;
	else
		rc = err_set(err, -ENOSPC,
			     "control: %d rules are in force, the limit; take some back",
			     CONTROL_RULES_MAX);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

size_t control_remove(struct control *c, const struct control_target *target)
{
	size_t removed = 0;

	(void)pthread_mutex_lock(&c->lock);
	for (size_t i = c->count; i-- > 0;)
		if (same_target(&c->rules[i].target, target)) {
			remove_at(c, i);
			removed++;
		}
	(void)pthread_mutex_unlock(&c->lock);
	return removed;
}

void control_tick(struct control *c, int64_t now_ns)
{
	bool off = access(c->switch_path, F_OK) == 0;

	(void)pthread_mutex_lock(&c->lock);
	c->switched_off = off;
	for (size_t i = c->count; i-- > 0;)
		if (c->rules[i].until_ns <= now_ns)
			remove_at(c, i);
	(void)pthread_mutex_unlock(&c->lock);
}

static bool is_for(const struct control_target *t, const char *service, int64_t pid, uint32_t owner)
{
	return (t->any_owner || t->owner == owner) && (!t->pid || t->pid == pid) &&
	       (!t->service[0] || !strcmp(t->service, service));
}

struct control_state control_for(struct control *c, const char *service, int64_t pid,
				 uint32_t owner)
{
	(void)pthread_mutex_lock(&c->lock);
	struct control_state state = {.paused = c->switched_off};

	for (size_t i = 0; i < c->count; i++) {
		const struct control_rule *rule = &c->rules[i];

		if (!is_for(&rule->target, service, pid, owner))
			continue;
		if (rule->action == CONTROL_PAUSE)
			state.paused = true;
		else
			state.cpu_interval_us = rule->cpu_interval_us;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return state;
}

static void rule_json(const struct control_rule *rule, int64_t now_ns, struct json *json)
{
	json_open(json, '{');
	json_key_text(json, "action", rule->action == CONTROL_PAUSE ? "pause" : "zoom");
	if (rule->target.service[0])
		json_key_text(json, "service", rule->target.service);
	if (rule->target.pid)
		json_key_int(json, "pid", rule->target.pid);
	if (!rule->target.any_owner)
		json_key_uint(json, "uid", rule->target.owner);
	if (rule->action == CONTROL_ZOOM)
		json_key_uint(json, "cpu_interval_us", rule->cpu_interval_us);
	if (rule->until_ns != INT64_MAX)
		json_key_int(json, "ends_in_ns", rule->until_ns - now_ns);
	json_close(json, '}');
}

void control_json(struct control *c, const struct control_target *viewer, int64_t now_ns,
		  struct json *json)
{
	(void)pthread_mutex_lock(&c->lock);
	json_key(json, "paused_by_file");
	json_bool(json, c->switched_off);
	json_key_text(json, "switch_file", c->switch_path);
	json_key(json, "rules");
	json_open(json, '[');
	for (size_t i = 0; i < c->count; i++)
		if (viewer->any_owner ||
		    (!c->rules[i].target.any_owner && c->rules[i].target.owner == viewer->owner))
			rule_json(&c->rules[i], now_ns, json);
	json_close(json, ']');
	(void)pthread_mutex_unlock(&c->lock);
}
