// SPDX-License-Identifier: Apache-2.0
//
// test_page.mjs - the page as a person meets it: a real hearthd, real uploads, a real browser.
//
// Each test opens its own browser context.  All of them watch for messages on the console, for
// violations of the content security policy and for requests to anywhere else.
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { Agent } from './agent.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILD = process.env.HEARTH_BUILD || resolve(HERE, '../../build/release');
const STAGE = join(BUILD, 'web/stage');
const { chromium } = createRequire(join(STAGE, 'package.json'))('playwright-core');

const KB = 1024;
const PATIENCE_MS = Number(process.env.HEARTH_PATIENCE_MS || 30_000); // reached by a broken page only
const EVIL = '</script><img src=x onerror=window.__evil=1>';
const SHOP = [
	'main;serve;parse_body 30', 'main;serve;parse_body;memcpy 10', 'main;serve;query;lookup 40',
	'main;serve;query;lookup;memcpy 15', 'main;idle 5', `main;${EVIL} 7`, 'main;"quoted" & <b>bold</b> 3',
];
const BANK = ['main;settle;sign 60', 'main;settle;store 20'];
const WIDE = Array.from({ length: 12000 }, (_, i) => `main;fan;leaf_${i} 1`);

let agent;
let browser;
let cookies;

function check(condition, message) {
	if (!condition) throw new Error(message);
}

function equal(got, wanted, what) {
	const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
	if (a !== b) throw new Error(`${what}: got ${a}, wanted ${b}`);
}

// A page that is admitted, and everything that it did wrong so far.
async function open(query = '', options = {}) {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
	await context.addCookies(options.cookies ?? cookies);
	const page = await context.newPage();
	page.setDefaultTimeout(PATIENCE_MS);
	const wrong = [];
	page.on('console', (m) => wrong.push(`console ${m.type()}: ${m.text()}`));
	page.on('pageerror', (e) => wrong.push(`error: ${e.message}`));
	page.on('request', (r) => {
		if (new URL(r.url()).origin !== agent.origin) wrong.push(`request to ${r.url()}`);
	});
	await page.exposeFunction('__violation', (text) => wrong.push(`policy: ${text}`));
	await page.addInitScript(() => {
		addEventListener('securitypolicyviolation', (e) => window.__violation(`${e.violatedDirective} ${e.blockedURI}`));
	});
	await page.goto(`${agent.origin}/${query}`);
	return { page, wrong, close: () => context.close() };
}

const settled = (page) => page.waitForFunction(() => window.__hearth && !window.__hearth.loading());
const ask = (page, name, ...given) => page.evaluate(([n, g]) => window.__hearth[n](...g), [name, given]);

// Until the hook says so.
function says(page, name, wanted) {
	return page.waitForFunction(
		([n, w]) => !window.__hearth.loading() && JSON.stringify(window.__hearth[n]()) === w, [name, JSON.stringify(wanted)],
	);
}

// Where a frame is, once it has been laid out and drawn: the data may be there a moment earlier.
async function place(page, name) {
	const found = await page.waitForFunction(
		(n) => {
			const at = window.__hearth.place(n);
			return at && Number.isFinite(at.x) && Number.isFinite(at.y) && at.y > 0 && at;
		}, name);
	return found.jsonValue();
}

async function frame_click(page, name) {
	const at = await place(page, name);
	await page.mouse.click(at.x, at.y);
}

async function with_page(query, options, body) {
	const opened = await open(query, options);
	try {
		await settled(opened.page);
		await body(opened.page);
		equal(opened.wrong, [], 'what the page did wrong');
	} finally {
		await opened.close();
	}
}

const rows = (page) => page.$$eval('.table tbody tr', (list) =>
	list.map((tr) => [tr.querySelector('th').innerText.trim(), tr.querySelectorAll('td.number .value')[0].innerText, tr.querySelectorAll('td.number .value')[1].innerText]));

// ---- the tests; a name says what holds ----

async function a_browser_without_a_cookie_is_told_what_to_do() {
	const { page, close } = await open('', { cookies: [] });
	await page.waitForSelector('[role=alert]');
	check((await page.innerText('[role=alert]')).includes('hearth ui'), 'the command is not named');
	await close();
}

