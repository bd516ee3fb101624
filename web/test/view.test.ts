import { test, expect } from 'vitest';
import { view_parse, view_format } from '../src/view';
test('nothing said is nothing written', () => { expect(view_format(view_parse(''))).toBe(''); });
