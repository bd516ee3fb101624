/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/base.h - the room's front: everything that knows nothing of profiles.
 *
 * Each header stands alone; include the one that you need, or this for all.
 * Functions may run on any thread unless their header says otherwise.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/index.h"
#include "base/intern.h"
#include "base/json.h"
#include "base/log.h"
#include "base/slots.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "base/util.h"
#include "base/varint.h"

#endif
