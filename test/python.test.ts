/** docs/python.md keeps its word: every row names a test that is there, or a deliberate difference that is listed. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const root = path.dirname(import.meta.dirname);
const text = readFileSync(path.join(root, 'docs/python.md'), 'utf8');
const [differences = '', ...tables] = text.split(/^## (?!Deliberate)/m);
const rows = tables
  .flatMap((table) => table.split('\n'))
  .filter((line) => line.startsWith('| ') && !/^\| (Python\b|---)/.test(line))
  .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()))
  .map(([, python = '', , shown = '']) => ({ python, shown }));

test('there are rows, and at most 15 deliberate differences, numbered in order', () => {
  expect(rows.length).toBeGreaterThan(60);
  const numbers = [...differences.matchAll(/^(\d+)\. \*\*/gm)].map(([, number]) => Number(number));
  expect(numbers).toEqual(numbers.map((_, at) => at + 1));
  expect(numbers.length).toBeLessThanOrEqual(15);
});

test('each row names a test that is there, or a difference that is listed', () => {
  const tests = readdirSync(path.join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(test|contract)\.ts$/.test(file))
    .map((file) => readFileSync(path.join(root, 'test', file), 'utf8'))
    .join('\n');
  const wrong = rows.filter(({ shown }) => {
    const difference = /^difference (\d+)$/.exec(shown)?.[1];
    if (difference !== undefined) return !new RegExp(`^${difference}\\. `, 'm').test(differences);
    const name = /^"(.*)"$/.exec(shown)?.[1];
    return name === undefined || !tests.includes(`'${name}'`);
  });
  expect(wrong).toEqual([]);
});
