/** --resume, --from, and what is kept between runs. */
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { folderWith, quartermaster, runGraphFile } from '../kit/command.ts';

const tasks = `export default { wrap: ({ text }) => ({ text, map: new Map([[1, text]]) }), read: ({ it }) => it.map.get(1) };\n`;
const graph = `
tasks: tasks.mjs
jobs:
  source: { run: cat src/a.txt, inputs: src }
  wrap: { task: wrap, with: { text: '\${{ jobs.source.output }}' } }
  read: { task: read, with: { it: '\${{ jobs.wrap.output }}' } }
  apart: { run: echo apart, env: { X: '1' } }
  last: { after: [read, apart], run: 'echo "last \${{ jobs.read.output }}"' }
`;
const files = { 'build.yaml': graph, 'tasks.mjs': tasks, 'src/a.txt': 'first\n', 'src/node_modules/x': '' };
const all = ['apart', 'last', 'read', 'source', 'wrap'];

/** The jobs that ran, in the order of their names, and the outputs. */
async function resume(folder: string, ...args: string[]) {
  const { code, states, outputs } = await runGraphFile(folder, 'build.yaml', '--resume', ...args);
  expect(code).toBe(0);
  return { ran: Object.keys(states).toSorted(), outputs };
}

describe('--resume', () => {
  test('runs nothing again where nothing has changed, and everything without it', async () => {
    const folder = folderWith(files);
    expect((await resume(folder)).ran).toEqual(all);
    expect((await resume(folder)).ran).toEqual([]);
    expect(Object.keys((await runGraphFile(folder, 'build.yaml')).states).toSorted()).toEqual(all);
  });

  test.each<[what: string, change: (folder: string) => void, ran: readonly string[]]>([
    [
      'contents of inputs',
      (folder) => writeFileSync(path.join(folder, 'src/a.txt'), 'second'),
      ['last', 'read', 'source', 'wrap'],
    ],
    [
      'a new file in inputs',
      (folder) => writeFileSync(path.join(folder, 'src/b.txt'), ''),
      ['last', 'read', 'source', 'wrap'],
    ],
    ['a command', (folder) => rewrite(folder, 'echo apart', 'echo else'), ['apart', 'last']],
    ['an environment', (folder) => rewrite(folder, "X: '1'", "X: '2'"), ['apart', 'last']],
    ['a way to the same', (folder) => rewrite(folder, 'after: [read, apart]', 'after: [apart]'), ['last']],
    ['the tasks module', (folder) => appendFileSync(path.join(folder, 'tasks.mjs'), '// x'), ['last', 'read', 'wrap']],
    [
      'an output that was lost',
      (folder) => rmSync(path.join(folder, '.quartermaster/build.yaml/outputs/wrap')),
      ['last', 'read', 'wrap'],
    ],
    ['what is in node_modules', (folder) => writeFileSync(path.join(folder, 'src/node_modules/x'), 'x'), []],
    [
      'a line that was half written',
      (folder) => appendFileSync(path.join(folder, '.quartermaster/build.yaml/jobs.jsonl'), '{"id": "apa'),
      [],
    ],
  ])('%s: runs what depends on it', async (_, change, ran) => {
    const folder = folderWith(files);
    await resume(folder);
    change(folder);
    const second = await resume(folder);
    expect(second.ran).toEqual(ran);
    expect((await resume(folder)).ran).toEqual([]);
  });

  test('after a failure: what succeeded is left out, what failed and what needed it runs', async () => {
    const folder = folderWith({ ...files, 'build.yaml': graph.replace('echo apart', 'test -e ok') });
    expect((await runGraphFile(folder, 'build.yaml', '-k')).states).toMatchObject({ apart: 'failed', last: 'skipped' });
    writeFileSync(path.join(folder, 'ok'), '');
    const { ran, outputs } = await resume(folder);
    expect(ran).toEqual(['apart', 'last']);
    expect(outputs['last']).toBe('last first');
  });

  test('a job whose predecessor has run since is not up to date', async () => {
    const folder = folderWith(files);
    await resume(folder);
    await runGraphFile(folder, 'build.yaml', '--only', 'apart');
    expect((await resume(folder)).ran).toEqual(['last']);
  });

  test('what it reads is what was there when it started, not what it was when it ended', async () => {
    const folder = folderWith({ 'build.yaml': `jobs: { a: { run: echo x >> log, inputs: log } }` });
    expect((await resume(folder)).ran).toEqual(['a']);
    expect((await resume(folder)).ran).toEqual(['a']);
  });

  test('an output that does not come back as it was is made again', async () => {
    const folder = folderWith({
      'tasks.mjs': `export default { make: () => Object.assign(new Error('x'), { own: 1 }) };`,
      'build.yaml': 'tasks: tasks.mjs\njobs: { a: { task: make } }',
    });
    expect((await resume(folder)).ran).toEqual(['a']);
    expect((await resume(folder)).ran).toEqual(['a']);
  });

  test('--dry-run says what would run', async () => {
    const folder = folderWith(files);
    await resume(folder);
    writeFileSync(path.join(folder, 'src/a.txt'), 'second');
    const { stdout } = await quartermaster(folder, ['run', 'build.yaml', '--resume', '--dry-run']);
    expect(stdout).toMatch(/^build\.yaml: 4 jobs/);
    expect(stdout).toMatch(/^up to date: apart$/m);
    expect(stdout).toMatch(/^critical path: source → wrap → read → last, /m);
  });
});

test('--from takes the outputs of earlier runs', async () => {
  const folder = folderWith(files);
  await runGraphFile(folder, 'build.yaml');
  const { states, outputs } = await runGraphFile(folder, 'build.yaml', '--from', 'read');
  expect(Object.keys(states)).toEqual(['read', 'last']);
  expect(outputs['last']).toBe('last first');
});

test('the directory ignores itself, has a log for each job, and may be removed', async () => {
  const folder = folderWith(files);
  await resume(folder);
  const kept = path.join(folder, '.quartermaster');
  expect(readFileSync(path.join(kept, '.gitignore'), 'utf8')).toBe('*\n');
  expect(readdirSync(path.join(kept, 'build.yaml')).toSorted()).toEqual(['inputs', 'jobs.jsonl', 'logs', 'outputs']);
  expect(readdirSync(path.join(kept, 'build.yaml/logs')).toSorted()).toEqual(all.map((id) => `${id}.log`));
  rmSync(kept, { recursive: true });
  expect((await resume(folder)).ran).toEqual(all);
});

test('a lock that a dead process has left is no lock', async () => {
  const folder = folderWith({ 'build.yaml': 'jobs: { a: { run: echo a } }' });
  await resume(folder);
  writeFileSync(path.join(folder, '.quartermaster/build.yaml/lock'), '2147483646');
  expect((await resume(folder)).ran).toEqual([]);
});

function rewrite(folder: string, from: string, to: string): void {
  const file = path.join(folder, 'build.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
}
