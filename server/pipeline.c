/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pipeline.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

static int protocol_choose(const struct pipeline_upload *upload,
			   const struct ingest_request *request,
			   const struct ingest_protocol **ret_protocol, struct err *err)
{
	*ret_protocol = upload->protocol     ? upload->protocol
			: upload->format.len ? ingest_find(upload->format)
					     : ingest_sniff(request);
	/* An envelope makes sense at its own paths alone. */
	if (*ret_protocol && (upload->protocol || !(*ret_protocol)->paths))
		return 0;
	if (upload->format.len)
		return err_set(err, -EOPNOTSUPP, "format \"%.*s\" is not read here",
			       (int)MIN(upload->format.len, (size_t)40), upload->format.ptr);
	return err_set(err, -EOPNOTSUPP,
		       "the body is in no format that is known here; name it with "
		       "format=");
}

static void series_write(const struct profile *profile, struct buf *out)
{
	struct json json;

	json_init(&json, out);
	json_open(&json, '[');
	for (size_t i = 0; i < profile->series_count; i++) {
		const struct profile_kind *kind = &profile->kinds[profile->series[i].kind];

		for (size_t c = 0; c < kind->columns_count; c++) {
			char id[PROFILE_TYPE_ID_MAX];
			struct profile_type type;

			profile_column_type(profile, kind, c, &type);
			if (profile_type_format(&type, id) == 0)
				json_cstring(&json, id);
		}
	}
	json_close(&json, ']');
}

/* Decode into a finished profile. */
static int decode(struct profile_builder *builder, struct pipeline_upload *upload,
		  struct profile **ret_profile, struct pipeline_result *result, struct err *err)
{
	const struct ingest_request *request = &upload->request;
	const struct ingest_protocol *protocol = NULL;
	int rc = protocol_choose(upload, request, &protocol, err);

	upload->protocol = protocol;
	if (rc)
		return rc;
	struct profile *profile = profile_builder_profile(builder);

	/* The owner is part of every identity, so it is set before the first series. */
	profile->instance.owner = upload->owner;
	rc = protocol->decode(request, builder, &result->findings, err);
	if (!rc && upload->id.len)
		rc = profile_builder_string(builder, upload->id, &profile->upload_id);
	if (rc)
		return rc;
	profile->arrived_ns = request->now_ns;
	result->cuts = *profile_builder_cuts(builder);
	*ret_profile = profile_builder_take(builder);
	return *ret_profile ? 0 : err_set(err, -ENOMEM, "upload: out of memory");
}

static void count(uint64_t *counter, uint64_t more)
{
	(void)__atomic_add_fetch(counter, more, __ATOMIC_RELAXED);
}

/* By the protocol of the request, or of the body where it came to /api/v1/profiles; behind the last
 * one those that never got so far. */
static void upload_count(struct agent *agent, const struct pipeline_upload *upload,
			 const struct pipeline_result *result, int rc, const struct err *err)
{
	size_t i = 0;

	while (ingest_at(i) && ingest_at(i) != upload->protocol)
		i++;
	struct agent_uploads *to = &agent->uploads[i];

	count(&to->requests, 1);
	count(&to->failed, rc < 0);
	count(&to->duplicates, result->duplicate);
	if (rc == -E2BIG || rc == -EDQUOT)
		limits_refused(&agent->limits, err->message);
	if (rc < 0)
		return;
	limits_cut(&agent->limits, &result->cuts);
	count(&to->profiles, result->findings.profiles);
	count(&to->samples, result->samples);
	count(&to->rejected, result->findings.rejected);
}

/* Everything before the store. *ret_profile is what was made, whatever is returned; *ret_empty:
 * there is nothing to keep. */
static int upload_read(struct agent *agent, struct profile_builder *builder,
		       struct pipeline_upload *upload, struct profile **ret_profile,
		       bool *ret_empty, struct pipeline_result *ret_result, struct buf *series_json,
		       struct err *err)
{
	struct ingest_request *request = &upload->request;
	struct buf plain;

	buf_init(&plain, BUF_UNLIMITED); /* bounded by the limits below */
	int rc =
	    quota_request(agent->quota, upload->owner, upload->body.len, clock_monotonic_ns(), err);

	if (!rc)
		rc = ingest_decompress(upload->body.ptr, upload->body.len, request->limits, &plain,
				       err);

	request->body = (struct str){plain.data ? plain.data : "", plain.len};
	if (!rc)
		rc = decode(builder, upload, ret_profile, ret_result, err);
	struct profile *profile = *ret_profile;

	if (!rc && upload->change)
		rc = upload->change(upload->change_arg, profile, err);
	buf_release(&plain);
	request->body = (struct str){0};
	if (rc)
		return rc;
	ret_result->samples = profile->records_count;
	ret_result->series = profile->series_count;
	ret_result->clamped = profile->clamped;
	if (series_json)
		series_write(profile, series_json);
	/* A request without a single profile (a probe, an empty push) has nothing to keep. */
	*ret_empty = !profile->records_count && (upload->change || !ret_result->findings.profiles);
	return *ret_empty
		   ? 0
		   : quota_series(agent->quota, upload->owner, profile, clock_monotonic_ns(), err);
}

static int upload_keep(struct agent *agent, struct profile_builder *builder,
		       struct pipeline_upload *upload, struct profile **ret_profile,
		       struct pipeline_result *ret_result, struct buf *series_json, struct err *err)
{
	struct ingest_request *request = &upload->request;
	bool empty = false;

	request->now_ns = clock_real_ns();
	request->accept_from_ns = request->now_ns - PIPELINE_ACCEPT_BACK_NS;
	request->accept_until_ns = request->now_ns + PIPELINE_ACCEPT_AHEAD_NS;
	request->limits = &agent->config.limits;
	writer_expect(agent->writer);
	int rc =
	    upload_read(agent, builder, upload, ret_profile, &empty, ret_result, series_json, err);

	if (rc || empty) {
		writer_expect_no_more(agent->writer);
		return rc;
	}
	rc = writer_put_wait(agent->writer, *ret_profile, err);
	if (rc < 0)
		return rc;
	ret_result->duplicate = rc == STORAGE_DUPLICATE;
	return 0;
}

int pipeline_upload(struct agent *agent, struct pipeline_upload *upload,
		    struct pipeline_result *ret_result, struct buf *series_json, struct err *err)
{
	struct profile *profile = NULL;
	struct builders_loan loan;
	int rc = builders_borrow(agent->builders, &loan);

	*ret_result = (struct pipeline_result){0};
	if (rc)
		return err_set(err, rc, "upload: out of memory");
	upload->request.room = &loan.room;
	rc = upload_keep(agent, loan.builder, upload, &profile, ret_result, series_json, err);
	upload->request.room = NULL;
	builders_return(agent->builders, &loan, profile, clock_monotonic_ns());
	upload_count(agent, upload, ret_result, rc, err);
	return rc;
}
