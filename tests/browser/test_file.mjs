// SPDX-License-Identifier: Apache-2.0
//
// test_file.mjs - a flame graph, and the diff of two, in one HTML file: opened from the disk and from the agent, in
// a real browser, with names that would like to be more than text.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Agent } from './agent.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILD = process.env.HEARTH_BUILD || resolve(HERE, '../../build/release');
const { chromium } = createRequire(join(BUILD, 'web/stage/package.json'))('playwright-core');

const EVIL = ['</script><img src=x onerror=window.__evil=1>', '<!--<script>window.__evil=1', '\u2028"),window.__evil=1,("', '${window.__evil=1}'];
const STACKS = ['main;work;spin 60', 'main;work;work;spin 10', 'main;wait 30', ...EVIL.map((name) => `main;${name} 5`)];

function check(condition, message) {
	if (!condition) throw new Error(message);
}

async function opened(browser, url, cookies) {
	const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
	if (cookies) await context.addCookies(cookies);
	const page = await context.newPage();
	const wrong = [];
	page.setDefaultTimeout(30_000);
	page.on('console', (m) => wrong.push(`console ${m.type()}: ${m.text()}`));
	page.on('pageerror', (e) => wrong.push(`error: ${e.message}`));
	page.on('request', (r) => r.url() !== url && wrong.push(`request to ${r.url()}`));
	await page.goto(url);
	return { page, wrong, close: () => context.close() };
}

async function looks_right(browser, url, cookies) {
	const { page, wrong, close } = await opened(browser, url, cookies);
	await page.waitForFunction(() => window.__hearth?.draws() > 0);
	const names = await page.evaluate(() => window.__hearth.names());
	for (const name of ['main', 'work', 'spin', ...EVIL]) check(names.includes(name), `${name} is missing in ${JSON.stringify(names)}`);
	check((await page.evaluate(() => window.__hearth.total())) === 120, 'the total');
	const rows = await page.$$eval('table tbody tr', (all) => all.map((row) => row.textContent));
	check(rows.length === names.length - 3, `${rows.length} rows of ${names.length} nodes`); // root, and two of recursion
	const at = await page.evaluate(() => window.__hearth.place('work'));
	await page.mouse.click(at.x, at.y);
	await page.waitForFunction(() => JSON.stringify(window.__hearth.zoomed()) === '["total","main","work"]');
	await page.fill('#search', 'spin');
	await page.waitForFunction(() => window.__hearth.matched() === 70);
	await page.hover('canvas');
	check(!(await page.evaluate(() => window.__evil)), 'a name ran');
	check(!(await page.$('img')), 'a name became an element');
	check(wrong.length === 0, wrong.join('\n'));
	await close();
}

// A line is a sample.  What is gone in "shop" is 30 of 100 here.
const BEFORE = Object.entries({ 'main;work;spin': 60, 'main;gone': 30, 'main;wait': 10 })
	.flatMap(([stack, n]) => Array(n).fill(`${stack} 1`));

async function diff_looks_right(browser, url, cookies) {
	const { page, wrong, close } = await opened(browser, url, cookies);
	await page.waitForFunction(() => window.__hearth?.draws() > 0);
	const names = await page.evaluate(() => window.__hearth.names());
	for (const name of ['spin', 'gone', ...EVIL]) check(names.includes(name), `${name} is missing in ${JSON.stringify(names)}`);
	const row = async (name) => (await page.$$eval('table tbody tr', (all) => all.map((r) => [...r.children].map((c) => c.textContent))))
		.find((r) => r[0] === name);
	const gone = await row('gone');
	check(gone[1] === '30 %' && gone[2] === '0 %' && /^\u221230\.00 \u00b1 4\.58$/.test(gone[3]), JSON.stringify(gone));
	check((await row('wait'))[3].startsWith('+15.00 \u00b1 '), 'wait');
	check((await page.$$eval('td.shrank', (all) => all.map((c) => c.textContent))).includes(gone[3]), 'gone is not said to have shrunk');
	const facts = await page.textContent('.facts');
	check(/base 100 .*from 100 samples, new 120 .*from 7 samples/.test(facts), facts);
	const at = await page.evaluate(() => window.__hearth.place('gone'));
	await page.mouse.move(at.x, at.y);
	await page.waitForSelector('.tip');
	const tip = await page.textContent('.tip');
	check(tip.includes('30 %') && tip.includes('0 %') && tip.includes('\u221230.00'), tip);
	await page.mouse.click(at.x, at.y);
	await page.waitForFunction(() => JSON.stringify(window.__hearth.zoomed()) === '["total","main","gone"]');
	check(!(await page.evaluate(() => window.__evil)), 'a name ran');
	check(!(await page.$('img')), 'a name became an element');
	check(wrong.length === 0, wrong.join('\n'));
	await close();
}

// What a store says that had to fold small stacks, which takes it hours.
async function says_what_was_folded(browser, url) {
	const { page, wrong, close } = await opened(browser, url);
	await page.waitForSelector('.facts .warn');
	const warnings = await page.$$eval('.facts .warn', (all) => all.map((one) => one.textContent));
	check(warnings.some((text) => /\[other\].*no room/.test(text)), JSON.stringify(warnings));
	check(wrong.length === 0, wrong.join('\n'));
	await page.screenshot({ path: process.env.HEARTH_SHOT || join(folder, 'folded.png') });
	await close();
}

const agent = await Agent.start(BUILD);
const browser = await chromium.launch({
	executablePath: process.env.HEARTH_CHROMIUM || '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
		'--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const folder = mkdtempSync(join(tmpdir(), 'hearth-file.'));
let failed = 0;
try {
	await agent.upload('shop', STACKS, { name: 'cpu' });
	await agent.upload('before', BEFORE, { name: 'cpu' });
	const types = JSON.parse((await agent.request('GET', '/api/v1/types')).body).types;
	const asked = { format: 'html', type: types[0].id, query: '{service="shop"}' };
	const one = `/api/v1/flamegraph?${new URLSearchParams(asked)}`;
	const two = `/api/v1/diff?${new URLSearchParams({ ...asked, base_query: '{service="before"}' })}`;
	const on_disk = async (path, file, test, change = (text) => text) => {
		const answer = await agent.request('GET', path);
		check(answer.status === 200 && answer.body.startsWith('<!doctype html>'), answer.body.slice(0, 200));
		writeFileSync(join(folder, file), change(answer.body));
		await test(browser, `file://${folder}/${file}`);
	};
	const of_agent = async (path, test) => {
		const context = await browser.newContext();
		const page = await context.newPage();
		await page.goto(agent.link());
		await test(browser, agent.origin + path, await context.cookies());
		await context.close();
	};
	for (const [name, test] of [
		['a_file_on_the_disk', () => on_disk(one, 'x.html', looks_right)],
		['a_document_of_the_agent_in_its_sandbox', () => of_agent(one, looks_right)],
		['a_file_of_a_store_without_room', () => on_disk(one, 'folded.html', says_what_was_folded,
			(text) => text.replace('"partial":false', '"partial":false,"folded":true'))],
		['a_diff_on_the_disk', () => on_disk(two, 'diff.html', diff_looks_right)],
		['a_diff_of_the_agent_in_its_sandbox', () => of_agent(two, diff_looks_right)],
	]) {
		try {
			await test();
			console.log(`ok ${name}`);
		} catch (error) {
			failed++;
			console.log(`not ok ${name}\n# ${String(error.stack).replaceAll('\n', '\n# ')}`);
		}
	}
} finally {
	await browser.close();
	await agent.stop();
	rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
