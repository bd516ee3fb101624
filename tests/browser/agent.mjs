// SPDX-License-Identifier: Apache-2.0
//
// agent.mjs - a real hearthd in a folder of its own, and requests over its Unix socket.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PATIENCE_MS = 60_000; // reached by a broken program only

// Asks again until `condition` gives something true, which is returned.
export async function wait_for(what, condition) {
	const limit = Date.now() + PATIENCE_MS;
	for (;;) {
		const value = await condition();
		if (value) return value;
		if (Date.now() > limit) throw new Error(`waited ${PATIENCE_MS / 1e3} s for ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 25));
	}
}

export class Agent {
	static async start(build) {
		const agent = new Agent();
		agent.bin = join(build, 'bin');
		agent.folder = mkdtempSync(join(tmpdir(), 'hearth-browser.'));
		agent.run = join(agent.folder, 'run');
		const log = openSync(join(agent.folder, 'log'), 'a');
		agent.child = spawn(
			join(agent.bin, 'hearthd'),
			['--run', agent.run, '--data', join(agent.folder, 'data'), '--listen', '127.0.0.1:0'],
			{ stdio: ['ignore', log, log] },
		);
		agent.ended = new Promise((resolve) => agent.child.once('exit', resolve));
		agent.bound = await wait_for('hearthd to be ready', () => agent.#ready());
		return agent;
	}

	#ready() {
		if (this.child.exitCode !== null) throw new Error(`hearthd ended:\n${this.log()}`);
		try {
			const bound = JSON.parse(readFileSync(join(this.run, 'hearthd.json'), 'utf8'));
			return bound.pid === this.child.pid && bound;
		} catch {
			return false;
		}
	}

	get origin() {
		return `http://${this.bound.http[0]}`;
	}

	log() {
		return readFileSync(join(this.folder, 'log'), 'utf8');
	}

	request(method, path, body) {
		return new Promise((resolve, reject) => {
			const request = http.request(
				{ socketPath: join(this.run, 'http.sock'), method, path, headers: { Host: 'localhost' } },
				(answer) => {
					const parts = [];
					answer.on('data', (part) => parts.push(part));
					answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() }));
				},
			);
			request.on('error', reject);
			request.end(body);
		});
	}

	// Folded stacks; `name` chooses the type.
	async upload(service, folded, more = {}) {
		const said = new URLSearchParams({ service, format: 'folded', ...more });
		const answer = await this.request('POST', `/api/v1/profiles?${said}`, folded.join('\n'));
		if (answer.status !== 200) throw new Error(`upload: ${answer.status} ${answer.body}`);
	}

	// The one-time link, as the command line prints it.
	link() {
		return execFileSync(join(this.bin, 'hearth'), ['ui'], {
			env: { ...process.env, HEARTH_SERVER: `unix:${this.run}` },
		}).toString().trim();
	}

	async stop() {
		if (this.child.exitCode === null) this.child.kill('SIGTERM');
		await this.ended;
		rmSync(this.folder, { recursive: true, force: true });
	}
}
