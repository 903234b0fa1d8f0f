/** The main job as a user starts it: `npm start -- …`, compiled, with its manager and workers. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { readLockfile } from '../../examples/package-digest/lockfile.ts';
import { planJobs } from '../../examples/package-digest/plan.ts';
import { referenceDigests } from '../../examples/package-digest/reference.ts';
import type { Report } from '../../examples/package-digest/report.ts';
import { type Outcome, run } from '../kit/run.ts';
import { emptyFolder, makeProject } from './made-project.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const main = path.join(root, 'build/examples/package-digest/main.js');

/** Runs in a folder of its own: that is where the report goes by default. */
function digest(...args: string[]): Promise<Outcome> {
  return run(process.execPath, [main, ...args], { cwd: emptyFolder() });
}

function reportIn(file: string): Report {
  return JSON.parse(readFileSync(file, 'utf8')) as Report;
}

async function reference(project: string): Promise<Record<string, string>> {
  return Object.fromEntries(referenceDigests(await planJobs(project, await readLockfile(project))));
}

function jobDigests({ packages }: Report): Record<string, string> {
  return Object.fromEntries(packages.map(({ job, jobDigest }) => [job, jobDigest]));
}

/** Some thirty packages, each of which needs the next ones; two need each other, and one optional one is missing. */
function sound(): string {
  const keys = Array.from({ length: 30 }, (_, i) => `node_modules/p${i}`);
  const needs = (i: number): object => ({ [`p${i + 1}`]: '1', [`p${i + 3}`]: '1' });
  const packages = Object.fromEntries(
    keys.map((key, i) => [key, { version: '1.0.0', dependencies: i < 27 ? needs(i) : {} }]),
  );
  return makeProject({
    packages: {
      '': { name: 'sound', optionalDependencies: { perhaps: '1' } },
      ...packages,
      'node_modules/chicken': { dependencies: { egg: '1', p0: '1' } },
      'node_modules/egg': { dependencies: { chicken: '1' } },
      'node_modules/perhaps': { optional: true },
    },
    files: Object.fromEntries(
      [...keys, 'node_modules/chicken', 'node_modules/egg'].flatMap((key) => [
        [`${key}/package.json`, JSON.stringify({ name: key })],
        [`${key}/lib/index.js`, `// ${key}`],
      ]),
    ),
  });
}

test('a sound project: the digests of the reference, the report, 0', async () => {
  const project = sound();
  const out = path.join(emptyFolder(), 'report.json');
  const { code, stdout, stderr } = await digest(project, '--workers', '3', '--out', out);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^32 of 32 jobs done, 0 running$/m) as string,
  });
  const report = reportIn(out);
  expect(jobDigests(report)).toEqual(await reference(project));
  expect(report).toMatchObject({ schemaVersion: 1, project: 'sound', files: 64, problems: [] });
  expect(report.cycles).toEqual([['node_modules/chicken', 'node_modules/egg']]);
  expect(report.skipped).toEqual(['node_modules/perhaps']);
  expect(report.timing.workers.reduce((jobs, worker) => jobs + worker.jobs, 0)).toBe(31);
  expect(stdout).toMatch(/^ {2}packages +32 in 31 jobs, 1 skipped$/m);
  expect(stdout).toContain('node_modules/chicken <-> node_modules/egg');
  expect(stdout).toMatch(/^ {2}problems +none$/m);
  expect(stdout).not.toContain('\u001B');
});

test('this very project: the digests of the reference', async () => {
  const out = path.join(emptyFolder(), 'report.json');
  const { code, stderr } = await digest(root, '--out', out);
  expect({ code, trouble: stderr.split('\n').filter((line) => !line.includes('jobs done')) }).toEqual({
    code: 0,
    trouble: [''],
  });
  expect(jobDigests(reportIn(out))).toEqual(await reference(root));
});

test('--resume reads only packages in which something has changed; the report is the same', async () => {
  const project = sound();
  const folder = emptyFolder();
  const out = path.join(folder, 'report.json');
  const resume = async (): Promise<Report> => {
    expect((await digest(project, '--out', out, '--resume')).code).toBe(0);
    return reportIn(out);
  };
  const { timing: first, ...one } = await resume();
  const { timing: second, ...same } = await resume();
  expect([first.unchanged, second.unchanged]).toEqual([0, 32]);
  expect(same).toEqual(one);
  writeFileSync(path.join(project, 'node_modules/p3/lib/index.js'), '// changed');
  const { timing: third, ...changed } = await resume();
  expect(third.unchanged).toBe(31);
  expect(jobDigests(reportIn(out))).toEqual(await reference(project));
  expect(changed.digest).not.toBe(one.digest);
  // Without it all is read, and the outcome is no other one.
  await digest(project, '--out', out);
  expect(reportIn(out)).toMatchObject({ digest: changed.digest, timing: { unchanged: 0 } });
  expect(readdirSync(folder).toSorted()).toEqual(['report.cdx.json', 'report.json', 'report.json.state']);
});