async function an_agent_without_data_teaches_and_then_shows_them() {
	await with_page('', {}, async (page) => {
		const text = await page.innerText('main');
		for (const said of ['hearthd', 'hearth run -- ./your-program', 'waiting for data'])
			check(text.includes(said), `"${said}" is missing in: ${text}`);
		await agent.upload('shop', SHOP);
		await says(page, 'total', 110); // by itself, at its next look
	});
}

async function the_login_link_admits_once() {
	const link = agent.link();
	const context = await browser.newContext();
	const page = await context.newPage();
	await page.goto(link);
	await settled(page);
	equal(new URL(page.url()).pathname, '/', 'where the link leads');
	check((await ask(page, 'nodes')) > 1, 'no graph after the login');
	equal(await page.evaluate(() => document.cookie), '', 'what scripts see of the cookie');
	const again = await page.goto(link);
	equal(again.status(), 403, 'the second use');
	await context.close();
}

async function the_graph_and_the_table_say_the_same() {
	await with_page('?service=shop', {}, async (page) => {
		equal(await ask(page, 'total'), 110, 'the total');
		const names = await ask(page, 'names');
		for (const name of ['main', 'serve', 'lookup', 'memcpy', EVIL]) check(names.includes(name), `${name} is missing`);
		const table = Object.fromEntries((await rows(page)).map(([name, self, total]) => [name, [self, total]]));
		equal(table.memcpy, ['25', '25'], 'memcpy');
		equal(table.lookup, ['40', '55'], 'lookup');
		equal(table.main, ['0', '110'], 'main');
		check((await ask(page, 'draws')) > 0, 'nothing was drawn');
		const height = await page.$eval('.flame-scroller', (s) => s.clientHeight);
		check(height > 400, `the graph has ${height} px of 900`);
	});
}

async function a_click_zooms_and_the_way_back_is_open() {
	await with_page('?service=shop', {}, async (page) => {
		await frame_click(page, 'query');
		await says(page, 'zoomed', ['total', 'main', 'serve', 'query']);
		check(new URL(page.url()).searchParams.has('zoom'), 'the zoom is not in the link');
		await page.focus('.flame-scroller');
		await page.keyboard.press('Backspace');
		await says(page, 'zoomed', ['total', 'main', 'serve']);
		await page.goBack();
		await says(page, 'zoomed', ['total', 'main', 'serve', 'query']);
		await page.click('.crumbs button:has-text("Reset zoom")');
		await says(page, 'zoomed', ['total']);
	});
}

async function the_keyboard_alone_gets_around() {
	await with_page('?service=shop', {}, async (page) => {
		await page.focus('.flame-scroller');
		for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown']) await page.keyboard.press(key);
		await says(page, 'selected', 'serve');
		await page.keyboard.press('ArrowDown');
		await says(page, 'selected', 'query');
		const spoken = await page.innerText('.flame [aria-live]');
		check(/^query: total 55 samples \(50 %\), self 0 samples.*depth 3, 1 callees$/.test(spoken), `spoken: ${spoken}`);
		await page.keyboard.press('ArrowLeft');
		const left = await ask(page, 'selected');
		await page.keyboard.press('ArrowRight');
		check(left === 'query' || left === 'parse_body', `a neighbour, not ${left}`);
		await page.keyboard.press('Enter');
		check((await ask(page, 'zoomed')).length > 1, 'Enter did not zoom');
		await page.keyboard.press('Escape');
		await says(page, 'zoomed', ['total']);
		await page.keyboard.press('/');
		equal(await page.evaluate(() => document.activeElement.id), 'search', 'where / leads');
	});
}

