import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fs from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { digestJob, type DigestResult, type FileSystem } from '../../examples/package-digest/digest.ts';
import { display } from '../../examples/package-digest/display.ts';
import { parseLockfile, readLockfile, UsageError } from '../../examples/package-digest/lockfile.ts';
import { planJobs } from '../../examples/package-digest/plan.ts';
import { referenceDigests } from '../../examples/package-digest/reference.ts';
import { licenseIn } from '../../examples/package-digest/license.ts';
import { makeReport, type MergeInput, summaryLines, writeReport } from '../../examples/package-digest/report.ts';
import { licenseChoice, makeSbom } from '../../examples/package-digest/sbom.ts';
import { stampOf } from '../../examples/package-digest/stamp.ts';
import { walk } from '../../examples/package-digest/walk.ts';
import { emptyFolder, makeProject } from './made-project.ts';

const lock = (packages: object): string => JSON.stringify({ lockfileVersion: 3, packages });
const parse = (packages: object) => parseLockfile(lock(packages), 'package-lock.json');
const dependenciesOf = (packages: object): Record<string, readonly string[]> =>
  Object.fromEntries(parse(packages).packages.map(({ key, dependencies }) => [key, dependencies]));

describe('the lockfile', () => {
  test('a dependency is found in the nearest node_modules, then upward', () => {
    const packages = {
      '': { name: 'top', dependencies: { a: '1' } },
      'node_modules/a': { version: '1.0.0', dependencies: { b: '2', c: '1', '@s/d': '1' } },
      'node_modules/a/node_modules/b': { version: '2.0.0', dependencies: { c: '1', b: '2' } },
      'node_modules/b': { version: '1.0.0' },
      'node_modules/c': { version: '1.0.0', dependencies: { b: '1' } },
      'node_modules/@s/d': { version: '1.0.0', dependencies: { c: '1' } },
    };
    expect(dependenciesOf(packages)).toEqual({
      'node_modules/a': ['node_modules/a/node_modules/b', 'node_modules/c', 'node_modules/@s/d'],
      'node_modules/a/node_modules/b': ['node_modules/c'],
      'node_modules/b': [],
      'node_modules/c': ['node_modules/b'],
      'node_modules/@s/d': ['node_modules/c'],
    });
    expect(parse(packages)).toMatchObject({ name: 'top', problems: [] });
    expect(parse(packages).packages.map(({ name, version }) => `${name}@${version}`)).toEqual([
      'a@1.0.0',
      'b@2.0.0',
      'b@1.0.0',
      'c@1.0.0',
      '@s/d@1.0.0',
    ]);
  });

  test('optional dependencies and peers count where they are installed; required ones must be', () => {
    const packages = {
      '': { dependencies: { a: '1', gone: '1' }, devDependencies: { lost: '1' }, peerDependencies: { host: '1' } },
      'node_modules/a': {
        dependencies: { fast: '1', missing: '1', fsevents: '2' },
        optionalDependencies: { fsevents: '2', b: '1' },
        peerDependencies: { c: '1', absent: '1', fast: '1' },
        devDependencies: { tool: '1' },
      },
      'node_modules/b': {},
      'node_modules/c': {},
      'node_modules/fast': {},
    };
    expect(dependenciesOf(packages)['node_modules/a']).toEqual([
      'node_modules/fast',
      'node_modules/b',
      'node_modules/c',
    ]);
    const what = (name: string): string => `needs '${name}', which the lockfile does not list anywhere it would look`;
    expect(parse(packages).problems).toEqual([
      { package: '', what: what('gone') },
      { package: '', what: what('lost') },
      { package: 'node_modules/a', what: what('missing') },
    ]);
  });

  test('links stand for what they lead to: workspaces, and packages beside the project', () => {
    const packages = {
      '': { workspaces: ['packages/*'], dependencies: { one: '1', beside: 'file:../beside', self: 'file:.' } },
      'node_modules/one': { resolved: 'packages/one', link: true },
      'node_modules/beside': { resolved: '../beside', link: true },
      'node_modules/self': { resolved: '', link: true },
      'node_modules/nowhere': { resolved: 'packages/nowhere', link: true },
      'node_modules/x': { version: '1.0.0', dependencies: { self: '1', one: '1', nowhere: '1' } },
      'packages/one': { name: '@made/one', version: '0.1.0', dependencies: { x: '1', beside: '1', y: '1' } },
      'packages/one/node_modules/y': { version: '2.0.0' },
      '../beside': { version: '3.0.0', dependencies: { y: '1', x: '1' } },
      '../beside/node_modules/y': { version: '1.0.0' },
    };
    expect(dependenciesOf(packages)).toEqual({
      'node_modules/x': ['packages/one'],
      'packages/one': ['node_modules/x', '../beside', 'packages/one/node_modules/y'],
      'packages/one/node_modules/y': [],
      '../beside': ['../beside/node_modules/y'],
      '../beside/node_modules/y': [],
    });
    const { packages: found, problems } = parse(packages);
    expect(found.map(({ name }) => name)).toEqual(['x', '@made/one', 'y', 'beside', 'y']);
    expect(problems).toEqual([
      { package: 'node_modules/nowhere', what: "is a link to 'packages/nowhere', which the lockfile does not list" },
      // Code beside the project does not look inside it.
      { package: '../beside', what: "needs 'x', which the lockfile does not list anywhere it would look" },
    ]);
  });

  test('what is for other platforms, or optional, may be missing', () => {
    const other = process.platform === 'win32' ? 'linux' : 'win32';
    const packages = {
      'node_modules/here': { os: [process.platform], cpu: [process.arch] },
      'node_modules/everywhere': { os: ['any'] },
      'node_modules/there': { os: [other] },
      'node_modules/nothere': { os: [`!${process.platform}`] },
      'node_modules/notthere': { os: `!${other}` },
      'node_modules/arch': { cpu: ['mips'] },
      'node_modules/optional': { optional: true },
      'node_modules/dev-optional': { devOptional: true },
      'node_modules/dev': { dev: true },
    };
    const { packages: found } = parse(packages);
    expect(found.filter(({ optional }) => optional).map(({ name }) => name)).toEqual([
      'there',
      'nothere',
      'arch',
      'optional',
      'dev-optional',
    ]);
    expect(found.filter(({ omittable }) => omittable).map(({ name }) => name)).toEqual(['dev']);
  });

  const rewrite = 'write it anew with `npm install --package-lock-only` (npm 7 or later)';
  const notNpm = (what: string): string => `L is not a lockfile that npm wrote (${what}): ${rewrite}`;

  test.each<[text: string, message: string | RegExp]>([
    [
      '{"lockfileVersion": 3,\n  "packages": {\n',
      /^L is not JSON \([^\n]+\): restore it, or delete it and run `npm install`$/,
    ],
    ['', /^L is not JSON/],
    ['[]', `L is not a lockfile, which is a JSON object: ${rewrite}`],
    [
      '{"lockfileVersion": 1, "dependencies": {}}',
      `L is of version 1, which does not say where packages are installed: ${rewrite}`,
    ],
    ['{"lockfileVersion": 4, "packages": {}}', `L has the lockfileVersion 4, where 2 or 3 is needed: ${rewrite}`],
    ['{"packages": {}}', `L has no lockfileVersion, where 2 or 3 is needed: ${rewrite}`],
    ['{"lockfileVersion": 2}', notNpm('it has no object "packages"')],
    [lock({ 'node_modules/a': 1 }), notNpm('the entry "node_modules/a" is not an object')],
    [lock({ a: { dependencies: [] } }), notNpm('the entry "a" has no object "dependencies"')],
    [lock({ a: { version: 1 } }), notNpm('"version" of the entry "a" is not a string')],
    [lock({ '/etc': {} }), notNpm('the entry "/etc" is not a path inside or beside the project')],
    [lock({ 'a/../../etc': {} }), notNpm('the entry "a/../../etc" is not a path inside or beside the project')],
    [lock({ 'a/./b': {} }), notNpm('the entry "a/./b" is not a path inside or beside the project')],
    [lock({ 'a//b': {} }), notNpm('the entry "a//b" is not a path inside or beside the project')],
    [lock({ 'a/': {} }), notNpm('the entry "a/" is not a path inside or beside the project')],
  ])('%j is refused in one line, with the remedy', (text, message) => {
    expect(() => parseLockfile(text, 'L')).toThrow(UsageError);
    expect(() => parseLockfile(text, 'L')).toThrow(message);
  });

  test('a byte order mark is no error; a name is found for every project', async () => {
    expect(parseLockfile(`\uFEFF${lock({})}`, path.join('here', 'package-lock.json')).name).toBe('here');
    const project = makeProject({ packages: {} });
    expect((await readLockfile(project)).name).toBe('project');
  });

  test('a project without a lockfile, or with one that cannot be read', async () => {
    const folder = emptyFolder();
    const file = path.join(folder, 'package-lock.json');
    await expect(readLockfile(folder)).rejects.toThrow(
      new UsageError(`there is no ${file}: name a project that npm has installed, or run \`npm install\` there first`),
    );
    await expect(readLockfile(path.join(folder, 'nowhere'))).rejects.toThrow(UsageError);
    mkdirSync(file);
    await expect(readLockfile(folder)).rejects.toThrow(
      `${file} cannot be read (EISDIR): see to its kind and permissions`,
    );
  });
});

