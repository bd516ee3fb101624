/* SPDX-License-Identifier: Apache-2.0 */
/* tests/contract/storage.h - the cases of the store's contract that stand in a file of their own.
 */
#ifndef TESTS_CONTRACT_STORAGE_H
#define TESTS_CONTRACT_STORAGE_H

/* Random puts, late ones, derivations, retention, reopenings, kills and questions against
 * tests/support/model.h.
 * HEARTH_SEEDS says how many; HEARTH_SEED starts at another. */
void random_histories_are_answered_as_by_the_model(void **state);

#endif
