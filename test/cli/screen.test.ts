/** What a run looks like: the pure part of the display, and the terminal's, on a stream that says it is one. */
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { displayFor } from '#qm/cli/run/display.js';
import { remaining } from '#qm/cli/run/estimate.js';
import { RunModel } from '#qm/cli/run/run-model.js';
import { coloured, duration, endedLines, liveLines, plain, progressLine, summaryLine } from '#qm/cli/run/screen.js';

function model(durations: Record<string, number> = {}, workers = 2): RunModel {
  const jobs = [
    { id: 'a', before: [] },
    { id: 'b', before: ['a'] },
    { id: 'c', before: [] },
  ];
  const known = new Map(Object.entries(durations));
  return new RunModel({
    file: 'build.yaml',
    jobs,
    upToDate: [],
    workers,
    durations: known,
    logFile: (id) => `/logs/${id}`,
  });
}

describe('the lines', () => {
  test('running jobs, the longest first, with what they usually take, how far all is, and what is left', () => {
    const run = model({ a: 10_000, b: 20_000, c: 4_000 });
    run.move({ job: 'c', state: 'leased', at: 1_000 });
    run.move({ job: 'a', state: 'leased', at: 500 });
    expect(liveLines(run, 3_500, 80, plain)).toEqual([
      '▸ a  3 s of about 10.0 s',
      '▸ c  2 s of about 4.0 s',
      '0/3 done, 2 running, about 27 s left',
    ]);
    expect(liveLines(run, 3_500, 12, plain)).toEqual(['▸ a  3 s of…', '▸ c  2 s of…', '0/3 done, 2…']);
  });

  test('many running jobs are counted', () => {
    const jobs = Array.from({ length: 20 }, (_, i) => ({ id: `j${i}`, before: [] }));
    const run = new RunModel({ file: '', jobs, upToDate: [], workers: 20, durations: new Map(), logFile: String });
    for (const { id } of jobs) run.move({ job: id, state: 'leased', at: 0 });
    expect(liveLines(run, 0, 80, plain)).toHaveLength(14);
    expect(liveLines(run, 0, 80, plain)[12]).toBe('  and 8 more');
  });

  test('how a job has ended', () => {
    const run = model();
    run.move({ job: 'a', state: 'leased', at: 0 });
    run.move({ job: 'a', state: 'ready', at: 10 });
    run.move({ job: 'a', state: 'leased', at: 20 });
    const failed = run.move({ job: 'a', state: 'failed', at: 1_520, error: 'exit code 1\n  at x\u001B[2J' })!;
    expect(endedLines(failed, ['said'], '/logs/a', plain)).toEqual([
      '✗ a  1.5 s  (2 attempts)  exit code 1 at x',
      '  │ said',
      '  └ /logs/a',
    ]);
    const skipped = run.move({ job: 'b', state: 'skipped', at: 1_520, error: "'a' has not succeeded" })!;
    expect(endedLines(skipped, [], '/logs/b', plain)).toEqual(["- b  'a' has not succeeded"]);
    run.move({ job: 'c', state: 'leased', at: 0 });
    const done = run.move({ job: 'c', state: 'succeeded', at: 61_000 })!;
    expect(endedLines(done, [], '/logs/c', plain)).toEqual(['✓ c  1 min 01 s']);
    expect(endedLines(done, [], '/logs/c', coloured)[0]).toContain('\u001B[32m✓');
    expect(run.move({ job: 'c', state: 'succeeded', at: 61_000 })).toBeUndefined();
    expect(run.move({ job: 'nobody', state: 'leased', at: 0 })).toBeUndefined();
    expect(run.counts).toEqual({ total: 3, running: 0, succeeded: 1, failed: 1, skipped: 1, cancelled: 0 });
  });

  test('how far, and the sum of it', () => {
    const counts = { total: 9, running: 1, succeeded: 3, failed: 1, skipped: 2, cancelled: 1 };
    expect(progressLine(counts, 90_000)).toBe('7/9 done, 1 failed, 1 running, about 1 min 30 s left');
    expect(progressLine(counts)).toBe('7/9 done, 1 failed, 1 running');
    expect(summaryLine({ ...counts, total: 0 }, 1, 5)).toBe('1 job up to date: nothing to do');
    expect(summaryLine(counts, 4, 3_600_000)).toBe(
      '3 of 9 jobs succeeded, 1 failed, 2 skipped, 3 not run, 4 up to date in 1 h 00 min',
    );
  });

  test.each([
    [0, '0 ms'],
    [999.4, '999 ms'],
    [1_000, '1.0 s'],
    [59_940, '59.9 s'],
    [60_000, '1 min 00 s'],
    [3_661_000, '1 h 01 min'],
  ])('%d ms are %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});

describe('what is left', () => {
  const job = (id: string, before: string[] = [], left = true, spent = 0) => ({ id, before, left, spent });

  test('is the longest chain, or all work on all workers, whichever is more', () => {
    const durations = new Map([
      ['a', 10],
      ['b', 20],
      ['c', 30],
    ]);
    const chain = [job('a'), job('b', ['a']), job('c', ['b'])];
    expect(remaining(chain, durations, 8)).toBe(60);
    const wide = [job('a'), job('b'), job('c')];
    expect(remaining(wide, durations, 8)).toBe(30);
    expect(remaining(wide, durations, 1)).toBe(60);
  });

  test('counts what has been spent, unknown jobs as the average, and says nothing where most are unknown', () => {
    const durations = new Map([
      ['a', 10],
      ['b', 30],
    ]);
    expect(remaining([job('a', [], true, 4), job('b', [], false)], durations, 1)).toBe(6);
    expect(remaining([job('a', [], true, 400)], durations, 1)).toBe(0);
    expect(remaining([job('a'), job('b'), job('x')], durations, 1)).toBe(60);
    expect(remaining([job('a'), job('x'), job('y')], durations, 1)).toBeUndefined();
    expect(remaining([], durations, 1)).toBe(0);
  });
});

test('on a terminal: ended jobs stay, running ones change in place, and nothing is left of them at the end', () => {
  vi.stubEnv('CI', '');
  vi.stubEnv('NO_COLOR', '1');
  vi.useFakeTimers({ now: 10_000 });
  onTestFinished(() => {
    vi.unstubAllEnvs();
    vi.useRealTimers();
  });
  const through = new PassThrough({ encoding: 'utf8' });
  const stream = Object.assign(through, { isTTY: true, columns: 60, rows: 24 }) as unknown as NodeJS.WriteStream;
  const text = (): string => String(through.read() ?? '');
  const run = model();
  const shown = displayFor({ json: false, verbose: false, stream });
  shown.begin(run);
  expect(text()).toContain('build.yaml: 3 jobs, 2 workers');
  shown.moved(run.move({ job: 'a', state: 'leased', at: 10_000 })!);
  vi.advanceTimersByTime(2_100);
  expect(text()).toContain('▸ a  2 s');
  shown.moved(run.move({ job: 'a', state: 'succeeded', at: 12_500 })!);
  const ended = text();
  expect(ended).toContain('\u001B[2K');
  expect(stripVTControlCharacters(ended)).toContain('✓ a  2.5 s\n');
  shown.end(2_500, 1);
  const last = text();
  expect(stripVTControlCharacters(last).trimEnd()).toMatch(/1 of 3 jobs succeeded, 2 not run in 2\.5 s$/);
  expect(vi.getTimerCount()).toBe(0);
});