/** A package with these files. */
function packageOf(files: Readonly<Record<string, string>>): string {
  return path.join(makeProject({ packages: {}, files: prefixed('p', files) }), 'p');
}

function prefixed(folder: string, files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text]));
}

function digest(directory: string, files?: FileSystem, dependencies: DigestResult[] = []): Promise<DigestResult> {
  const packages = [{ key: 'node_modules/p', name: 'p', version: '1.0.0', directory }];
  return digestJob({ id: 'p', packages, dependencies }, files);
}

const small = { 'package.json': '{}', 'lib/index.js': 'export {}', 'lib/a/b.txt': '' };

describe('the digest of a package', () => {
  test('counts files and bytes, and is the same for the same files, whenever and in whatever order they were made', async () => {
    const one = packageOf(small);
    const other = packageOf(Object.fromEntries(Object.entries(small).toReversed()));
    utimesSync(path.join(other, 'package.json'), 1, 1);
    const [a, b] = await Promise.all([digest(one), digest(other)]);
    expect(a.digest).toBe(b.digest);
    expect(a).toMatchObject({ id: 'p', problems: [], pid: process.pid });
    const [{ digest: _, ...of } = {}] = a.packages;
    expect(of).toMatchObject({ key: 'node_modules/p', name: 'p', version: '1.0.0', files: 3, bytes: 11 });
  });

  test.each<[what: string, change: (directory: string) => void]>([
    ['contents', (at) => writeFileSync(path.join(at, 'lib/index.js'), 'export  {}')],
    ['a name', (at) => renameSync(path.join(at, 'lib/index.js'), path.join(at, 'lib/main.js'))],
    ['a place', (at) => renameSync(path.join(at, 'lib/index.js'), path.join(at, 'index.js'))],
    ['an empty file', (at) => writeFileSync(path.join(at, 'new'), '')],
    ['a file that is gone', (at) => rmSync(path.join(at, 'lib/a/b.txt'))],
    ['the right to run it', (at) => chmodSync(path.join(at, 'lib/index.js'), 0o755)],
    ['a link', (at) => symlinkSync('index.js', path.join(at, 'lib/link.js'))],
    ['what a deeper node_modules holds', (at) => makeIn(at, 'lib/node_modules/x.js')],
  ])('changes with %s', async (_, change) => {
    const directory = packageOf(small);
    const before = await digest(directory);
    change(directory);
    const after = await digest(directory);
    expect(after.digest).not.toBe(before.digest);
    expect(after.problems).toEqual([]);
  });

  test.each<[what: string, change: (directory: string) => void]>([
    ['the packages in its own node_modules', (at) => makeIn(at, 'node_modules/x/index.js')],
    ['empty directories', (at) => mkdirSync(path.join(at, 'empty'))],
    ['the rights of others', (at) => chmodSync(path.join(at, 'lib/index.js'), 0o600)],
  ])('does not change with %s', async (_, change) => {
    const directory = packageOf(small);
    const before = await digest(directory);
    change(directory);
    expect((await digest(directory)).digest).toBe(before.digest);
  });

  test('a link counts by its text: where it leads to nothing, or out of the package, is all the same', async () => {
    const one = packageOf(small);
    const before = await digest(one);
    symlinkSync('nowhere', path.join(one, 'link'));
    const dangling = await digest(one);
    expect(dangling).toMatchObject({ problems: [], packages: [{ files: 4, bytes: 11 }] });
    rmSync(path.join(one, 'link'));
    symlinkSync('/', path.join(one, 'link'));
    const away = await digest(one);
    expect(new Set([before.digest, dangling.digest, away.digest]).size).toBe(3);
  });

  test('changes with what it depends on, in whatever order that came', async () => {
    const directory = packageOf(small);
    const before = (id: string, of: string): DigestResult => ({
      id,
      digest: of,
      packages: [],
      problems: [],
      reused: 0,
      pid: 1,
      ms: 1,
    });
    const [x, y] = [before('x', '1'), before('y', '2')];
    const digests = await Promise.all(
      [[], [x], [x, y], [y, x], [x, before('y', '3')]].map((list) => digest(directory, undefined, list)),
    );
    const [none, one, both, turned, changed] = digests.map((result) => result.digest);
    expect(both).toBe(turned);
    expect(new Set([none, one, both, changed]).size).toBe(4);
  });

  test('a file that may not be read is a problem with its path; the others are read, and the digest says so', async () => {
    const directory = packageOf(small);
    const whole = await digest(directory);
    const denied = Object.assign(new Error('permission denied, /secret/place'), { code: 'EACCES' });
    const open: FileSystem['open'] = (place, ...rest) =>
      String(place).endsWith('index.js') ? Promise.reject(denied) : fs.open(place, ...rest);
    const part = await digest(directory, { ...fs, open });
    const what = 'cannot be read (EACCES)';
    expect(part.problems).toEqual([{ package: 'node_modules/p', file: 'lib/index.js', what }]);
    expect(part.packages).toMatchObject([{ files: 2, bytes: 2 }]);
    expect(part.digest).not.toBe(whole.digest);
    expect((await digest(directory, { ...fs, open })).digest).toBe(part.digest);
  });

  test('a directory that cannot be listed, and one that is gone', async () => {
    const directory = packageOf(small);
    const readdir = ((place: string, options: object) =>
      place.endsWith('a') ? Promise.reject(new Error('no')) : fs.readdir(place, options)) as FileSystem['readdir'];
    const part = await digest(directory, { ...fs, readdir });
    expect(part.problems).toEqual([{ package: 'node_modules/p', file: 'lib/a', what: 'no' }]);
    expect(part.packages).toMatchObject([{ files: 2 }]);
    const gone = await digest(path.join(directory, 'gone'));
    expect(gone.problems).toEqual([{ package: 'node_modules/p', file: '.', what: 'cannot be read (ENOENT)' }]);
  });

  /** Lists the package, then lets `swap` loose on it before anything is read. */
  function swapping(swap: () => void): FileSystem {
    const readdir = (async (place: string, options: object) => {
      const entries: unknown = await fs.readdir(place, options);
      if (path.basename(place) === 'p') swap();
      return entries;
    }) as FileSystem['readdir'];
    return { ...fs, readdir };
  }

  test('a file that became a directory, a link or a pipe since it was listed is a problem, not a trap', async () => {
    const directory = packageOf({ one: '1', two: '2', three: '3', four: '4' });
    const at = (name: string): string => path.join(directory, name);
    const swap = (): void => {
      for (const name of ['one', 'two', 'three']) rmSync(at(name));
      mkdirSync(at('one'));
      symlinkSync('four', at('two'));
      expect(spawnSync('mkfifo', [at('three')]).status).toBe(0);
    };
    const result = await digest(directory, swapping(swap));
    expect(result.problems).toEqual([
      { package: 'node_modules/p', file: 'one', what: 'is no file any more' },
      { package: 'node_modules/p', file: 'three', what: 'is no file any more' },
      { package: 'node_modules/p', file: 'two', what: 'cannot be read (ELOOP)' },
    ]);
    expect(result.packages).toMatchObject([{ files: 1, bytes: 1 }]);
  });

  test('a pipe among the files is a problem, and nobody waits for it', async () => {
    const directory = packageOf(small);
    expect(spawnSync('mkfifo', [path.join(directory, 'pipe')]).status).toBe(0);
    const what = 'is neither a file nor a directory nor a link';
    expect((await digest(directory)).problems).toEqual([{ package: 'node_modules/p', file: 'pipe', what }]);
  });

  test('however many files there are, eight are open at once, and all are closed', async () => {
    const directory = packageOf(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`f${i}`, String(i)])));
    let now = 0;
    let most = 0;
    const open: FileSystem['open'] = async (...call) => {
      const file = await fs.open(...call);
      most = Math.max(most, ++now);
      const close = file.close.bind(file);
      file.close = () => {
        now--;
        return close();
      };
      return file;
    };
    expect((await digest(directory, { ...fs, open })).packages).toMatchObject([{ files: 100 }]);
    expect([most, now]).toEqual([8, 0]);
  });

  test('random trees: the digest that the reference has', async () => {
    // Names whose order differs between UTF-8 and UTF-16, and between paths and directories.
    const name = fc.constantFrom(
      'a',
      'a-',
      'a0',
      'b',
      '.x',
      'é',
      '\uFFFD',
      '\u{1F600}',
      'node_modules',
      'with space',
      '-',
    );
    const file = fc.record({
      steps: fc.array(name, { minLength: 1, maxLength: 3 }),
      size: fc.constantFrom(0, 1, 65_536, 200_000),
      kind: fc.constantFrom('file', 'program', 'link'),
    });
    const folder = emptyFolder();
    let count = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 8 }), async (files) => {
        const directory = path.join(folder, String(count++));
        mkdirSync(directory);
        for (const { steps, size, kind } of files) {
          const place = path.join(directory, ...steps);
          try {
            mkdirSync(path.dirname(place), { recursive: true });
            if (kind === 'link') symlinkSync('somewhere', place);
            else writeFileSync(place, 'x'.repeat(size), { mode: kind === 'program' ? 0o755 : 0o644, flag: 'wx' });
          } catch {
            // There is something else in its way.
          }
        }
        const packages = [{ key: 'k', name: 'p', version: '', directory }];
        const result = await digestJob({ id: 'p', packages, dependencies: [] });
        const plan = { name: '', project: '', jobs: [{ id: 'p', packages, dependencies: [] }] };
        const reference = referenceDigests({ ...plan, skipped: [], cycles: [], problems: [] });
        expect(result.digest).toBe(reference.get('p'));
      }),
      { numRuns: 60 },
    );
  });
});

