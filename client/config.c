/* SPDX-License-Identifier: Apache-2.0 */
#include "client/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/hearth.h"
#include "client/ring.h"

#define NAMES_MAX 4
#define VALUE_SHOWN "%.48s" /* of a refused value */
#define NOTE_BYTES 224
#define SETTINGS_BYTES 1024

enum kind { SWITCH, TRISTATE, COUNT, PERCENT, HZ, ENGINE };

struct setting {
	enum kind kind;
	const char *field, *option;
	size_t config_at, option_at;
	const char *names[NAMES_MAX];
	double preset, least, most;
};

static const struct setting settings[] = {
/* clang-format off */
#define NAMES(...) { __VA_ARGS__ }
#define TEXT(option, names, what)
#define SETTING(kind, field, option, names, preset, least, most, what)                             \
	{ kind, #field, #option, offsetof(struct config, field),                                   \
	  offsetof(struct hearth_options, option), names, preset, least, most },
/* clang-format on */
#include "client/settings.def"
#undef SETTING
#undef TEXT
#undef NAMES
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* Append to the notes, of which `left` bytes are to stay free. */
static void put_note(struct config *c, const char *key, const char *value, size_t left)
{
	size_t key_bytes = strlen(key) + 1, bytes = strlen(value) + 1;

	if (c->notes_bytes + key_bytes + bytes + left > sizeof(c->notes) ||
	    memmem(c->notes, c->notes_bytes, value, bytes))
		return;
	memcpy(c->notes + c->notes_bytes, key, key_bytes);
	memcpy(c->notes + c->notes_bytes + key_bytes, value, bytes);
	c->notes_bytes += (uint32_t)(key_bytes + bytes);
}

/* Note, once, that `name` (NULL: the program's option `field`) was not taken as it stands. */
static void refuse(struct config *c, const char *name, const char *field, const char *value,
		   const char *reason)
{
	char note[NOTE_BYTES];

	(void)snprintf(note, sizeof(note), "%s%s=" VALUE_SHOWN ": %s", name ? "" : "option ",
		       name ? name : field, value, reason);
	for (char *p = note; *p; p++)
		*p = *p >= ' ' && *p < 127 ? *p : '?'; /* the agent takes UTF-8 alone */
	put_note(c, RING_HELLO_REFUSED, note, SETTINGS_BYTES + sizeof(RING_HELLO_SETTINGS));
}

enum config_switch config_truth(const char *text)
{
	static const char *const yes[] = {"1", "true", "yes", "on", "auto"};
	static const char *const no[] = {"0", "false", "no", "off"};

	for (size_t i = 0; text && i < sizeof(yes) / sizeof(*yes); i++)
		if (!strcasecmp(text, yes[i]))
			return CONFIG_YES;
	for (size_t i = 0; text && i < sizeof(no) / sizeof(*no); i++)
		if (!strcasecmp(text, no[i]))
			return CONFIG_NO;
	return CONFIG_UNSET;
}

/* An empty value counts as not set, without a word. */
static const char *look(config_env_fn env, const char *name)
{
	const char *v = name ? env(name) : NULL;

	return v && *v ? v : NULL;
}

static enum config_switch read_switch(struct config *c, const struct setting *s, config_env_fn env)
{
	for (size_t i = 0; i < NAMES_MAX; i++) {
		const char *text = look(env, s->names[i]);
		enum config_switch v = config_truth(text);

		if (v != CONFIG_UNSET)
			return v;
		if (text)
			refuse(c, s->names[i], NULL, text, "not a truth value");
	}
	return CONFIG_UNSET;
}

/* A plain decimal number; locale has no say.  Negative when it is not. */
static double number(const char *text)
{
	double v = 0, unit = 1;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (*p - '0');
	if (*p == '.' && (p > text || p[1]))
		for (p++; *p >= '0' && *p <= '9'; p++)
			v += (unit /= 10) * (*p - '0');
	return *p || p == text ? -1 : v;
}

/* Nonsense is -1, what is outside the range the nearest value inside.  0 is nonsense where the
 * range is above it. */
static double bounded(struct config *c, const struct setting *s, const char *name, const char *text,
		      double v)
{
	char reason[96];

	if (!(v >= 0) || (v <= 0 && s->least > 0)) {
		refuse(c, name, s->option, text, "not a number in the range");
		return -1;
	}
	if (v >= s->least && v <= s->most)
		return v;
	v = v < s->least ? s->least : s->most;
	(void)snprintf(reason, sizeof(reason), "outside %.10g to %.10g; %.10g is taken", s->least,
		       s->most, v);
	refuse(c, name, s->option, text, reason);
	return v;
}

static double read_number(struct config *c, const struct setting *s, double option,
			  config_env_fn env)
{
	double v = -1;
	char text[32];

	(void)snprintf(text, sizeof(text), "%.10g", option);
	if (option < 0 || option > 0)
		v = bounded(c, s, NULL, text, option);
	for (size_t i = 0; v < 0 && i < NAMES_MAX; i++) {
		const char *value = look(env, s->names[i]);

		if (value)
			v = bounded(c, s, s->names[i], value, number(value));
	}
	return v;
}

static const char *const engines[] = {
    [HEARTH_ENGINE_POSIX_TIMER] = "posix-timer",
    [HEARTH_ENGINE_PERF] = "perf",
};

static uint32_t read_engine(struct config *c, const struct setting *s, uint32_t option,
			    config_env_fn env)
{
	const char *text = look(env, s->names[0]);

	if (option == HEARTH_ENGINE_POSIX_TIMER || option == HEARTH_ENGINE_PERF)
		return option;
	for (uint32_t i = HEARTH_ENGINE_POSIX_TIMER; text && i <= HEARTH_ENGINE_PERF; i++)
		if (!strcasecmp(text, engines[i]))
			return i;
	if (text)
		refuse(c, s->names[0], NULL, text, "neither posix-timer nor perf");
	return HEARTH_ENGINE_POSIX_TIMER;
}

static void read_setting(struct config *c, const struct setting *s, const struct hearth_options *o,
			 config_env_fn env)
{
	const char *option = (const char *)o + s->option_at;
	void *to = (char *)c + s->config_at;
	enum hearth_switch given;
	enum config_switch truth;
	uint32_t count;
	double v;

	switch (s->kind) {
	case SWITCH:
	case TRISTATE:
		memcpy(&given, option, sizeof(given));
		truth = given == HEARTH_ON    ? CONFIG_YES
			: given == HEARTH_OFF ? CONFIG_NO
					      : CONFIG_UNSET;
		if (truth == CONFIG_UNSET)
			truth = read_switch(c, s, env);
		if (s->kind == TRISTATE)
			*(enum config_switch *)to = truth;
		else
			*(bool *)to = truth == CONFIG_UNSET ? s->preset > 0 : truth == CONFIG_YES;
		return;
	case HZ:
		memcpy(&v, option, sizeof(v));
		v = read_number(c, s, v, env);
		*(uint32_t *)to = v > 0 ? (uint32_t)(1e6 / v) : 0;
		return;
	case PERCENT:
		memcpy(&v, option, sizeof(v));
		v = read_number(c, s, v, env);
		*(uint32_t *)to = (uint32_t)((v < 0 ? s->preset : v) * 10000);
		return;
	case COUNT:
		memcpy(&count, option, sizeof(count));
		v = read_number(c, s, count, env);
		if (v >= 0 || !*(uint32_t *)to)
			*(uint32_t *)to = (uint32_t)(v < 0 ? s->preset : v);
		return;
	case ENGINE:
		memcpy(&count, option, sizeof(count));
		*(uint32_t *)to = read_engine(c, s, count, env);
		return;
	}
}

/* ---- labels ---- */

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

	if (key_bytes == 0 || value_bytes == 0 || *key == RING_HELLO_NOTE ||
	    has_key(c, key, key_bytes))
		return;
	if (key_bytes + value_bytes + 2 > sizeof(c->text) - c->text_bytes ||
	    c->labels_count == CONFIG_LABELS_MAX) {
		refuse(c, NULL, "tags", "...", "more than 24 labels, or 4 KB of them");
		return;
	}
	c->labels_count++;
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
static void put_tags(struct config *c, const char *name, config_env_fn env)
{
	const char *text = look(env, name), *all = text;
	bool whole = true;

	while (text && *text) {
		size_t bytes = strcspn(text, ", ");
		const char *colon = memchr(text, ':', bytes);

		whole = whole && colon != text && (colon || !bytes);
		if (colon)
			put_text(c, text, (size_t)(colon - text), colon + 1,
				 bytes - (size_t)(colon - text) - 1);
		text += bytes;
		text += strspn(text, ", ");
	}
	if (!whole)
		refuse(c, name, NULL, all, "a part is not key:value");
}

static const char *either(const char *option, config_env_fn env, const char *ours,
			  const char *theirs)
{
	const char *v = option ? option : look(env, ours);

	return v ? v : look(env, theirs);
}

static void read_labels(struct config *c, const struct hearth_options *o, config_env_fn env,
			const char *executable)
{
	const char *slash = executable ? strrchr(executable, '/') : NULL;
	const char *service = either(o->service, env, "HEARTH_SERVICE", "DD_SERVICE");

	if (!service)
		service = slash ? slash + 1 : executable;
	put(c, "service", service && *service ? service : "unknown");
	put(c, "env", either(o->env, env, "HEARTH_ENV", "DD_ENV"));
	put(c, "version", either(o->version, env, "HEARTH_VERSION", "DD_VERSION"));
	for (size_t i = 0; o->tags && i < o->tags_count; i++)
		put(c, o->tags[i].key, o->tags[i].value);
	if (look(env, "HEARTH_TAGS")) {
		put_tags(c, "HEARTH_TAGS", env);
		return;
	}
	put_tags(c, "DD_PROFILING_TAGS", env);
	put_tags(c, "DD_TAGS", env);
}

/* ---- the agent ---- */

/* The path in "unix:/path", "unix:///path" or "/path"; NULL when it is none or too long. */
static const char *socket_path(const char *text)
{
	if (!strncmp(text, "unix:", 5))
		text += 5;
	if (!strncmp(text, "//", 2))
		text += 2;
	return text[0] == '/' && strlen(text) < CONFIG_PATH_BYTES ? text : NULL;
}

/*
 * Datadog's variable may well be an address of HTTP, which is no mistake and no place for a ring;
 * of a socket it names the one for HTTP, beside which hearthd has ours.
 */
static void read_hint(struct config *c, const char *url)
{
	static const char ours[] = "agent.sock";
	const char *path = url && !strncmp(url, "unix:", 5) ? socket_path(url) : NULL;
	size_t directory = path ? (size_t)(strrchr(path, '/') + 1 - path) : 0;

	if (path && directory + sizeof(ours) <= sizeof(c->agent_hint)) {
		memcpy(c->agent_hint, path, directory);
		memcpy(c->agent_hint + directory, ours, sizeof(ours));
	} else if (url && !strncmp(url, "unix:", 5)) {
		refuse(c, "DD_TRACE_AGENT_URL", NULL, url, "not an absolute path, or too long");
	}
}

static void read_agent(struct config *c, const struct hearth_options *o, config_env_fn env)
{
	const char *agent = o->agent ? o->agent : look(env, "HEARTH_AGENT");
	const char *path = agent ? socket_path(agent) : NULL,
		   *runtime = look(env, "XDG_RUNTIME_DIR");

	if (path)
		(void)snprintf(c->agent, sizeof(c->agent), "%s", path);
	else if (agent)
		refuse(c, o->agent ? NULL : "HEARTH_AGENT", "agent", agent,
		       "not unix:/path, or too long; a ring cannot cross TCP");
	if (!path)
		read_hint(c, look(env, "DD_TRACE_AGENT_URL"));
	if (runtime && runtime[0] == '/' && strlen(runtime) < sizeof(c->runtime))
		(void)snprintf(c->runtime, sizeof(c->runtime), "%s", runtime);
}

/* ---- all together ---- */

/* "cpu=1 cpu_interval_us=9900 ...": what is in force. */
static void put_settings(struct config *c)
{
	char text[SETTINGS_BYTES] = "";
	size_t n = 0;

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];
		const void *at = (const char *)c + s->config_at;
		unsigned v = s->kind == SWITCH ? *(const bool *)at : *(const uint32_t *)at;

		if (s->kind == ENGINE && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%s", n ? " " : "",
					      s->field, engines[v]);
		else if (s->kind != TRISTATE && s->kind != HZ && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s=%u", n ? " " : "",
					      s->field, v);
	}
	put_note(c, RING_HELLO_SETTINGS, text, 0);
}

void config_read(struct config *ret, const struct hearth_options *options, config_env_fn env,
		 const char *executable)
{
	struct hearth_options o = {0};

	if (options && options->size)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < SETTINGS; i++)
		read_setting(ret, &settings[i], &o, env);
	read_agent(ret, &o, env);
	read_labels(ret, &o, env, executable);
	put_settings(ret);
}