async function a_search_says_how_much_it_found() {
	await with_page('?service=shop', {}, async (page) => {
		await page.fill('#search', 'memcpy');
		await says(page, 'matched', 25);
		check((await page.innerText('.matched')).startsWith('22.7 % in 2 frames'), await page.innerText('.matched'));
		equal((await rows(page)).map((r) => r[0]), ['memcpy'], 'the table');
		await page.click('[aria-label="Next match"]');
		await says(page, 'selected', 'memcpy');
		await page.fill('#search', '/^(lookup|idle)$/');
		await says(page, 'matched', 60);
		await page.fill('#search', '/(/');
		await page.waitForSelector('#search[aria-invalid=true]');
		equal(new URL(page.url()).searchParams.get('search'), '/(/', 'the link');
	});
}

async function service_and_type_are_chosen() {
	await agent.upload('bank', BANK);
	await agent.upload('shop', ['main;serve;allocate 4096'], { name: 'alloc_space' });
	await with_page('?service=shop', {}, async (page) => {
		await page.selectOption('#type', 'alloc_space');
		await says(page, 'type', 'memory:alloc_space:bytes:space:bytes');
		check((await page.innerText('.facts')).startsWith('4 KiB'), await page.innerText('.facts'));
		equal(await page.$eval('#type optgroup:has(option[value=alloc_space])', (g) => g.label), 'Memory', 'its group');
		await page.selectOption('#service', 'bank');
		await says(page, 'total', 80); // has no such type, so what it has is shown
		equal(await page.inputValue('#type'), 'cpu_samples', 'the type that is shown');
		await page.selectOption('#service', '*');
		await page.selectOption('#type', 'cpu_samples');
		await says(page, 'total', 190);
	});
}

async function labels_narrow_and_a_bad_selector_is_explained() {
	await agent.upload('bank', ['main;night 5'], { env: 'test' });
	await with_page('?service=bank', {}, async (page) => {
		equal(await ask(page, 'total'), 85, 'without labels');
		await page.fill('#query', 'env="test"');
		await page.keyboard.press('Enter');
		await says(page, 'total', 5);
	});
	const { page, close } = await open('?service=bank&query=env%3D');
	await page.waitForSelector('[role=alert]');
	check((await page.innerText('[role=alert]')).includes('selector: expected'), 'the reason is not shown');
	await close();
}

async function a_link_restores_the_view() {
	const query = '?service=shop&type=cpu_samples&from=now-30m&show=flame&shape=flame&search=memcpy&sort=-total';
	let zoom = '';
	await with_page(query, {}, async (page) => {
		await frame_click(page, 'lookup');
		await says(page, 'zoomed', ['total', 'main', 'serve', 'query', 'lookup']);
		zoom = page.url().slice(agent.origin.length + 1);
		await page.reload();
		await says(page, 'zoomed', ['total', 'main', 'serve', 'query', 'lookup']);
	});
	await with_page(zoom, {}, async (page) => {
		const view = await ask(page, 'view');
		equal([view.service, view.from, view.show, view.shape, view.search, view.sort],
			['shop', 'now-30m', 'flame', 'flame', 'memcpy', '-total'], 'the view');
		equal((await ask(page, 'zoomed')).at(-1), 'lookup', 'the zoom');
		equal(await ask(page, 'matched'), 25, 'the search');
		equal(await page.$('.table'), null, 'the table');
	});
}

async function dragging_over_the_timeline_chooses_a_range() {
	await with_page('?service=shop&from=now-15m', {}, async (page) => {
		const box = await page.locator('.timeline .u-over').boundingBox();
		await page.mouse.move(box.x + box.width * 0.2, box.y + 20);
		await page.mouse.down();
		await page.mouse.move(box.x + box.width * 0.5, box.y + 22, { steps: 4 });
		await page.mouse.move(box.x + box.width * 0.7, box.y + 20, { steps: 4 });
		await page.mouse.up();
		await page.waitForFunction(() => /^\d{13}$/.test(window.__hearth.view().from));
		const { from, until } = await ask(page, 'view');
		const minutes = (Number(until) - Number(from)) / 60e3;
		check(minutes > 7 && minutes < 8, `half of 15 minutes, not ${minutes}`);
		await settled(page);
		check((await page.innerText('main')).includes('Nothing here'), 'an empty range does not say so');
		await page.click('text=Show its last 15 minutes');
		await says(page, 'total', 110);
	});
}