function makeIn(directory: string, name: string): void {
  const place = path.join(directory, name);
  mkdirSync(path.dirname(place), { recursive: true });
  writeFileSync(place, 'made');
}

async function planOf(project: string) {
  return planJobs(project, await readLockfile(project));
}

/** A file in each of these packages. */
function installed(...keys: string[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [`${key}/package.json`, JSON.stringify(key)]));
}

describe('the plan', () => {
  test('packages that depend on each other are one job, after those it depends on', async () => {
    const project = makeProject({
      packages: {
        '': {},
        'node_modules/z': { dependencies: { a: '1' } },
        'node_modules/a': { dependencies: { b: '1', leaf: '1' } },
        'node_modules/b': { dependencies: { c: '1' } },
        'node_modules/c': { dependencies: { a: '1' } },
        'node_modules/c/node_modules/@s/d': { dependencies: { leaf: '1' } },
        'node_modules/leaf': {},
      },
      files: installed(...['z', 'a', 'b', 'c', 'c/node_modules/@s/d', 'leaf'].map((name) => `node_modules/${name}`)),
    });
    const { jobs, cycles, problems, skipped } = await planOf(project);
    expect([problems, skipped]).toEqual([[], []]);
    expect(cycles).toEqual([['node_modules/a', 'node_modules/b', 'node_modules/c']]);
    expect(Object.fromEntries(jobs.map(({ id, dependencies }) => [id, dependencies]))).toEqual({
      leaf: [],
      'a+2': ['leaf'],
      z: ['a+2'],
      'c>@s:d': ['leaf'],
    });
    const order = jobs.map(({ id }) => id);
    for (const { id, dependencies } of jobs) {
      for (const before of dependencies) expect(order.indexOf(before)).toBeLessThan(order.indexOf(id));
    }
    const cycle = jobs.find(({ id }) => id === 'a+2');
    expect(cycle?.packages.map(({ directory }) => directory)).toEqual(
      ['a', 'b', 'c'].map((name) => path.join(project, 'node_modules', name)),
    );
  });

  test('a package that is not there is a problem, unless it is optional; what needs it goes on without', async () => {
    const project = makeProject({
      packages: {
        '': {},
        'node_modules/a': { dependencies: { gone: '1' }, optionalDependencies: { perhaps: '1' } },
        'node_modules/gone': {},
        'node_modules/perhaps': { optional: true },
        'node_modules/tool': { dev: true },
        'node_modules/file': {},
      },
      files: { ...installed('node_modules/a'), 'node_modules/file': 'not a directory' },
    });
    const plan = await planOf(project);
    const what = 'is not installed: run `npm ci` in the project';
    expect(plan.jobs.map(({ id, dependencies }) => [id, dependencies])).toEqual([['a', []]]);
    expect(plan.skipped).toEqual(['node_modules/perhaps']);
    expect(plan.problems).toEqual([
      { package: 'node_modules/gone', what },
      { package: 'node_modules/tool', what },
      { package: 'node_modules/file', what },
    ]);
  });

  test('what npm noted that it left out (--omit=dev) is no problem; what it noted and is gone is one', async () => {
    const note = { lockfileVersion: 3, packages: { 'node_modules/a': {}, 'node_modules/lost': { dev: true } } };
    const project = makeProject({
      packages: {
        '': {},
        'node_modules/a': {},
        'node_modules/tool': { dev: true },
        'node_modules/lost': { dev: true },
        'node_modules/needed': {},
      },
      files: { ...installed('node_modules/a'), 'node_modules/.package-lock.json': JSON.stringify(note) },
    });
    const plan = await planOf(project);
    expect(plan.skipped).toEqual(['node_modules/tool']);
    expect(plan.problems.map((problem) => problem.package)).toEqual(['node_modules/lost', 'node_modules/needed']);
  });

  test('no two jobs have the same id, and none is too long', async () => {
    const long = `packages/${'x'.repeat(250)}/${'y'.repeat(250)}`;
    const keys = ['packages/a:b', 'packages/a/b', long, `${long}z`];
    const project = makeProject({
      packages: Object.fromEntries(keys.map((key) => [key, {}])),
      files: installed(...keys),
    });
    const ids = (await planOf(project)).jobs.map(({ id }) => id);
    expect(ids.slice(0, 2)).toEqual(['packages:a:b', 'packages:a:b~2']);
    expect(new Set(ids).size).toBe(4);
    expect(Math.max(...ids.map((id) => id.length))).toBeLessThan(500);
  });
});