test('--sbom says where the bill of materials goes', async () => {
  const sbom = path.join(emptyFolder(), 'bom.json');
  const { code, stdout } = await digest(sound(), '--sbom', sbom);
  expect({ code, shown: stdout.includes(sbom) }).toEqual({ code: 0, shown: true });
  const { components } = JSON.parse(readFileSync(sbom, 'utf8')) as { components: object[] };
  expect(components).toHaveLength(32);
});

test('a project with problems: all that could be done is done, and 1', async () => {
  const project = makeProject({
    packages: {
      '': { name: 'broken' },
      'node_modules/a': { dependencies: { gone: '1', unlisted: '1' } },
      'node_modules/gone': {},
    },
    files: { 'node_modules/a/package.json': '{}' },
  });
  const folder = emptyFolder();
  const { code, stdout } = await run(process.execPath, [main, project], { cwd: folder });
  expect(code).toBe(1);
  expect(stdout).toContain('node_modules/gone is not installed: run `npm ci` in the project');
  const report = reportIn(path.join(folder, 'package-digest.json'));
  expect(report.problems.map((problem) => problem.package)).toEqual(['node_modules/a', 'node_modules/gone']);
  expect(jobDigests(report)).toEqual(await reference(project));
});

test('a project without packages has a report too', async () => {
  const { code, stdout } = await digest(makeProject({ packages: { '': { name: 'bare' } } }));
  expect({ code, line: stdout.split('\n')[1]?.trim() }).toEqual({ code: 0, line: 'packages   0 in 0 jobs, 0 skipped' });
});

test.each<[what: string, args: () => string[], message: RegExp]>([
  ['no lockfile', () => [emptyFolder()], /^package-digest: there is no .*package-lock\.json: .*`npm install`/],
  [
    'a lockfile of version 1',
    () => {
      const project = makeProject({ packages: {} });
      writeFileSync(path.join(project, 'package-lock.json'), '{"lockfileVersion": 1, "dependencies": {}}');
      return [project];
    },
    /is of version 1, .*`npm install --package-lock-only` \(npm 7 or later\)$/,
  ],
  ['two projects', () => ['a', 'b'], /^package-digest: one project at a time, not 2: see --help$/],
  [
    'no number of workers',
    () => ['--workers', 'many'],
    /^package-digest: --workers must be a number from 1 to 1000, not 'many'$/,
  ],
  ['no workers', () => ['--workers', '0'], /^package-digest: --workers must be a number from 1 to 1000, not '0'$/],
  ['an unknown option', () => ['--fast'], /^package-digest: Unknown option '--fast'.*: see --help$/],
  [
    'a place for the report that is not there',
    () => [makeProject({ packages: {} }), '--out', path.join(emptyFolder(), 'no', 'report.json')],
    /^package-digest: .*no cannot be written to \(ENOENT\): give another file with --out$/,
  ],
  [
    'one file for both',
    () => [makeProject({ packages: {} }), '--out', 'x.json', '--sbom', 'x.json'],
    /^package-digest: --out and --sbom name the same file: give each its own$/,
  ],
])('%s: one line that says what to do, and 2', async (_, args, message) => {
  const { code, stdout, stderr } = await digest(...args());
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.trimEnd()).toMatch(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});

test('--help says how to use it', async () => {
  const { code, stdout, stderr } = await digest('--help');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  for (const word of ['--workers', '--out', '--sbom', '--resume', 'project', 'package-digest.json'])
    expect(stdout).toContain(word);
});

test.each<[how: string, end: (pid: number) => void, code: number]>([
  ['Ctrl-C, which reaches the manager too,', (pid) => process.kill(-pid, 'SIGINT'), 130],
  ['SIGINT', (pid) => process.kill(pid, 'SIGINT'), 130],
  ['SIGTERM', (pid) => process.kill(pid, 'SIGTERM'), 143],
])('%s in the middle of the work ends it, with its workers, and without a report', async (_, end, code) => {
  const project = sound();
  // Reading all of its zeros would take minutes; on the disk they take nothing.
  const endless = path.join(project, 'node_modules/p0/endless');
  writeFileSync(endless, '');
  truncateSync(endless, 2 ** 38);
  const folder = emptyFolder();
  const child = spawn(process.execPath, [main, project, '--workers', '2'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // at the head of a process group, as a shell starts it
  });
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    if (said.length === 1) end(child.pid as number);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  expect(child.exitCode).toBe(code);
  expect(said).toContain('package-digest: interrupted');
  expect(existsSync(path.join(folder, 'package-digest.json'))).toBe(false);
});
