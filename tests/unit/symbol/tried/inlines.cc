// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace shop {

template <typename T> struct Basket {
	std::vector<T> items;
	void add(const T &item) { items.push_back(item); }
	T total() const
	{
		T sum{};
		for (const T &item : items)
			sum += item;
		return sum;
	}
};

class Checkout {
public:
	explicit Checkout(int n) { for (int i = 0; i < n; i++) basket.add(i * 3); }
	__attribute__((noinline)) int run(int discount)
	{
		std::sort(basket.items.begin(), basket.items.end(), [](int a, int b) { return a > b; });
		return basket.total() - discount;
	}

private:
	Basket<int> basket;
};

} // namespace shop

int main(int argc, char **argv)
{
	std::map<std::string, int> seen;
	for (int i = 0; i < argc; i++)
		seen[argv[i]] += shop::Checkout(argc * 10).run(i);
	for (const auto &entry : seen)
		std::printf("%s %d\n", entry.first.c_str(), entry.second);
	return 0;
}
