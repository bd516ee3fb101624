/* SPDX-License-Identifier: Apache-2.0 */
/* client_cpu.h - shared by the two files of this benchmark. */
#ifndef BENCH_CLIENT_CPU_H
#define BENCH_CLIENT_CPU_H

/* Call `work` with about `frames` frames above main. */
void with_frames(unsigned frames, void (*work)(void *), void *arg);

#endif
