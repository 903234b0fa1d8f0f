/**
 * scripts/ensure.mjs in a small tree of its own, with stand-ins for npm and tsc that write down their calls: npm
 * "installs" the tsc, which copies each source to its outputs, and fails when a source says `broken`.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { run, type Outcome } from '../kit/run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
let tree: string;

const npm = `
  const fs = require('node:fs');
  fs.appendFileSync('calls', 'npm ' + process.argv[2] + '\\n');
  fs.rmSync('node_modules', { recursive: true, force: true });
  fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
  fs.copyFileSync('tsc.js', 'node_modules/typescript/bin/tsc');
  fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

const tsc = `
  const fs = require('node:fs');
  fs.appendFileSync('calls', 'tsc ' + process.argv[3] + '\\n');
  const [from, to] = process.argv[3] === 'tsconfig.json' ? ['src', 'dist'] : ['examples', 'build/examples'];
  for (const name of fs.readdirSync(from)) {
    if (!name.endsWith('.ts')) continue;
    const text = fs.readFileSync(from + '/' + name, 'utf8');
    if (text === 'broken') process.exit(2);
    fs.mkdirSync(to, { recursive: true });
    for (const end of ['.js', '.d.ts', '.js.map']) fs.writeFileSync(to + '/' + name.replace('.ts', end), text);
  }
`;

beforeEach(() => {
  tree = mkdtempSync(path.join(os.tmpdir(), 'ensure-'));
  onTestFinished(() => rmSync(tree, { recursive: true }));
  cpSync(path.join(root, 'scripts'), path.join(tree, 'scripts'), { recursive: true });
  write('npm-cli.js', npm);
  write('tsc.js', tsc);
  write('tsconfig.base.json', '{}');
  write('tsconfig.json', '{}');
  write('examples/tsconfig.json', '{}');
  write('src/a.ts', 'a');
  write('src/b.ts', 'b');
  lockfile('sha512-1');
});

test('a fresh tree is installed and built; the second time nothing is done', async () => {
  const first = await ensure();
  expect(first).toMatchObject({ code: 0, stdout: '' });
  expect(first.stderr).toBe('quartermaster: npm ci (nothing is installed)\nquartermaster: tsc -p tsconfig.json\n');
  expect(calls()).toEqual(['npm ci', 'tsc tsconfig.json']);
  expect(await ensure()).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(calls()).toEqual([]);
});

test('a changed, added or removed source is built again, and what no source stands behind goes', async () => {
  await ensure();
  calls();
  touch('src/a.ts');
  await ensure();
  expect(calls()).toEqual(['tsc tsconfig.json']);

  rmSync(path.join(tree, 'src/b.ts'));
  touch('src');
  await ensure();
  expect(calls()).toEqual(['tsc tsconfig.json']);
  expect(['dist/a.js', 'dist/b.js', 'dist/b.d.ts', 'dist/b.js.map'].map(exists)).toEqual([true, false, false, false]);

  rmSync(path.join(tree, 'dist/a.js'));
  await ensure();
  expect(calls()).toEqual(['tsc tsconfig.json']);
});

test('examples are built after the product, and again when it changes', async () => {
  write('examples/one.ts', 'one');
  await ensure();
  expect(calls()).toEqual(['npm ci', 'tsc tsconfig.json', 'tsc examples/tsconfig.json']);
  touch('examples/one.ts');
  await ensure();
  expect(calls()).toEqual(['tsc examples/tsconfig.json']);
  touch('src/a.ts');
  await ensure();
  expect(calls()).toEqual(['tsc tsconfig.json', 'tsc examples/tsconfig.json']);
});

test('a failing step ends with its exit code, and the next time it is tried again', async () => {
  write('src/b.ts', 'broken');
  const failed = await ensure();
  expect(failed.code).toBe(2);
  expect(failed.stderr).toContain('quartermaster: That step failed: exit code 2.');
  expect((await ensure()).code).toBe(2);
  expect(calls()).toEqual(['npm ci', 'tsc tsconfig.json', 'tsc tsconfig.json']);
});

test('a changed lockfile is installed; an optional package that was not installed is no change', async () => {
  await ensure();
  calls();
  lockfile('sha512-1', { 'node_modules/other-platform': { optional: true, integrity: 'sha512-3' } });
  await ensure();
  expect(calls()).toEqual([]);
  lockfile('sha512-2');
  const { stderr } = await ensure();
  expect(stderr).toContain('npm ci (some-package is not as in package-lock.json)');
  expect(calls()).toEqual(['npm ci']);
});

test('four at once install and build once', async () => {
  const outcomes = await Promise.all([ensure(), ensure(), ensure(), ensure()]);
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(calls()).toEqual(['npm ci', 'tsc tsconfig.json']);
  expect(exists('build/lock')).toBe(false);
});

test('a lock whose holder died is taken over, by one of all who try', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  write(`build/lock/${pid}`, '');
  const outcomes = await Promise.all([ensure(), ensure()]);
  expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
  expect(calls()).toEqual(['npm ci', 'tsc tsconfig.json']);
  expect(exists('build/lock')).toBe(false);
});

test('--clean makes the output anew', async () => {
  await ensure();
  calls();
  write('dist/stray.txt', '');
  await ensure(['--clean']);
  expect(calls()).toEqual(['tsc tsconfig.json']);
  expect(exists('dist/stray.txt')).toBe(false);
});

test('a Node.js that is too old is refused before anything is done', async () => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.18.3' } })`;
  const { code, stderr } = await ensure([], ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`]);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'quartermaster: Quartermaster needs Node.js 20.19 or newer; this is 20.18.3.\n',
  });
  expect(calls()).toEqual([]);
});

function ensure(args: readonly string[] = [], nodeArgs: readonly string[] = []): Promise<Outcome> {
  return run(process.execPath, [...nodeArgs, 'scripts/ensure.mjs', ...args], {
    cwd: tree,
    env: { npm_execpath: path.join(tree, 'npm-cli.js') },
  });
}

/** What npm and tsc were called with since the last look. */
function calls(): string[] {
  const file = path.join(tree, 'calls');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  rmSync(file);
  return lines;
}

function write(name: string, text: string): void {
  mkdirSync(path.dirname(path.join(tree, name)), { recursive: true });
  writeFileSync(path.join(tree, name), text);
}

function lockfile(integrity: string, more: object = {}): void {
  const packages = { '': {}, 'node_modules/some-package': { integrity }, ...more };
  write('package-lock.json', JSON.stringify({ packages }));
}

/** As if it had just been edited: later than any build. */
function touch(name: string): void {
  const later = new Date(Date.now() + 1);
  utimesSync(path.join(tree, name), later, later);
}

function exists(name: string): boolean {
  return existsSync(path.join(tree, name));
}
