/** The documents name only what there is: files, links between them, and decisions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.dirname(import.meta.dirname);
const documents = readdirSync(root, { withFileTypes: true })
  .concat(readdirSync(path.join(root, 'docs'), { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
  .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/'));

test('the documents that a reader looks for are there', () => {
  for (const name of [
    'README',
    'CHANGELOG',
    'SECURITY',
    'CONTRIBUTING',
    'docs/journey',
    'docs/protocol',
    'docs/glossary',
  ]) {
    expect(documents).toContain(`${name}.md`);
  }
});

describe.each(documents)('%s', (document) => {
  const text = readFileSync(path.join(root, document), 'utf8');

  test('its links lead somewhere', () => {
    const dead = linksIn(text).filter((link) => !existsSync(path.join(root, path.dirname(document), link)));
    expect(dead).toEqual([]);
  });

  test('the files that it names exist', () => {
    expect(filesIn(text).filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
  });
});

test('comments in the sources name documents that exist', () => {
  const dead = readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const named = readFileSync(path.join(root, 'src', file), 'utf8').matchAll(/\bdocs\/[\w./-]*\w/g);
      return [...named].map(([name]) => ({ file, name }));
    })
    .filter(({ name }) => !documents.some((document) => document === name || document.startsWith(`${name}-`)));
  expect(dead).toEqual([]);
});

test('the index of decisions lists each of them, and each begins with its number', () => {
  const notes = readdirSync(path.join(root, 'docs/decisions')).filter((name) => /^\d{4}-/.test(name));
  const index = readFileSync(path.join(root, 'docs/decisions/README.md'), 'utf8');
  expect([...index.matchAll(/\]\((\d{4}-.*?)\)/g)].map(([, name]) => name)).toEqual(notes.toSorted());
  for (const name of notes) {
    expect(readFileSync(path.join(root, 'docs/decisions', name), 'utf8')).toMatch(
      new RegExp(`^# ${name.slice(0, 4)}: `),
    );
  }
});

test('a dead link and a missing file are found', () => {
  expect(linksIn('see [a](b.md#c), [d](https://e.f) and [g](#h)')).toEqual(['b.md']);
  expect(filesIn('`src/a.ts` and `b/c` and `test/kit/`, [`x`](src/y.ts)')).toEqual(['src/a.ts', 'test/kit/']);
});

/** Targets of relative links, without their fragments. */
function linksIn(markdown: string): string[] {
  return [...markdown.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
    .map(([, target]) => target as string)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** Files and folders of this repository that stand in backquotes. */
function filesIn(markdown: string): string[] {
  return [...markdown.matchAll(/`((?:src|test|docs|examples|scripts|bench)\/[\w./-]*)`/g)].map(
    ([, file]) => file as string,
  );
}
