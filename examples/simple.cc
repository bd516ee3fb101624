// SPDX-License-Identifier: Apache-2.0
// examples/simple.cc - a C++ program and its threads.
//
//	c++ simple.cc -lhearth && ./a.out
#include <cstdio>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <hearth.h>

namespace
{

struct free_profiler {
	void operator()(hearth_profiler *p) const
	{
		hearth_profiler_free(p);
	}
};

double harmonic(std::size_t terms)
{
	std::vector<double> v(terms);

	for (std::size_t i = 0; i < terms; i++)
		v[i] = 1.0 / static_cast<double>(i + 1);
	return std::accumulate(v.begin(), v.end(), 0.0);
}

} // namespace

int main()
{
	hearth_options options{};
	options.size = sizeof(options);
	options.service = "simple-cc";
	std::unique_ptr<hearth_profiler, free_profiler> profiler(hearth_profiler_new(&options));

	if (int code = hearth_profiler_start(profiler.get(), nullptr))
		std::fprintf(stderr, "no profile: %s\n", hearth_strerror(code));
	double sum[2] = {};
	std::vector<std::thread> threads;
	for (double &s : sum)
		threads.emplace_back([&s] {
			hearth_thread_name("adder");
			for (int i = 0; i < 100; i++)
				s += harmonic(200000);
		});
	for (std::thread &t : threads)
		t.join();
	(void)hearth_profiler_stop(profiler.get(), true);
	std::printf("%.3f %.3f\n", sum[0], sum[1]);
	return 0;
}
