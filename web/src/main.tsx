// SPDX-License-Identifier: Apache-2.0
//
// main.tsx - starts the page, and lets tests look at its state.
import 'uplot/dist/uPlot.min.css';
import './style.css';

import { render } from 'preact';

import { App } from './App';
import { hook_install } from './hook';
import { state_start } from './state';

state_start();
hook_install();
render(<App />, document.getElementById('page')!);
