/** The pool's contract suite over every kind of manager, and that it leaves out nothing of docs/python.md. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { poolContract, poolManagers, shown } from '../contract/pool.contract.ts';

for (const manager of poolManagers) poolContract(manager);

/** The tables that speak of pools and futures. */
const titles = ['Pool', 'AsyncResult', 'IMapIterator', 'Executor, ProcessPoolExecutor', 'Future', 'concurrent.futures'];

test('every row of docs/python.md about pools and futures is shown by a test of the suite, but for what differs', () => {
  const text = readFileSync(new URL('../../docs/python.md', import.meta.url), 'utf8');
  const sections = text.split(/^## /m).map((section) => section.split('\n'));
  const rows = sections
    .filter(([title = '']) => titles.includes(title))
    .flatMap((lines) => lines.filter((line) => line.startsWith('| `') || /^\| \w+ /.test(line)))
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
    .map(([, python = '', , shownBy = '']) => ({ python: python.replaceAll('`', ''), shownBy }))
    .filter(({ python }) => python !== 'Python');
  expect(rows.length).toBeGreaterThan(90);
  const missing = rows.filter(({ python, shownBy }) => !shown.has(python) && !/^difference \d+$/.test(shownBy));
  expect(missing.map(({ python }) => python)).toEqual([]);
  const there = new Set(rows.map(({ python }) => python));
  expect([...shown].filter((row) => !there.has(row))).toEqual([]);
});