async function what_is_hidden_is_said_and_can_be_shown() {
	await agent.upload('wide', WIDE);
	await with_page('?service=wide', {}, async (page) => {
		equal(await ask(page, 'total'), 12000, 'the total with hidden frames');
		check((await ask(page, 'names')).includes('(hidden)'), 'no block stands for what is hidden');
		check(/hidden: [\d.]+ % in [\d,]+ small frames/.test(await page.innerText('.facts')), await page.innerText('.facts'));
		await page.click('text=show all');
		await page.waitForFunction(() => !window.__hearth.loading() && window.__hearth.nodes() === 12003);
		equal(await ask(page, 'total'), 12000, 'the total with every frame');
		check(!(await ask(page, 'names')).includes('(hidden)'), 'something is still hidden');
	});
}

async function names_are_text_wherever_they_stand() {
	await with_page('?service=shop', {}, async (page) => {
		const at = await place(page, EVIL);
		await page.mouse.move(at.x, at.y);
		await page.waitForSelector('.tip');
		equal(await page.innerText('.tip strong'), EVIL, 'the tooltip');
		check((await page.innerText('.flame-line')).startsWith(EVIL), 'the status line');
		await page.mouse.click(at.x, at.y);
		await says(page, 'zoomed', ['total', 'main', EVIL]);
		equal(await page.innerText('.crumbs [aria-current]'), EVIL, 'the breadcrumb');
		check((await rows(page)).some(([name]) => name === EVIL), 'the table');
		equal(await page.evaluate(() => [window.__evil ?? 0, document.querySelectorAll('img, b').length]), [0, 0], 'what came of it');
	});
}

async function the_table_sorts_and_says_so() {
	await with_page('?service=shop&show=table', {}, async (page) => {
		await page.click('thead th.total button');
		await page.waitForSelector('th.total[aria-sort=descending]');
		equal((await rows(page))[0].slice(0, 1).concat((await rows(page))[0][2]), ['main', '110'], 'the first row');
		await page.click('thead th.total button');
		await page.waitForSelector('th.total[aria-sort=ascending]');
		const totals = (await rows(page)).map((r) => Number(r[2]));
		equal(totals, [...totals].sort((a, b) => a - b), 'the order');
	});
}

async function nothing_overflows_a_narrow_screen() {
	for (const show of ['flame', 'both', 'table'])
		await with_page(`?service=shop&show=${show}`, { viewport: { width: 390, height: 844 }, hasTouch: true }, async (page) => {
			equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, `width of ${show}`);
		});
}

async function a_deep_stack_scrolls_on_a_small_canvas() {
	await agent.upload('deep', [`${Array.from({ length: 400 }, (_, i) => `level_${i}`).join(';')} 9`]);
	await with_page('?service=deep&show=flame', {}, async (page) => {
		const heights = await page.$eval('.flame-scroller', (s) => [s.querySelector('canvas').height, s.clientHeight, s.scrollHeight]);
		check(heights[0] <= heights[1] * 2, `the canvas is ${heights[0]} high in a viewport of ${heights[1]}`);
		check(heights[2] > 400 * 20, `the scroller is ${heights[2]} high`);
		check(heights[1] > 400, `the viewport is only ${heights[1]} high`);
		await page.$eval('.flame-scroller', (s) => (s.scrollTop = s.scrollHeight));
		const at = await place(page, 'level_399');
		await page.mouse.move(at.x, at.y);
		await page.waitForSelector('.tip');
		equal(await page.innerText('.tip strong'), 'level_399', 'the deepest frame');
	});
}

async function exports_lead_to_the_same_data() {
	await with_page('?service=shop&type=cpu_samples', {}, async (page) => {
		await page.click('.menu summary');
		const link = await page.getAttribute('.menu a:has-text("Folded")', 'href');
		const text = await page.evaluate(async (l) => (await fetch(l)).text(), link);
		const sum = text.trim().split('\n').reduce((n, line) => n + Number(line.slice(line.lastIndexOf(' '))), 0);
		equal(sum, 110, 'the sum of the folded stacks');
	});
}

