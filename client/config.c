/* SPDX-License-Identifier: Apache-2.0 */
#include "client/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/hearth.h"
#include "client/ring.h"

#define INTERVAL_DEFAULT_US 9900 /* not a divisor of a second: no beat with periodic work */
#define INTERVAL_MIN_US 1000
#define INTERVAL_MAX_US 1000000
#define FRAMES_DEFAULT 128
#define OVERHEAD_DEFAULT_PERCENT 1.0
#define CAPTURE_DEFAULT_PERCENT 1.0
#define EXCEPTIONS_DEFAULT 100

static const char *either(config_env_fn env, const char *ours, const char *theirs)
{
	const char *v = ours ? env(ours) : NULL;

	if (!v || !*v)
		v = theirs ? env(theirs) : NULL;
	return v && *v ? v : NULL;
}

static enum config_switch truth(const char *text)
{
	static const char *const yes[] = { "1", "true", "yes", "on", "auto" };
	static const char *const no[] = { "0", "false", "no", "off" };

	for (size_t i = 0; text && i < sizeof(yes) / sizeof(*yes); i++)
		if (!strcasecmp(text, yes[i]))
			return CONFIG_YES;
	for (size_t i = 0; text && i < sizeof(no) / sizeof(*no); i++)
		if (!strcasecmp(text, no[i]))
			return CONFIG_NO;
	return CONFIG_UNSET;
}

/* HEARTH_X when that is a truth value, else DD_X. */
static enum config_switch truth_of(config_env_fn env, const char *ours, const char *theirs)
{
	enum config_switch v = truth(env(ours));

	return v != CONFIG_UNSET || !theirs ? v : truth(env(theirs));
}

static bool on(enum hearth_switch option, config_env_fn env, const char *ours, const char *theirs)
{
	if (option != HEARTH_DEFAULT)
		return option == HEARTH_ON;
	return truth_of(env, ours, theirs) != CONFIG_NO;
}

/* A plain decimal number within [low, high]; locale has no say.  0 when it is not. */
static double number(const char *text, double low, double high)
{
	double v = 0, unit = 1;
	const char *p = text;

	if (!p || !*p)
		return 0;
	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (*p - '0');
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			v += (unit /= 10) * (*p - '0');
	return *p || v < low || v > high ? 0 : v;
}

static double number_of(config_env_fn env, const char *ours, const char *theirs, double low,
			double high)
{
	double v = number(env(ours), low, high);

	return v > 0 || !theirs ? v : number(env(theirs), low, high);
}

static bool has_key(const struct config *c, const char *key, size_t bytes)
{
	for (uint32_t at = 0; at < c->text_bytes;) {
		const char *have = c->text + at;
		size_t n = strlen(have);

		if (n == bytes && !memcmp(have, key, n))
			return true;
		at += (uint32_t)n + 1;
		at += (uint32_t)strlen(c->text + at) + 1;
	}
	return false;
}

/* The first to set a key wins. */
static void put_text(struct config *c, const char *key, size_t key_bytes, const char *value,
		     size_t value_bytes)
{
	char *to = c->text + c->text_bytes;

	if (key_bytes == 0 || value_bytes == 0 || has_key(c, key, key_bytes) ||
	    key_bytes + value_bytes + 2 > sizeof(c->text) - c->text_bytes)
		return;
	memcpy(to, key, key_bytes);
	to[key_bytes] = 0;
	memcpy(to + key_bytes + 1, value, value_bytes);
	to[key_bytes + 1 + value_bytes] = 0;
	c->text_bytes += (uint32_t)(key_bytes + value_bytes + 2);
}

static void put(struct config *c, const char *key, const char *value)
{
	if (key && value)
		put_text(c, key, strlen(key), value, strlen(value));
}

/* "key:value,key:value"; Datadog's tools separate by spaces as well. */
static void put_tags(struct config *c, const char *text)
{
	while (text && *text) {
		size_t bytes = strcspn(text, ", ");
		const char *colon = memchr(text, ':', bytes);

		if (colon)
			put_text(c, text, (size_t)(colon - text), colon + 1,
				 bytes - (size_t)(colon - text) - 1);
		text += bytes;
		text += strspn(text, ", ");
	}
}

static void read_text(struct config *c, const struct hearth_options *o, config_env_fn env,
		      const char *executable)
{
	const char *slash = executable ? strrchr(executable, '/') : NULL;
	const char *service = o->service ? o->service : either(env, "HEARTH_SERVICE", "DD_SERVICE");

	if (!service)
		service = slash ? slash + 1 : executable;
	put(c, "service", service && *service ? service : "unknown");
	put(c, "env", o->env ? o->env : either(env, "HEARTH_ENV", "DD_ENV"));
	put(c, "version", o->version ? o->version : either(env, "HEARTH_VERSION", "DD_VERSION"));
	for (size_t i = 0; o->tags && i < o->tags_count; i++)
		put(c, o->tags[i].key, o->tags[i].value);
	if (env("HEARTH_TAGS")) {
		put_tags(c, env("HEARTH_TAGS"));
		return;
	}
	put_tags(c, env("DD_PROFILING_TAGS"));
	put_tags(c, env("DD_TAGS"));
}

