/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/pprof beside protobuf's C++ parser with an arena, by turns on the same bodies: CPU time of
 * each pair. Built only where libprotobuf is; neither the product nor a test needs it.
 *
 *	ingest_arena          the inputs of ingest_pprof, as JSON lines
 *	ingest_arena FILE...  uncompressed profiles
 */
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <malloc.h>
#include <string>
#include <vector>

#include <google/protobuf/arena.h>

#include "pprof.pb.h"

extern "C" {
/* Of tests/bench/ingest_arena_ours.c: decode; samples, or less than 0. */
long ingest_arena_ours(const void *bytes, size_t len);
/* The n-th input, or NULL. */
const char *ingest_arena_input(size_t n, const void **bytes, size_t *len);
}

namespace
{

/* Its first block is kept from parse to parse, which is the quickest way to use one. */
class Arena
{
      public:
	explicit Arena(size_t bytes) : block_(bytes), arena_(options())
	{
	}

	long parse(const void *bytes, size_t len)
	{
		auto *p =
		    google::protobuf::Arena::CreateMessage<perftools::profiles::Profile>(&arena_);
		long samples =
		    p->ParseFromArray(bytes, static_cast<int>(len)) ? p->sample_size() : -1;

		arena_.Reset();
		return samples;
	}

      private:
	google::protobuf::ArenaOptions options()
	{
		google::protobuf::ArenaOptions o;

		o.initial_block = block_.data();
		o.initial_block_size = block_.size();
		return o;
	}

	std::vector<char> block_;
	google::protobuf::Arena arena_;
};

double cpu_seconds()
{
	timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

template <typename Fn> double seconds_of(Fn fn, int count)
{
	double begin = cpu_seconds();

	for (int i = 0; i < count; i++)
		fn();
	return cpu_seconds() - begin;
}

double median(std::vector<double> values)
{
	std::sort(values.begin(), values.end());
	return values[values.size() / 2];
}

int compare(const std::string &name, const void *bytes, size_t len)
{
	const int pairs = 31;
	Arena arena(16 * len + (1 << 20));
	std::vector<double> ratios, speeds, theirs;

	if (ingest_arena_ours(bytes, len) != arena.parse(bytes, len)) {
		std::fprintf(stderr, "ingest_arena: %s: the two do not agree\n", name.c_str());
		return 1;
	}
	int count = std::max(1, static_cast<int>(4000000 / len));

	for (int i = 0; i < pairs; i++) {
		double a = seconds_of([&] { ingest_arena_ours(bytes, len); }, count);
		double b = seconds_of([&] { arena.parse(bytes, len); }, count);

		ratios.push_back(b / a);
		speeds.push_back(static_cast<double>(len) * count / a / 1e6);
		theirs.push_back(static_cast<double>(len) * count / b / 1e6);
	}
	std::printf("{\"bench\":\"ingest-arena\",\"metric\":\"%s.speed\",\"value\":%.1f,\"unit\":"
		    "\"MB/s\",\"baseline\":%.1f}\n",
		    name.c_str(), median(speeds), median(theirs));
	std::printf("{\"bench\":\"ingest-arena\",\"metric\":\"%s.cpu_ratio\",\"value\":%.2f,"
		    "\"unit\":\"times faster\",\"baseline\":2}\n",
		    name.c_str(), median(ratios));
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	int failed = 0;
	const void *bytes;
	size_t len;

	/* As the agent does (server/main.c). */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
	(void)mallopt(M_TOP_PAD, 1 << 20);
	for (int i = 1; i < argc; i++) {
		std::ifstream in(argv[i], std::ios::binary);
		std::string body((std::istreambuf_iterator<char>(in)),
				 std::istreambuf_iterator<char>());

		failed |= compare(argv[i], body.data(), body.size());
	}
	for (size_t n = 0; argc == 1; n++) {
		const char *name = ingest_arena_input(n, &bytes, &len);

		if (!name)
			break;
		failed |= compare(name, bytes, len);
	}
	return failed;
}
