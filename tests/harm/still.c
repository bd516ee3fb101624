/* SPDX-License-Identifier: Apache-2.0 */
/* Linked statically, or made set-uid: a preload has no business there. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	printf("here, %s\n", getuid() == geteuid() ? "as started" : "as another");
	return 3;
}
