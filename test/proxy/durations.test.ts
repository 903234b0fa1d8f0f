import { describe, expect, test } from 'vitest';
import { Durations } from '#qm/proxy/durations.js';

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
