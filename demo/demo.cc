// SPDX-License-Identifier: Apache-2.0
//
// hearth-demo: a small shop, with facts planted for a profiler to find.
//
//   hot function   checksum_orders takes six tenths of the CPU time, price_cart three,
//                  render_page one
//   lock           two clerks wait for inventory_lock, which restock holds while it sleeps
//   leak           remember_session keeps 64 KiB every 100 ms and never gives it back
//   sleeper        janitor sleeps all of its time
//
// usage: hearth-demo [SECONDS]   (default: until SIGINT or SIGTERM)
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <random>
#include <thread>
#include <vector>

namespace shop
{

using std::chrono::milliseconds;

std::atomic<bool> closing{false};
std::mutex inventory_lock;
volatile std::uint64_t sink;

double thread_cpu_seconds()
{
	timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) * 1e-9;
}

// Work for `seconds` of CPU time, each time under a name of its own.
#define BURN(name, salt)                                                                           \
	__attribute__((noinline)) void name(double seconds)                                        \
	{                                                                                          \
		double until = thread_cpu_seconds() + seconds;                                     \
		std::uint64_t x = salt;                                                            \
                                                                                                   \
		do {                                                                               \
			for (int i = 0; i < 40000; i++)                                            \
				x = x * 6364136223846793005u + (salt);                             \
			sink = x;                                                                  \
		} while (thread_cpu_seconds() < until);                                            \
	}

BURN(checksum_orders, 1)
BURN(price_cart, 3)
BURN(render_page, 5)

// Bursts of random length, so that nothing keeps step with a sampling clock.
__attribute__((noinline)) void serve_request(std::mt19937 &random)
{
	std::exponential_distribution<double> length(1.0 / 0.004);

	checksum_orders(0.6 * length(random));
	price_cart(0.3 * length(random));
	render_page(0.1 * length(random));
}

void worker(unsigned seed)
{
	std::mt19937 random(seed);

	pthread_setname_np(pthread_self(), "worker");
	while (!closing) {
		serve_request(random);
		std::this_thread::sleep_for(milliseconds(6));
	}
}

__attribute__((noinline)) void restock()
{
	std::lock_guard<std::mutex> guard(inventory_lock);

	std::this_thread::sleep_for(milliseconds(8));
}

__attribute__((noinline)) void sell()
{
	std::lock_guard<std::mutex> guard(inventory_lock);

	sink = sink + 1;
}

void clerk()
{
	pthread_setname_np(pthread_self(), "clerk");
	while (!closing) {
		sell();
		std::this_thread::sleep_for(milliseconds(1));
	}
}

void warehouse()
{
	pthread_setname_np(pthread_self(), "warehouse");
	while (!closing) {
		restock();
		std::this_thread::sleep_for(milliseconds(2));
	}
}

__attribute__((noinline)) char *remember_session()
{
	char *session = static_cast<char *>(std::malloc(64 << 10));

	for (int i = 0; session && i < 64 << 10; i += 4096)
		session[i] = 1;
	return session;
}

void sessions()
{
	static std::vector<char *> remembered; // never emptied: this is the leak

	pthread_setname_np(pthread_self(), "sessions");
	while (!closing) {
		remembered.push_back(remember_session());
		std::this_thread::sleep_for(milliseconds(100));
	}
}

void janitor()
{
	pthread_setname_np(pthread_self(), "janitor");
	while (!closing)
		std::this_thread::sleep_for(milliseconds(500));
}

} // namespace shop

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? std::atof(argv[1]) : 0;
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &stop, nullptr);

	std::vector<std::thread> threads;

	threads.emplace_back(shop::worker, 1u);
	threads.emplace_back(shop::worker, 2u);
	threads.emplace_back(shop::clerk);
	threads.emplace_back(shop::clerk);
	threads.emplace_back(shop::warehouse);
	threads.emplace_back(shop::sessions);
	threads.emplace_back(shop::janitor);
	if (seconds > 0) {
		timespec wait = {
		    static_cast<time_t>(seconds),
		    static_cast<long>(
			(seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};

		sigtimedwait(&stop, nullptr, &wait);
	} else {
		int number;

		sigwait(&stop, &number);
	}
	shop::closing = true;
	for (std::thread &thread : threads)
		thread.join();
	std::printf("the shop is closed\n");
	return 0;
}
