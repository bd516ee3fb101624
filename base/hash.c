/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "base/hash.h"

#include <pthread.h>
#include <sys/random.h>
#include <xxhash.h>

static uint8_t secret[XXH3_SECRET_SIZE_MIN + 56];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void secret_draw(void)
{
	uint8_t seed[64] = {0};
	ssize_t n = getrandom(seed, sizeof(seed), 0);

	(void)n; /* Without randomness the table still works; only the defence is gone. */
	XXH3_generateSecret(secret, sizeof(secret), seed, sizeof(seed));
}

uint64_t hash_keyed(const void *bytes, size_t len)
{
	(void)pthread_once(&secret_once, secret_draw);
	return XXH3_64bits_withSecret(bytes, len, secret, sizeof(secret));
}

void hash_secret(uint64_t ret_words[2])
{
	ret_words[0] = hash_keyed("a", 1);
	ret_words[1] = hash_keyed("b", 1);
}

struct hash128 hash128(const void *bytes, size_t len)
{
	XXH128_hash_t h = XXH3_128bits(bytes, len);

	return (struct hash128){h.low64, h.high64};
}

struct hash128 hash128_chain(struct hash128 parent, struct hash128 item)
{
	struct hash128 pair[2] = {parent, item};

	return hash128(pair, sizeof(pair));
}
