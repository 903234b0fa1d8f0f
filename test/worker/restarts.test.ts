/** When workers may be started again: with the time as an argument. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Restarts } from '#qm/worker/restarts.js';

describe('lost workers', () => {
  test('are replaced at once, out of a credit; beyond it a few a second', () => {
    const restarts = new Restarts(0);
    expect(restarts.allow(4, 0, 0)).toEqual({ starts: 4, again: undefined });
    expect(restarts.allow(8, 4, 0)).toEqual({ starts: 6, again: 200 });
    expect(restarts.allow(2, 0, 200)).toEqual({ starts: 1, again: 200 });
    expect(restarts.allow(2, 0, 100_000)).toEqual({ starts: 2, again: undefined });
  });

  test('what is wanted costs no credit', () => {
    const restarts = new Restarts(0);
    restarts.allow(10, 0, 0);
    restarts.grant(3);
    expect(restarts.allow(3, 0, 0)).toEqual({ starts: 3, again: undefined });
  });
});

describe('W9 workers that cannot start', () => {
  test('one start at a time, later and later; the circuit opens, and one goes on trying', () => {
    const restarts = new Restarts(0, () => 0);
    expect(restarts.allow(8, 0, 0).starts).toBe(8);
    // All of them fail at once: that is one round.
    for (let i = 0; i < 8; i++) expect(restarts.failed(0, 10)).toBe(false);
    expect(restarts.allow(8, 0, 10)).toEqual({ starts: 0, again: 1_000 });
    expect(restarts.allow(8, 0, 1_010)).toEqual({ starts: 1, again: undefined });
    expect(restarts.allow(7, 1, 5_000)).toEqual({ starts: 0, again: undefined });
    expect(restarts.failed(restarts.round, 5_000)).toBe(false);
    expect(restarts.allow(8, 0, 6_999).starts).toBe(0);
    expect(restarts.allow(8, 0, 7_000).starts).toBe(1);
    expect(restarts.failed(restarts.round, 8_000)).toBe(true);
    expect(restarts.open).toBe(true);
    let now = 8_000;
    for (let i = 0; i < 5; i++) {
      const { again = 0 } = restarts.allow(8, 0, now);
      now += again;
      expect(restarts.allow(8, 0, now).starts).toBe(1);
      expect(restarts.failed(restarts.round, now)).toBe(false);
      expect(again).toBeLessThanOrEqual(30_000);
    }
    restarts.succeeded();
    expect(restarts.open).toBe(false);
    expect(restarts.allow(7, 1, now).starts).toBe(7);
  });

  test('never more than one start a second, whatever happens in between', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ wait: fc.nat(5_000), missing: fc.nat(10), fails: fc.boolean() }), { maxLength: 100 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        (steps, jitter) => {
          const restarts = new Restarts(0, () => jitter.next().value as number);
          restarts.failed(0, 0);
          let now = 0;
          let starting = 0;
          let latest = 0;
          for (const { wait, missing, fails } of steps) {
            now += wait;
            const { starts } = restarts.allow(missing, starting, now);
            if (starts > 0) {
              expect(starts).toBe(1);
              expect(now - latest).toBeGreaterThanOrEqual(1_000);
              latest = now;
              starting = 1;
            }
            if (fails && starting > 0) {
              starting = 0;
              restarts.failed(restarts.round, now);
            }
          }
        },
      ),
    );
  });
});
