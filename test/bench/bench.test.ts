/** `npm run bench` itself: small sizes, wrong results, programs that do not end. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { areInstalled } from '../../bench/harness/peers.mjs';
import { startedWith } from '../../bench/processes.mjs';
import { run, type Outcome } from '../kit/run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'b-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

test('a quick run prints what was measured, keeps every figure as JSON, and leaves nothing', async () => {
  const json = path.join(folder, 'figures', 'run.json');
  const { code, stdout, stderr } = await bench('T1', 'T3', '--quick', '--json', json);
  expect(stderr).not.toContain('Error');
  expect(code).toBe(0);
  const headings = stdout.split('\n').filter((line) => line.startsWith('#'));
  expect(headings).toEqual([
    '# Performance',
    '## T1: no-op tasks, one message each',
    '## T3: one proxy call at a time',
  ]);
  expect(stdout).toMatch(/^\| Quartermaster, manager process +\| +[\d,.]+\/s \|/m);
  expect(stdout).toMatch(/^\| limit: bare node:net, no features +\| +[\d,.]+\/s \|/m);
  expect(stdout).toMatch(
    /^\| n = 1,000: manager process ÷ limit +\| +[\d.]+ \| +≥ 0\.5, floor 0\.35, aim ≥ 0\.7 \| +not judged \|$/m,
  );
  expect(stdout).toMatch(/^\| queue: p50 ÷ limit +\| +[\d.]+ \| +≤ 1\.15 \|/m);

  const { sections, machine } = JSON.parse(readFileSync(json, 'utf8')) as Report;
  expect(machine).toMatchObject({ node: process.version, cores: os.availableParallelism() });
  expect(sections.map(({ id }) => id)).toEqual(['T1', 'T3']);
  for (const { tables } of sections) {
    for (const { label, rounds } of tables.flatMap(({ results }) => results)) {
      expect(rounds, label).toHaveLength(1);
      expect(rounds[0]!['n'], label).toBeGreaterThan(0);
    }
  }
  rmSync(path.dirname(json), { recursive: true });
  expect(readdirSync(folder)).toEqual([]);
}, 180_000);

test('one wrong result among many fails the run, which says what was wrong; the others are measured', async () => {
  const json = path.join(folder, 'run.json');
  const wrong = ['--tasks', 'test/bench/wrong-tasks.mjs', '--json', json, '--readme', 'README.md'];
  const { code, stdout, stderr } = await bench('T1', '--quick', ...wrong);
  const why =
    'T1, n = 1,000: Quartermaster, manager process ended with 1: Error: wrong result: task 700 gave 700, not 701';
  expect(stderr).toContain(why);
  expect(stdout).toContain(why);
  expect(code).toBe(1);
  const [section] = (JSON.parse(readFileSync(json, 'utf8')) as Report).sections;
  expect(section!.failures).toHaveLength(2); // and the embedded manager
  expect(section!.failures[0]).toBe(why);
  const measured = Object.fromEntries(section!.tables[0]!.results.map(({ label, rounds }) => [label, rounds.length]));
  expect(measured).toMatchObject({
    'Quartermaster, manager process (failed)': 0,
    'limit: bare node:net, no features': 1,
    'fork, JSON, all sent at once': 1,
  });
  expect(stderr).toContain('README.md stays as it is: something has failed');
  rmSync(json);
}, 180_000);

test('the workloads of graphs and crowds run to their end, and every result is right', async () => {
  const json = path.join(folder, 'run.json');
  const { code, stdout, stderr } = await bench('T7', 'T8', 'T10', '--quick', '--json', json);
  expect(stderr.replace(/^T\d.*: round 1 of 1\n/gm, '')).toBe('');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^\| tree: manager process ÷ limit +\| /m);
  expect(stdout).toMatch(/^\| 500 jobs, 3,139 edges +\| +[\d.]+ µs/m);
  expect(stdout).toMatch(/^\| 1,000 named objects: with ÷ without +\| +[\d.]+ \| +≤ 1\.1 \| not judged \|$/m);
  const { sections } = JSON.parse(readFileSync(json, 'utf8')) as Report;
  for (const { tables } of sections) {
    for (const { label, rounds } of tables.flatMap(({ results }) => results)) expect(rounds, label).toHaveLength(1);
  }
}, 300_000);

test.runIf(process.platform === 'linux')(
  'a program that does not end is ended with all its processes',
  async () => {
    const isOurs = (variable: string): boolean => variable.startsWith(`TMPDIR=${folder}`);
    onTestFinished(() => startedWith(isOurs).forEach((pid) => process.kill(pid, 'SIGKILL')));
    const hanging = ['--tasks', 'test/bench/hanging-tasks.mjs', '--timeout', '4000'];
    const { code, stderr } = await bench('T1', '--quick', ...hanging);
    expect(stderr).toContain('T1, n = 1,000: Quartermaster, manager process was not done after 4000 ms');
    expect(code).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
    await vi.waitFor(() => expect(startedWith(isOurs)).toEqual([]), 30_000);
  },
  180_000,
);

test('what cannot be asked for is refused with the usage', async () => {
  for (const [args, why] of [
    [['T99'], "There is no workload 'T99'."],
    [['--rounds', '0'], '--rounds must be a whole number of at least 1.'],
    [['--fast'], "Unknown option '--fast'"],
  ] as const) {
    const { code, stdout, stderr } = await bench(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(why);
    expect(stderr).toContain('--json FILE');
    expect(stderr).toContain('Exit code 0:');
  }
});

test.runIf(areInstalled())(
  'with the peers: each has its figures beside ours, and charts are drawn',
  async () => {
    const json = path.join(folder, 'run.json');
    const { code, stdout, stderr } = await bench('T1', 'T5', '--peers', '--quick', '--json', json, '--charts', folder);
    expect({ code, stderr: stderr.replace(/^T\d.*: round 1 of 1\n/gm, '') }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('npm run bench:peers -- T1 T5 --quick');
    const { sections } = JSON.parse(readFileSync(json, 'utf8')) as Report;
    for (const { id, tables, failures } of sections) {
      expect(failures).toEqual([]);
      const labels = tables[0]!.results.map(({ label }) => label);
      for (const name of ['piscina', 'tinypool', 'workerpool', 'jest-worker']) {
        expect(labels.filter((label) => label.startsWith(`${name} `))).toHaveLength(1);
      }
      const svg = readFileSync(path.join(folder, `${id.toLowerCase()}.svg`), 'utf8');
      expect(svg).toMatch(/^<svg [^]*<\/svg>\n$/);
      for (const label of labels) expect(svg).toContain(label);
    }
  },
  300_000,
);

test.runIf(!areInstalled())('a chart without what draws it is refused, with the command that installs it', async () => {
  const { code, stdout, stderr } = await bench('T1', '--quick', '--charts', folder);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('npm run bench:peers');
});

interface Report {
  readonly machine: object;
  readonly sections: readonly {
    readonly id: string;
    readonly failures: readonly string[];
    readonly tables: readonly { readonly results: readonly { label: string; rounds: Record<string, number>[] }[] }[];
  }[];
}

function bench(...args: string[]): Promise<Outcome> {
  return run(process.execPath, ['bench/run.mjs', ...args], { cwd: root, env: { TMPDIR: folder } });
}
