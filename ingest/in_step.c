/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/in_step.h"

#include <math.h>

#include "base/base.h"

/*
 * Rayleigh's test on the phases (Mardia and Jupp, "Directional statistics", 6.3): n phases that are
 * even have n R^2 above z with the chance exp(-z).  The harmonics are for bursts that begin at 2, 3
 * or 4 places by turns, as those that come every 10 ms do with a tick of 4 ms.
 */
#define HARMONICS 4
#define COUNTS_MIN 64
#define COUNTS_MAX 512 /* then all are halved: what was is forgotten */
#define CHANCE 20.0    /* z: exp(-20) is 2 in 10^9 */
#define R_MIN 0.25     /* of what is even up to this, samples are wrong by a tenth at most */
#define BURST_TICKS 4  /* of longer bursts a tick's place is too small a part to matter */
/* of CPU time: a clock that wakes up now and then has no samples to be wrong */
#define CPU_TICKS_MIN 10

/*
 * By pace alone: so many bursts a second that they keep their place between two ticks.
 */
#define BURSTS_MIN 200
#define BURSTS_TICKS_MAX 25 /* ticks from one burst to the next, or of two bursts */
#define BURSTS_PACE 0.01    /* how exactly the pace is kept... */
#define BURSTS_SLACK_NS 1e7 /* ...and the clock and the count were read at one time */
#define BURSTS_PATIENCE_NS (INT64_C(60) * NS_PER_S)

static double sum_of(const uint32_t counts[RING_PHASES])
{
	double n = 0;

	for (int i = 0; i < RING_PHASES; i++)
		n += counts[i];
	return n;
}

bool in_step_uneven(const uint32_t counts[RING_PHASES])
{
	double n = sum_of(counts);

	if (n < COUNTS_MIN)
		return false;
	for (int h = 1; h <= HARMONICS; h++) {
		double x = 0, y = 0;

		for (int i = 0; i < RING_PHASES; i++) {
			double angle = 2 * M_PI * h * i / RING_PHASES;

			x += counts[i] * cos(angle);
			y += counts[i] * sin(angle);
		}
		double r = sqrt(x * x + y * y) / n;

		if (r > R_MIN && n * r * r > CHANCE)
			return true;
	}
	return false;
}

void in_step_phases(struct in_step *s, const uint64_t words[RING_PHASE_WORDS], bool fresh)
{
	for (unsigned i = 0; i < RING_PHASES && (s->known || fresh); i++)
		s->counts[i] += (uint16_t)(ring_phase(words, i) - ring_phase(s->seen, i));
	for (unsigned i = 0; i < RING_PHASE_WORDS; i++)
		s->seen[i] = words[i];
	s->known = true;
	s->uneven = in_step_uneven(s->counts);
	while (sum_of(s->counts) > COUNTS_MAX)
		for (int i = 0; i < RING_PHASES; i++)
			s->counts[i] /= 2;
}

static bool keeps_pace(double ticks_a_burst, double within)
{
	for (int bursts = 1; bursts <= 2; bursts++) {
		double ticks = ticks_a_burst * bursts, nearest = floor(ticks + 0.5);

		if (nearest >= 1 && nearest <= BURSTS_TICKS_MAX &&
		    fabs(ticks - nearest) <= nearest * within)
			return true;
	}
	return false;
}

static void judge_pace(struct in_step *s, int64_t now_ns, uint64_t bursts, uint64_t cpu_ns,
		       double tick_ns)
{
	int64_t elapsed = now_ns - s->bursts_from_ns;
	double count = (double)(bursts - s->bursts_from);

	if (s->bursts_from_ns && count < BURSTS_MIN && elapsed < BURSTS_PATIENCE_NS)
		return; /* too few to tell */
	if (s->bursts_from_ns)
		s->pace = count >= BURSTS_MIN &&
			  (double)(cpu_ns - s->bursts_cpu_from_ns) < tick_ns * count &&
			  keeps_pace((double)elapsed / count / tick_ns,
				     BURSTS_PACE + BURSTS_SLACK_NS / (double)elapsed);
	s->bursts_from_ns = now_ns;
	s->bursts_from = bursts;
	s->bursts_cpu_from_ns = cpu_ns;
}

void in_step_bursts(struct in_step *s, int64_t now_ns, uint64_t bursts, uint64_t cpu_ns,
		    double tick_ns)
{
	double cpu = (double)(cpu_ns - s->brief_cpu_from_ns),
	       count = (double)(bursts - s->brief_from);

	if (cpu_ns > s->brief_cpu_from_ns && bursts > s->brief_from)
		s->brief = cpu > CPU_TICKS_MIN * tick_ns && cpu < BURST_TICKS * tick_ns * count;
	s->brief_from = bursts;
	s->brief_cpu_from_ns = cpu_ns;
	judge_pace(s, now_ns, bursts, cpu_ns, tick_ns);
}

bool in_step_judged(const struct in_step *s)
{
	return sum_of(s->counts) >= COUNTS_MIN / 2 ? s->uneven && s->brief : s->pace;
}
