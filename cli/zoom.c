/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/order.h"

static const char usage[] = "usage: hearth zoom [SERVICE] [--pid N] [--all] --cpu-hz N --for TIME\n"
			    "\n"
			    "Samples the CPU time of a service, or of one process, faster for a "
			    "while, to see what is rare or\n"
			    "short.  The program's budget stays in force: a client that would cost "
			    "more than its share slows\n"
			    "down by itself and says so in `hearth status`.\n"
			    "\n"
			    "  --cpu-hz N   samples for each second of CPU time, 1 to 1000\n"
			    "  --for TIME   such as 60s or 5m, 1h at most\n"
			    "  --pid N      this process alone\n"
			    "  --all        every process of the host that is yours\n" ORDER_HELP;

static int run(int argc, char **argv)
{
	extern const struct verb verb_zoom;

	return order_give(&verb_zoom, argc, argv);
}

const struct verb verb_zoom = {.name = "zoom", .usage = usage, .run = run};
