/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/log.h - one line an event on stderr, with a level and the room it came from.
 *
 * Only server/ and cli/ log; other rooms return errors.  HEARTH_LOG=info,ingest:debug
 * sets the default level and a level per domain.  With JOURNAL_STREAM set each line gets
 * journald's "<3>" prefix.  Control characters in the text are escaped, so that a name from
 * outside cannot forge a line or drive a terminal.  Any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Read HEARTH_LOG's syntax from `spec` (NULL: the environment). Call once, before threads. */
void log_init(const char *spec);

void log_write(enum log_level level, const char *domain, const char *fmt, ...) PRINTF(3, 4);

#define log_error(domain, ...) log_write(LOG_ERROR, domain, __VA_ARGS__)
#define log_warn(domain, ...) log_write(LOG_WARN, domain, __VA_ARGS__)
#define log_info(domain, ...) log_write(LOG_INFO, domain, __VA_ARGS__)
#define log_debug(domain, ...) log_write(LOG_DEBUG, domain, __VA_ARGS__)

#endif
