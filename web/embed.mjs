// SPDX-License-Identifier: Apache-2.0
//
// embed.mjs DIST STANDALONE OUT - writes OUT/page_files.c, the table of server/page.h, and beside it each file
// of DIST as gzip, which the assembler takes in with .incbin; and the two files of STANDALONE as they are, for
// query/html.h.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { extname, join, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

const TYPES = {
	'.html': 'text/html; charset=utf-8',
	'.js': 'text/javascript; charset=utf-8',
	'.css': 'text/css; charset=utf-8',
	'.svg': 'image/svg+xml',
};

const [dist, standalone, out] = process.argv.slice(2);
if (!dist || !standalone || !out) {
	console.error('usage: embed.mjs DIST STANDALONE OUT');
	process.exit(2);
}

function walk(folder) {
	return readdirSync(folder, { withFileTypes: true })
		.sort((a, b) => (a.name < b.name ? -1 : 1))
		.flatMap((e) => (e.isDirectory() ? walk(join(folder, e.name)) : [join(folder, e.name)]));
}

function describe(file, index) {
	const plain = readFileSync(file);
	const name = relative(dist, file).split('\\').join('/');
	const type = TYPES[extname(name)];
	if (!type) throw new Error(`${name}: no content type is known for this suffix`);
	if (!/^[\w./-]+$/.test(name)) throw new Error(`${name}: not a name for a C string`);
	const gzip = gzipSync(plain, { level: 9 });
	gzip[9] = 255; // the operating system in the header: not this one's, so that builds agree
	const packed = join(out, `page_${index}.gz`);
	writeFileSync(packed, gzip);
	return {
		index, type, packed,
		path: name === 'index.html' ? '/' : `/${name}`,
		etag: createHash('sha256').update(plain).digest('hex').slice(0, 20),
		plain: plain.length,
		gzip: gzip.length,
		immutable: name.startsWith('assets/'),
	};
}

function c_string(text) {
	return JSON.stringify(text);
}

mkdirSync(out, { recursive: true });

// A part that stands between the tags of its element must not hold one that ends it.
function part(name) {
	const file = resolve(standalone, name);
	const text = readFileSync(file);
	if (/<\/(script|style)|<!--/i.test(text.toString())) throw new Error(`${name}: it would end its own element`);
	return { file, size: text.length, hash: `sha256-${createHash('sha256').update(text).digest('base64')}` };
}

function incbin(symbol, file) {
	return `extern const unsigned char ${symbol}[];\n` +
		'__asm__(".pushsection .rodata\\n"\n' +
		`	"${symbol}: .incbin \\"${file.replace(/["\\]/g, '\\\\\\$&')}\\"\\n"\n` +
		'	".popsection");\n';
}

const files = walk(dist).map(describe);
const [script, style] = ['standalone.js', 'standalone.css'].map(part);
const lines = [
	'/* Written by web/embed.mjs. */',
	'#include "query/html.h"',
	'#include "server/page.h"',
	'',
	...files.map((f) => incbin(`page_${f.index}`, f.packed)),
	incbin('page_script', script.file),
	incbin('page_style', style.file),
	'const struct query_html_parts page_html = {',
	`	page_script, page_style, ${script.size}, ${style.size}, ${c_string(script.hash)}, ${c_string(style.hash)}`,
	'};',
	'',
	'const struct page_file page_files[] = {',
	...files.map((f) =>
		`	{ ${c_string(f.path)}, ${c_string(f.type)}, ${c_string(`"${f.etag}"`)}, page_${f.index}, ` +
		`${f.gzip}, ${f.plain}, ${f.immutable} },`),
	'	{ 0 },',
	'};',
	'',
];
writeFileSync(join(out, 'page_files.c'), lines.join('\n'));
