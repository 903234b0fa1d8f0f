import { describe, expect, test } from 'vitest';
import { Durations } from '#qm/proxy/durations.js';
import { HandlerTimes } from '#qm/proxy/handler-times.js';
import { windowFor } from '#qm/proxy/window-size.js';

function durations(...all: number[]): Durations {
  const seen = new Durations();
  for (const ms of all) seen.add(ms);
  return seen;
}

/** `n` times each. */
function times(n: number, ...all: number[]): number[] {
  return Array.from({ length: n }, () => all).flat();
}

describe('the upper quartile of the last durations', () => {
  test.each([0.001, 0.002, 0.05, 0.2, 1, 3, 20, 400])(
    'of tasks that all take %d ms: that, or less than half more',
    (ms) => {
      const { upperQuartile } = durations(...times(40, ms));
      expect(upperQuartile).toBeGreaterThanOrEqual(ms);
      expect(upperQuartile).toBeLessThan(ms * Math.SQRT2 * 1.001);
    },
  );

  test('is not moved by few that are long', () => {
    expect(durations(...times(30, 0.2), 20, 20).upperQuartile).toBe(durations(...times(32, 0.2)).upperQuartile);
  });

  test('is long when every third is', () => {
    expect(durations(...times(20, 0.2, 0.2, 20)).upperQuartile).toBeGreaterThan(20);
  });

  test('follows: long after nine long ones, short after 24 short ones', () => {
    const seen = durations(...times(100, 0.2), ...times(8, 20));
    expect(seen.upperQuartile).toBeLessThan(0.3);
    seen.add(20);
    expect(seen.upperQuartile).toBeGreaterThan(20);
    for (const ms of times(100, 20)) seen.add(ms);
    for (const ms of times(23, 0.2)) seen.add(ms);
    expect(seen.upperQuartile).toBeGreaterThan(20);
    seen.add(0.2);
    expect(seen.upperQuartile).toBeLessThan(0.3);
  });

  test.each([[0], [-1], [5_000], [Number.MAX_VALUE]])('takes %d ms', (ms) => {
    expect(durations(ms).upperQuartile).toBeGreaterThan(0);
  });
});

test('the mean counts long ones in full', () => {
  expect(durations(7).mean).toBe(7);
  const { mean } = durations(...times(20, ...times(19, 0.2), 20));
  expect(mean).toBeGreaterThan(0.9);
  expect(mean).toBeLessThan(1.6);
});

describe('how many tasks wait beside a worker', () => {
  const window = (size: number, ...all: number[]): number => windowFor(durations(...all), new HandlerTimes(), size);

  test.each([
    ['one to begin with', 1, times(7, 0.2), 1],
    ['four milliseconds of work by the upper quartile', 1, times(8, 0.25), 15],
    ['no more than there is a place for', 1, times(40, 0.001), 2048],
    ['two of up to 5 ms', 1, times(8, 4), 2],
    ['one of longer ones', 8, times(8, 6), 1],
    ['as many as there are, where that is hardly another number', 12, times(8, 0.25), 12],
    ['nor is it for one more or less of a few', 3, times(8, 1.9), 3],
  ] as const)('%s', (_what, size, all, expected) => expect(window(size, ...all)).toBe(expected));
});
