/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/order.h"

static const char usage[] =
    "usage: hearth resume [SERVICE] [--pid N] [--all]\n"
    "\n"
    "Takes back what `hearth zoom` and `hearth pause` ordered with the same words.\n"
    "\n"
    "  --pid N      this process alone\n"
    "  --all        every process of the host that is yours\n" ORDER_HELP;

static int run(int argc, char **argv)
{
	extern const struct verb verb_resume;

	return order_give(&verb_resume, argc, argv);
}

const struct verb verb_resume = {.name = "resume", .usage = usage, .run = run};
