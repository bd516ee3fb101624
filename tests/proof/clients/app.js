// SPDX-License-Identifier: Apache-2.0
// Computes and allocates for twelve seconds.
function hotNode(n) {
	let sum = 0;
	for (let i = 0; i < n; i++) sum += i * i;
	return sum;
}
const kept = [];
const end = Date.now() + 12000;
function step() {
	hotNode(3e6);
	kept.push(new Array(1000).fill(1));
	if (Date.now() < end) setTimeout(step, 1);
	else setTimeout(() => process.exit(0), 500);
}
step();
