/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/otlp_json.h - OTLP's JSON form: in as the binary one, and the answer out.  Private to
 * ingest/.
 */
#ifndef INGEST_OTLP_JSON_H
#define INGEST_OTLP_JSON_H

#include "ingest/protocol.h"

/* The request's JSON body as an ExportProfilesServiceRequest. `ret_binary` is the caller's to
 * release. */
MUST_CHECK int ingest_otlp_binary(const struct ingest_request *request, struct buf *ret_binary,
				  struct err *err);

/* An ExportProfilesServiceResponse, or a google.rpc.Status. */
void ingest_otlp_answer_json(const struct ingest_outcome *outcome, struct buf *body);

#endif
