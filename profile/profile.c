/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/profile.h"

void profile_free(struct profile *profile)
{
	if (!profile)
		return;
	intern_release(&profile->strings);
	free(profile->modules);
	free(profile->frames);
	free(profile->frame_identities);
	free(profile->nodes);
	free(profile->node_hashes);
	free(profile->kinds);
	free(profile->labels);
	free(profile->series);
	free(profile->contexts);
	free(profile->records);
	free(profile->values);
	free(profile->cursors);
	free(profile->losses);
	free(profile);
}

static struct hash128 text_identity(const struct profile *profile, uint32_t string)
{
	struct str s = profile_string(profile, string);

	return hash128(s.ptr, s.len);
}

static const struct profile_module *module_of(const struct profile *profile,
					      const struct profile_frame *frame)
{
	static const struct profile_module unknown;

	return frame->module < profile->modules_count ? &profile->modules[frame->module] : &unknown;
}

struct hash128 profile_frame_identity(const struct profile *profile,
				      const struct profile_frame *frame, uint32_t owner)
{
	const struct profile_module *module = module_of(profile, frame);
	bool address = frame->flags & PROFILE_FRAME_ADDRESS;
	struct profile_frame_texts texts = {0};

	if (!address || !module->build_id_len)
		texts.module = text_identity(profile, module->path);
	if (!address) {
		texts.function = text_identity(profile, frame->function);
		texts.file = text_identity(profile, frame->file);
	}
	return profile_frame_identity_of(profile, frame, owner, &texts);
}

struct hash128 profile_frame_identity_of(const struct profile *profile,
					 const struct profile_frame *frame, uint32_t owner,
					 const struct profile_frame_texts *texts)
{
	const struct profile_module *module = module_of(profile, frame);
	/* Fixed layout, no padding: this is hashed, stored and compared between hosts. */
	struct {
		uint64_t tag, address, line;
		struct hash128 module, function, file;
		uint8_t instance[16];
	} key = {0};

	if (frame->flags & PROFILE_FRAME_ADDRESS) {
		key.tag =
		    1 |
		    (uint64_t)(frame->flags & (PROFILE_FRAME_KERNEL | PROFILE_FRAME_FILE_OFFSET))
			<< 8;
		key.address = frame->address;
		if (module->build_id_len)
			key.module = hash128(module->build_id, module->build_id_len);
		else
			key.module = texts->module;
		/* A hash of text, a bare path and code without a file say nothing beyond their
		 * owner; the last not even beyond its process. */
		if (!module->build_id_len || module->is_hash)
			key.line = (uint64_t)owner + 1;
		if (!frame->module)
			memcpy(key.instance, profile->instance.runtime_id, sizeof(key.instance));
	} else {
		key.tag =
		    2 | (uint64_t)(frame->flags & (PROFILE_FRAME_KERNEL | PROFILE_FRAME_INLINED))
			    << 8;
		key.line = frame->line;
		key.module = texts->module;
		key.function = texts->function;
		key.file = texts->file;
	}
	return hash128(&key, sizeof(key));
}

const char *const profile_labels_that_stay[] = {"service", "env",       "version",
						"host",    "__types__", NULL};

bool profile_label_stays(struct str key)
{
	for (const char *const *stays = profile_labels_that_stay; *stays; stays++)
		if (str_is(key, *stays))
			return true;
	return false;
}

const struct profile_label *profile_label_find(const struct profile *profile,
					       struct profile_labels labels, struct str key)
{
	for (uint32_t i = labels.at; i < labels.at + labels.count; i++) {
		struct str s = profile_string(profile, profile->labels[i].key);

		if (s.len == key.len && !memcmp(s.ptr, key.ptr, key.len))
			return &profile->labels[i];
	}
	return NULL;
}

void profile_column_type(const struct profile *profile, const struct profile_kind *kind,
			 size_t column, struct profile_type *ret_type)
{
	*ret_type = (struct profile_type){
	    .name = profile_string(profile, kind->name),
	    .type = profile_string(profile, kind->columns[column].type),
	    .unit = profile_string(profile, kind->columns[column].unit),
	    .period_type = profile_string(profile, kind->period_type),
	    .period_unit = profile_string(profile, kind->period_unit),
	};
}
