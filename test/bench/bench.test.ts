/** `npm run bench` itself: small sizes, wrong results, programs that do not end. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
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
  expect(stdout).toMatch(/^\| manager process +\| +[\d,.]+\/s \|/m);
  expect(stdout).toMatch(/^\| limit +\| +[\d,.]+\/s \|/m);
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

test('one wrong result among many fails the run, which says what was wrong', async () => {
  const { code, stdout, stderr } = await bench('T1', '--quick', '--tasks', 'test/bench/wrong-tasks.mjs');
  const why = 'T1, n = 1,000: manager process ended with 1: Error: wrong result: task 700 gave 700, not 701';
  expect(stderr).toContain(why);
  expect(stdout).toContain(why);
  expect(code).toBe(1);
}, 180_000);

test.runIf(process.platform === 'linux')(
  'a program that does not end is ended with all its processes',
  async () => {
    const isOurs = (variable: string): boolean => variable.startsWith(`TMPDIR=${folder}`);
    onTestFinished(() => startedWith(isOurs).forEach((pid) => process.kill(pid, 'SIGKILL')));
    const hanging = ['--tasks', 'test/bench/hanging-tasks.mjs', '--timeout', '4000'];
    const { code, stderr } = await bench('T1', '--quick', ...hanging);
    expect(stderr).toContain('T1, n = 1,000: manager process was not done after 4000 ms');
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
  }
});

interface Report {
  readonly machine: object;
  readonly sections: readonly {
    readonly id: string;
    readonly tables: readonly { readonly results: readonly { label: string; rounds: Record<string, number>[] }[] }[];
  }[];
}

function bench(...args: string[]): Promise<Outcome> {
  return run(process.execPath, ['bench/run.mjs', ...args], { cwd: root, env: { TMPDIR: folder } });
}