static void read_interval(struct config *c, const struct hearth_options *o, config_env_fn env)
{
	double us = o->cpu_interval_us, hz;

	if (us <= 0)
		us = number_of(env, "HEARTH_CPU_INTERVAL_US", NULL, 1, 1e9);
	hz = us > 0 ? 0 : number_of(env, "HEARTH_CPU_HZ", NULL, 0.001, 1e6);
	if (hz > 0)
		us = 1e6 / hz;
	if (us <= 0)
		us = INTERVAL_DEFAULT_US;
	c->cpu_interval_us = us < INTERVAL_MIN_US ? INTERVAL_MIN_US :
			     us > INTERVAL_MAX_US ? INTERVAL_MAX_US :
						    (uint32_t)us;
}

static void read_limits(struct config *c, const struct hearth_options *o, config_env_fn env)
{
	double frames = o->max_frames, percent = o->max_overhead_percent;

	if (frames <= 0)
		frames = number_of(env, "HEARTH_MAX_FRAMES", "DD_PROFILING_MAX_FRAMES", 1, 1e6);
	if (frames <= 0)
		frames = FRAMES_DEFAULT;
	c->max_frames = frames > RING_FRAMES_MAX ? RING_FRAMES_MAX : (uint32_t)frames;
	if (!(percent > 0))
		percent = number_of(env, "HEARTH_MAX_OVERHEAD_PCT",
				    "DD_PROFILING_MAX_TIME_USAGE_PCT", 0.01, 100);
	if (!(percent > 0))
		percent = OVERHEAD_DEFAULT_PERCENT;
	c->max_overhead_ppm = (uint32_t)((percent > 100 ? 100 : percent) * 10000);
}

static void read_locks(struct config *c, config_env_fn env)
{
	double percent = number_of(env, "HEARTH_LOCK_CAPTURE_PCT", NULL, 0.0001, 100), every;

	if (!(percent > 0))
		percent = number_of(env, "HEARTH_CAPTURE_PCT", "DD_PROFILING_CAPTURE_PCT", 0.0001, 100);
	if (!(percent > 0))
		percent = CAPTURE_DEFAULT_PERCENT;
	c->lock_capture_ppm = (uint32_t)(percent * 10000 + 0.5);
	every = number_of(env, "HEARTH_EXCEPTION_SAMPLING_INTERVAL",
			  "DD_PROFILING_EXCEPTION_SAMPLING_INTERVAL", 1, 1e6);
	c->exception_interval = every > 0 ? (uint32_t)every : EXCEPTIONS_DEFAULT;
}

static void read_agent(struct config *c, const struct hearth_options *o, config_env_fn env)
{
	const char *agent = o->agent ? o->agent : either(env, "HEARTH_AGENT", NULL);
	const char *runtime = env("XDG_RUNTIME_DIR");

	if (agent && !strncmp(agent, "unix:", 5) && agent[5] == '/' &&
	    strlen(agent + 5) < sizeof(c->agent))
		strcpy(c->agent, agent + 5);
	if (runtime && runtime[0] == '/' && strlen(runtime) < sizeof(c->runtime))
		strcpy(c->runtime, runtime);
}

void config_read(struct config *ret, const struct hearth_options *options, config_env_fn env,
		 const char *executable)
{
	struct hearth_options o = { 0 };

	if (options && options->size)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	memset(ret, 0, sizeof(*ret));
	ret->enabled = truth_of(env, "HEARTH_ENABLED", "DD_PROFILING_ENABLED");
	ret->cpu = on(o.cpu, env, "HEARTH_CPU_ENABLED", "DD_PROFILING_CPU_ENABLED");
	ret->wall = on(o.wall, env, "HEARTH_WALL_ENABLED", "DD_PROFILING_WALLTIME_ENABLED");
	ret->lock = on(HEARTH_DEFAULT, env, "HEARTH_LOCK_ENABLED", "DD_PROFILING_LOCK_ENABLED");
	ret->exception = on(HEARTH_DEFAULT, env, "HEARTH_EXCEPTION_ENABLED",
			    "DD_PROFILING_EXCEPTION_ENABLED");
	read_interval(ret, &o, env);
	read_locks(ret, env);
	read_limits(ret, &o, env);
	read_agent(ret, &o, env);
	read_text(ret, &o, env, executable);
}
