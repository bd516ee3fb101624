/* SPDX-License-Identifier: Apache-2.0 */
/* lock_pair PAIRS - takes and gives back a lock that nobody else wants, in a program with two
 * threads. */
#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *nothing(void *arg)
{
	return arg;
}

int main(int argc, char **argv)
{
	long pairs = argc > 1 ? atol(argv[1]) : 0;
	pthread_t other;

	if (pthread_create(&other, NULL, nothing, NULL) || pthread_join(other, NULL))
		return 1;
	for (long i = 0; i < pairs; i++) {
		(void)pthread_mutex_lock(&lock);
		(void)pthread_mutex_unlock(&lock);
	}
	return 0;
}