function result(id: string, more: Partial<DigestResult> = {}): DigestResult {
  const packages = [{ key: `node_modules/${id}`, name: id, version: '1', digest: `tree ${id}`, files: 2, bytes: 1500 }];
  return { id, digest: `digest ${id}`, packages, problems: [], reused: 0, pid: 10, ms: 5, ...more };
}

function merged(more: Partial<MergeInput> = {}): MergeInput {
  const common = { name: 'made', project: '/made', skipped: [], cycles: [], problems: [], startedAt: Date.now() };
  const sbom = { out: `${more.out ?? '/nowhere'}.cdx.json`, version: '', locked: [], direct: [] };
  return { ...common, results: [result('b'), result('a', { pid: 11, ms: 1200 })], out: '/nowhere', sbom, ...more };
}

describe('the report', () => {
  test('depends on what was found, not on who found it when', () => {
    const { timing, ...one } = makeReport(merged());
    const { timing: _, ...other } = makeReport(merged({ results: [result('a', { pid: 7, ms: 1 }), result('b')] }));
    expect(one).toEqual(other);
    expect(one).toMatchObject({ schemaVersion: 1, project: 'made', files: 4, bytes: 3000 });
    expect(one.packages.map(({ key, job, jobDigest }) => [key, job, jobDigest])).toEqual([
      ['node_modules/a', 'a', 'digest a'],
      ['node_modules/b', 'b', 'digest b'],
    ]);
    expect(timing.workers).toEqual([
      { pid: 10, jobs: 1, ms: 5 },
      { pid: 11, jobs: 1, ms: 1200 },
    ]);
    expect(timing.slowest.map(({ job }) => job)).toEqual(['a', 'b']);
    expect(timing.jobMs).toBe(1205);
    const changed = makeReport(merged({ results: [result('a', { digest: 'other' }), result('b')] }));
    expect(changed.digest).not.toBe(one.digest);
  });

  test('is written whole or not at all', async () => {
    const folder = emptyFolder();
    const out = path.join(folder, 'report.json');
    const written = await writeReport(merged({ out }));
    expect(JSON.parse(await fs.readFile(out, 'utf8'))).toEqual(written);
    const taken = path.join(folder, 'taken');
    mkdirSync(taken);
    await expect(writeReport(merged({ out: taken }))).rejects.toThrow('EISDIR');
    expect(readdirSync(folder).toSorted()).toEqual(
      ['report.json', 'report.json.cdx.json', 'report.json.state', 'taken', 'taken.cdx.json', 'taken.state'].toSorted(),
    );
  });

  test('as a table: problems and cycles are listed up to a point, and nothing in a name reaches the terminal raw', () => {
    const problem = { package: 'node_modules/a', file: 'x\u001B[31m\n', what: 'cannot be read (EACCES)' };
    const many = Array.from({ length: 30 }, (_, i) => ({ package: `node_modules/b${i}`, what: 'is not installed' }));
    const report = makeReport(merged({ problems: [problem, ...many], cycles: [['a', 'b', 'c']], skipped: ['d'] }));
    const lines = summaryLines(report, '/out.json', 2345.6);
    const text = lines.join('\n');
    expect(lines[0]).toBe('made');
    for (const part of [
      'packages   2 in 2 jobs, 1 skipped',
      'files      4, 3.0 kB',
      'wall time  2.35 s for 1.21 s of jobs',
      'worker 11  1 jobs, 1.20 s',
      'slowest    a: 1.20 s, 1.5 kB',
      'cycles     1 sets of packages that depend on each other',
      'a <-> b <-> c',
      'problems   31',
      'node_modules/a: x\\x1b[31m\\x0a cannot be read (EACCES)',
      'node_modules/b1 is not installed',
      'and 11 more',
      'report     /out.json',
    ]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain('\u001B');
  });
});

describe('the licence of a package', () => {
  test.each<[manifest: unknown, license: string | undefined]>([
    [{ license: 'MIT' }, 'MIT'],
    [{ license: ' (MIT OR Apache-2.0) ' }, '(MIT OR Apache-2.0)'],
    [{ license: { type: 'ISC', url: 'x' } }, 'ISC'],
    [{ licenses: [{ type: 'MIT' }, { type: 'GPL-2.0' }] }, '(MIT OR GPL-2.0)'],
    [{ licenses: 'MIT' }, 'MIT'],
    [{ license: '' }, undefined],
    [{ license: 7 }, undefined],
    [{}, undefined],
    [null, undefined],
  ])('%j', (manifest, license) => {
    expect(licenseIn(manifest)).toBe(license);
  });

  test('is in the digest, and counted in the report', async () => {
    const one = await digest(packageOf({ 'package.json': '{"license":"MIT"}' }));
    expect(one.packages).toMatchObject([{ license: 'MIT' }]);
    const none = await digest(packageOf({ 'package.json': '{' }));
    expect(none.packages[0]?.license).toBeUndefined();
    const { licenses, packages } = makeReport(merged({ results: [none, one, { ...one, id: 'q' }] }));
    expect(licenses).toEqual([
      { license: 'MIT', packages: 2 },
      { license: null, packages: 1 },
    ]);
    expect(packages[0]).not.toHaveProperty('stamp');
  });
});

describe('the stamp of a package', () => {
  const later = (): number => Date.now() + 10_000;
  const stamp = async (directory: string, now = later(), files: FileSystem = fs): Promise<string | undefined> =>
    stampOf(directory, await walk(directory, files), files, now);

  test('is the same while nothing changes, and another one after any change', async () => {
    const directory = packageOf(small);
    const stamps = [await stamp(directory)];
    expect(await stamp(directory)).toBe(stamps[0]);
    const changes = [
      () => writeFileSync(path.join(directory, 'package.json'), '[]'),
      () => utimesSync(path.join(directory, 'package.json'), 1, 1),
      () => chmodSync(path.join(directory, 'lib/index.js'), 0o755),
      () => writeFileSync(path.join(directory, 'new'), ''),
      () => renameSync(path.join(directory, 'new'), path.join(directory, 'newer')),
      () => rmSync(path.join(directory, 'newer')),
    ];
    for (const change of changes) {
      change();
      stamps.push(await stamp(directory));
    }
    expect(stamps).not.toContain(undefined);
    // Without the file that came and went it is as it was before that came.
    expect(new Set(stamps).size).toBe(stamps.length - 1);
  });

  test('is none where something has just changed, or cannot be looked at', async () => {
    const directory = packageOf(small);
    expect(await stamp(directory, Date.now() - 10_000)).toBeUndefined();
    const lstat = (() => Promise.reject(new Error('no'))) as unknown as FileSystem['lstat'];
    expect(await stamp(directory, later(), { ...fs, lstat })).toBeUndefined();
    expect(await stamp(path.join(directory, 'gone'))).toBeUndefined();
  });

  test('that an earlier run has, too: nothing is read', async () => {
    const directory = packageOf(small);
    const [first] = (await digest(directory)).packages;
    const earlier = { ...first!, stamp: await stamp(directory), license: 'kept' };
    const open = (() => Promise.reject(new Error('it was read'))) as FileSystem['open'];
    const input = { id: 'p', packages: [{ key: 'k', name: 'n', version: '2', directory, earlier }], dependencies: [] };
    // Another clock than the stamp's: what has just been made has settled by then.
    vi.useFakeTimers({ now: later(), toFake: ['Date'] });
    const again = await digestJob(input, { ...fs, open });
    vi.useRealTimers();
    expect(again).toMatchObject({
      reused: 1,
      problems: [],
      packages: [{ ...earlier, key: 'k', name: 'n', version: '2' }],
    });
  });
});

describe('the bill of materials', () => {
  const locked = parse({
    '': { name: 'top', version: '1.2.3', dependencies: { '@s/a': '1' }, devDependencies: { b: '1' } },
    'node_modules/@s/a': {
      version: '1.0.0',
      dependencies: { b: '1', gone: '1' },
      integrity: `sha512-${Buffer.alloc(64, 1).toString('base64')}`,
    },
    'node_modules/b': { version: '2.0.0-rc.1+x', dev: true, integrity: 'sha1-x' },
    'node_modules/gone': { version: '1.0.0' },
    'node_modules/c': {},
  });
  const of = (key: string, name: string, version: string, license?: string) => {
    return { key, name, version, license, digest: '0'.repeat(64), files: 1, bytes: 1 };
  };
  const packages = [
    of('node_modules/@s/a', '@s/a', '1.0.0', 'MIT'),
    of('node_modules/b', 'b', '2.0.0-rc.1+x', '(MIT OR Apache-2.0)'),
    of('node_modules/c', 'c', '', 'SEE LICENSE IN x'),
    of('node_modules/d', 'd', '1.0.0'),
  ];
  const sbom = makeSbom(
    { name: 'top', version: '1.2.3', packages, locked: locked.packages, direct: locked.direct },
    new Date(0),
  );

  /** The schema of CycloneDX 1.6, with those that it refers to. */
  function validator() {
    const folder = path.dirname(createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library/package.json'));
    const schema = (name: string): object =>
      JSON.parse(readFileSync(path.join(folder, 'res/schema', `${name}.SNAPSHOT.schema.json`), 'utf8')) as object;
    const ajv = new Ajv({ strict: false, validateFormats: false });
    for (const name of ['spdx', 'jsf-0.82']) {
      ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
    }
    return ajv.compile(schema('bom-1.6'));
  }

  test('is of the form that CycloneDX 1.6 prescribes', () => {
    const valid = validator();
    valid(sbom);
    expect(valid.errors).toBeNull();
    expect(valid({ ...sbom, components: [{ name: 'x' }] }), 'a validator that finds nothing wrong').toBe(false);
  });

  test('names packages, licences, hashes, and who depends on whom', () => {
    expect(sbom).toMatchObject({
      metadata: { timestamp: '1970-01-01T00:00:00.000Z', component: { name: 'top', version: '1.2.3' } },
      components: [
        {
          group: '@s',
          name: 'a',
          purl: 'pkg:npm/%40s/a@1.0.0',
          licenses: [{ license: { id: 'MIT' } }],
          hashes: [{ content: '01'.repeat(64) }],
        },
        {
          name: 'b',
          purl: 'pkg:npm/b@2.0.0-rc.1%2Bx',
          scope: 'optional',
          licenses: [{ expression: '(MIT OR Apache-2.0)' }],
        },
        { name: 'c', licenses: [{ license: { name: 'SEE LICENSE IN x' } }] },
        { name: 'd' },
      ],
      dependencies: [
        { ref: 'project', dependsOn: ['node_modules/@s/a', 'node_modules/b'] },
        { ref: 'node_modules/@s/a', dependsOn: ['node_modules/b'] },
        { ref: 'node_modules/b', dependsOn: [] },
        { ref: 'node_modules/c', dependsOn: [] },
        { ref: 'node_modules/d', dependsOn: [] },
      ],
    });
  });

  test.each([
    ['MIT OR', 'name'],
    ['MIT Apache-2.0', 'name'],
    ['MIT AND (ISC OR Zlib)', 'expression'],
    ['UNLICENSED', 'name'],
  ])('%s', (license, kind) => {
    const choice = licenseChoice(license);
    expect(choice).toEqual(kind === 'name' ? { license: { name: license } } : { expression: license });
  });
});

describe('the display', () => {
  function stream(isTTY: boolean): { stream: NodeJS.WriteStream; text(): string } {
    const through = new PassThrough({ encoding: 'utf8' });
    return {
      stream: Object.assign(through, { isTTY, columns: 80, rows: 24 }) as unknown as NodeJS.WriteStream,
      text: () => String(through.read() ?? ''),
    };
  }
  const progress = (done: number) => ({ total: 10, done, running: 1, failed: done === 10 ? 1 : 0, skipped: 0 });

  test('is one line in place on a terminal', () => {
    vi.stubEnv('CI', '');
    const terminal = stream(true);
    const shown = display(terminal.stream);
    shown.show(progress(0));
    expect(terminal.text()).toContain('0 of 10 jobs done, 1 running');
    shown.show(progress(10));
    const last = terminal.text();
    expect(last).toContain('10 of 10 jobs done, 1 running, 1 failed');
    expect(last).toContain('\u001B[');
    shown.end();
    expect(terminal.text()).toContain('\u001B[2K');
    vi.unstubAllEnvs();
  });

  test.each([
    ['a pipe', false, ''],
    ['CI', true, 'true'],
  ])('is a line now and then in %s', (_, isTTY, ci) => {
    vi.stubEnv('CI', ci);
    const pipe = stream(isTTY);
    const shown = display(pipe.stream);
    for (let done = 0; done <= 10; done++) shown.show(progress(done));
    shown.end();
    expect(pipe.text().split('\n')).toEqual([
      ...[2, 4, 6, 8].map((done) => `${done} of 10 jobs done, 1 running`),
      '10 of 10 jobs done, 1 running, 1 failed',
      '',
    ]);
    vi.unstubAllEnvs();
  });
});
