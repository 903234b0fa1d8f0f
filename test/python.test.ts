/**
 * docs/python.md keeps its word: it has a row for everything that Python's classes offer, and every row names a test that
 * is there, or a deliberate difference that is listed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.dirname(import.meta.dirname);
const text = readFileSync(path.join(root, 'docs/python.md'), 'utf8');
const [differences = '', ...sections] = text.split(/^## (?!Deliberate)/m);

interface Row {
  readonly python: string;
  readonly here: string;
  readonly shown: string;
}

/** By the heading: the classes that a table is of. */
const tables = new Map<string, Row[]>(
  sections.map((section) => {
    const [title = '', ...lines] = section.split('\n');
    const rows = lines
      .filter((line) => line.startsWith('| ') && !/^\| (Python\b|---)/.test(line))
      .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|')))
      .map(([, python = '', here = '', shown = '']) => ({ python, here, shown }));
    return [title, rows];
  }),
);
const rows = [...tables.values()].flat();

/** What each class offers: members, operators, arguments that may be left out. By test/fixtures/python-names.py. */
const { classes } = JSON.parse(readFileSync(path.join(root, 'test/fixtures/python-names.json'), 'utf8')) as {
  classes: Record<string, string[]>;
};

function rowsOf(of: string): readonly Row[] {
  const title = [...tables.keys()].find((each) => each.split(', ').includes(of));
  return tables.get(title ?? '') ?? [];
}

/** What a row is about: the first code of its Python column. */
const subjectOf = ({ python }: Row): string => /^`([^`]+)`/.exec(python)?.[1] ?? '';

/** Whether code is about a name: the same operator, or a call or property of that name that shows the argument, if any. */
function isAbout(code: string, name: string): boolean {
  if (code === name) return true;
  const [, member, argument] = /^(\w+)(?:\(\W*(\w+)\))?$/.exec(name) ?? [];
  const [, called, given = ''] = /^(?:\w+\.)?(\w+)(?:\((.*)\))?$/.exec(code) ?? [];
  return (
    member !== undefined && called === member && (argument === undefined || new RegExp(`\\b${argument}\\b`).test(given))
  );
}

test('there are rows, and at most 15 deliberate differences, numbered in order', () => {
  expect(rows.length).toBeGreaterThan(400);
  const numbers = [...differences.matchAll(/^(\d+)\. \*\*/gm)].map(([, number]) => Number(number));
  expect(numbers).toEqual(numbers.map((_, at) => at + 1));
  expect(numbers.length).toBeLessThanOrEqual(15);
});

test('what Python offers was read from Python', () => {
  expect(Object.values(classes).flat().length).toBeGreaterThan(400);
  expect(Object.keys(classes).flatMap((each) => (rowsOf(each).length === 0 ? [each] : []))).toEqual([]);
});

describe.each(Object.entries(classes))('%s', (of, names) => {
  test('has a row for each name, operator and argument', () => {
    const subjects = rowsOf(of).map(subjectOf);
    expect(names.filter((name) => !subjects.some((subject) => isAbout(subject, name)))).toEqual([]);
  });

  test('no row stands for several', () => {
    const further = ({ python }: Row): string[] =>
      [...python.matchAll(/`([^`]+)`/g)].slice(1).map(([, code = '']) => code);
    const grouped = rowsOf(of).filter(
      (row) => subjectOf(row) === '' || further(row).some((code) => names.some((name) => isAbout(code, name))),
    );
    expect(grouped).toEqual([]);
  });
});

test('each row says how it is here, and names a test that is there, or a difference that is listed', () => {
  const tests = readdirSync(path.join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(test|contract)\.ts$/.test(file))
    .map((file) => readFileSync(path.join(root, 'test', file), 'utf8'))
    .join('\n');
  const wrong = rows.filter(({ here, shown }) => {
    if (here === '') return true;
    const difference = /^difference (\d+)$/.exec(shown)?.[1];
    if (difference !== undefined) return !new RegExp(`^${difference}\\. `, 'm').test(differences);
    const name = /^"(.*)"$/.exec(shown)?.[1];
    return name === undefined || here === '–' || !tests.includes(`'${name}'`);
  });
  expect(wrong).toEqual([]);
});
