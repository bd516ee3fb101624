/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/order.h"

static const char usage[] =
    "usage: hearth pause [SERVICE] [--pid N] [--all] [--for TIME]\n"
    "\n"
    "Stops the sampling of a service, of one process, or of the whole host, within a second; the\n"
    "programs run on.  `hearth resume` with the same words takes it back.  The file `disable` in "
    "the\n"
    "agent's run directory does the same for the host while it exists.\n"
    "\n"
    "  --pid N      this process alone\n"
    "  --all        every process of the host that is yours\n"
    "  --for TIME   such as 10m; until it is taken back otherwise\n" ORDER_HELP;

static int run(int argc, char **argv)
{
	extern const struct verb verb_pause;

	return order_give(&verb_pause, argc, argv);
}

const struct verb verb_pause = {.name = "pause", .usage = usage, .run = run};
