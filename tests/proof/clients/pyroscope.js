// SPDX-License-Identifier: Apache-2.0
const pyroscope = require('@pyroscope/nodejs');
pyroscope.init({ serverAddress: process.env.SERVER, appName: 'node-pyroscope', flushIntervalMs: 4000,
	wall: { collectCpuTime: true } });
pyroscope.start();
require('./app.js');