async function the_themes_differ_and_are_kept() {
	await with_page('?service=shop', { colorScheme: 'light' }, async (page) => {
		const paper = () => page.$eval('body', (b) => getComputedStyle(b).backgroundColor);
		const light = await paper();
		await page.emulateMedia({ colorScheme: 'dark' });
		await page.waitForFunction((l) => getComputedStyle(document.body).backgroundColor !== l, light);
		const toggle = page.locator('[aria-label^="Colours"]');
		await toggle.click();
		await page.waitForSelector('[aria-label="Colours: light"]');
		equal(await paper(), light, 'light by choice');
		await page.reload();
		await settled(page);
		equal(await paper(), light, 'light after a reload');
	});
}

async function the_page_stays_small() {
	const assets = join(STAGE, 'dist/assets');
	const sizes = readdirSync(assets).map((name) => [name, gzipSync(readFileSync(join(assets, name)), { level: 9 }).length]);
	const total = (suffix) => sizes.filter(([name]) => name.endsWith(suffix)).reduce((n, [, size]) => n + size, 0);
	console.log(`# gzip: ${sizes.map(([name, size]) => `${name} ${size}`).join(', ')}; all ${total('')}`);
	check(total('.js') <= 120 * KB, `scripts: ${total('.js')} bytes`);
	check(total('') <= 150 * KB, `everything: ${total('')} bytes`);
}

async function files_are_cached_as_their_names_allow() {
	const index = await fetch(`${agent.origin}/`);
	equal(index.headers.get('cache-control'), 'no-cache', 'the page');
	const script = /src="(\/assets\/[^"]+\.js)"/.exec(await index.text())[1];
	const asset = await fetch(agent.origin + script);
	equal(asset.headers.get('cache-control'), 'public, max-age=31536000, immutable', 'the script');
	equal(asset.headers.get('content-type'), 'text/javascript; charset=utf-8', 'its type');
	const known = await fetch(agent.origin + script, { headers: { 'If-None-Match': asset.headers.get('etag') } });
	equal(known.status, 304, 'a known script');
}

async function a_picture_is_taken() {
	mkdirSync(BUILD, { recursive: true });
	await with_page('?service=shop', {}, async (page) => {
		await page.waitForFunction(() => window.__hearth.draws() > 0);
		await page.screenshot({ path: join(BUILD, 'page.png') });
	});
}

const TESTS = [
	a_browser_without_a_cookie_is_told_what_to_do, an_agent_without_data_teaches_and_then_shows_them,
	the_login_link_admits_once, the_graph_and_the_table_say_the_same, a_click_zooms_and_the_way_back_is_open,
	the_keyboard_alone_gets_around, a_search_says_how_much_it_found, service_and_type_are_chosen,
	labels_narrow_and_a_bad_selector_is_explained, a_link_restores_the_view, dragging_over_the_timeline_chooses_a_range,
	what_is_hidden_is_said_and_can_be_shown, names_are_text_wherever_they_stand, the_table_sorts_and_says_so,
	nothing_overflows_a_narrow_screen, a_deep_stack_scrolls_on_a_small_canvas, exports_lead_to_the_same_data,
	the_themes_differ_and_are_kept, the_page_stays_small, files_are_cached_as_their_names_allow, a_picture_is_taken,
];

async function cookies_get() {
	const context = await browser.newContext();
	await (await context.newPage()).goto(agent.link());
	const got = await context.cookies();
	await context.close();
	return got;
}

let failed = 0;
agent = await Agent.start(BUILD);
try {
	browser = await chromium.launch({
		executablePath: process.env.HEARTH_CHROMIUM || '/usr/bin/chromium',
		args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--disable-sync'],
	});
	cookies = await cookies_get();
	for (const test of TESTS) {
		try {
			await test();
			console.log(`ok ${test.name}`);
		} catch (error) {
			failed++;
			console.log(String(error.stack).replace(/^/gm, '# '));
			console.log(`not ok ${test.name}`);
		}
	}
} finally {
	await browser?.close();
	await agent.stop();
}
process.exitCode = failed ? 1 : 0;
