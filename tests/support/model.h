/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/model.h - the slow store that every answer is compared with: it keeps every profile
 * and answers by looking at every record, as text.  It shares no code with storage/.
 */
#ifndef TESTS_SUPPORT_MODEL_H
#define TESTS_SUPPORT_MODEL_H

#include "tests/support/profiles.h"

struct model {
	struct profile **profiles; /* owned */
	size_t count, capacity;
};

void model_take(struct model *m, struct profile *profile);
void model_release(struct model *m);

void model_scan(const struct model *m, const struct storage_scan *scan, struct answer *ret);
/* Lines "series index @ step start" with sum and count. */
void model_timeline(const struct model *m, const struct storage_scan *scan, int64_t step_ns,
		    struct answer *ret);
/* Lines "stack time series instance labels"; the time is 0 when the scan is timeless. */
void model_records(const struct model *m, const struct storage_scan *scan, struct answer *ret);
/* Lines "series index reason". */
void model_losses(const struct model *m, const struct storage_scan *scan, struct answer *ret);
/* Lines of the identity, as "hi lo", count of records. */
void model_series(const struct model *m, int64_t from_ns, int64_t until_ns, struct answer *ret);

/* The same answers from a store. Each returns what the store returned. */
int store_scan(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret);
int store_timeline(struct storage_reader *r, const struct storage_scan *scan, int64_t step_ns,
		   struct answer *ret);
int store_records(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret);
int store_losses(struct storage_reader *r, const struct storage_scan *scan, struct answer *ret);
int store_series(struct storage_reader *r, int64_t from_ns, int64_t until_ns, struct answer *ret);

#endif
