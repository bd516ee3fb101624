// SPDX-License-Identifier: Apache-2.0
//
// reporter.mjs - vitest's results as this project's tests print them: `ok NAME`, `not ok NAME`.
function walk(task, path, each) {
	const name = [...path, task.name];
	if (task.type === 'suite') for (const child of task.tasks) walk(child, name, each);
	else each(name.join(': '), task);
}

export default class OkReporter {
	onFinished(files = [], errors = []) {
		for (const file of files) {
			const name = file.name.replace(/^test\/|\.test\.ts$/g, '');
			for (const task of file.tasks) walk(task, [name], print);
			if (!file.tasks.length) {
				for (const error of file.result?.errors ?? []) console.log(`# ${error.stack ?? error.message}`);
				console.log(`not ok ${name}: could not be run`);
				process.exitCode = 1;
			}
		}
		for (const error of errors) console.log(`# ${error.stack ?? error}`);
	}
}

function print(name, task) {
	if (task.result?.state === 'pass') return console.log(`ok ${name}`);
	for (const error of task.result?.errors ?? [])
		console.log(`${error.stack ?? error.message}`.replace(/^/gm, '# '));
	console.log(`not ok ${name}`);
}
