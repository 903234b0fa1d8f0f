import { expect, test } from 'vitest';
import { Durations } from '#qm/graph/durations.js';

test('a job is known by its handler and id, any other one of the handler by what that took', () => {
  const durations = new Durations();
  expect([durations.empty, durations.of('fetch', 'a')]).toEqual([true, undefined]);
  durations.note('fetch', 'a', 100);
  durations.note('fetch', 'b', 300);
  expect(['a', 'b', 'c'].map((id) => durations.of('fetch', id))).toEqual([100, 300, 200]);
  expect([durations.empty, durations.of('parse', 'a')]).toEqual([false, undefined]);
});

test('what changes is known after a few runs', () => {
  const durations = new Durations();
  for (const ms of [1000, 0, 0, 0, 0, 0, 0, 0]) durations.note('fetch', 'a', ms);
  expect(durations.of('fetch', 'a')).toBeLessThan(10);
});

test('without an id something is learned of the handler alone', () => {
  const durations = new Durations();
  durations.note('fetch', undefined, 7);
  expect(durations.toJSON()).toEqual({ version: 1, jobs: {}, handlers: { fetch: 7 } });
});

test('at least the 100,000 jobs that ran last are remembered, and of others no more than as many', () => {
  const durations = new Durations();
  const known = (from: number, to: number): number => {
    let count = 0;
    for (let at = from; at < to; at++) if (durations.job('x', `j${at}`) !== undefined) count++;
    return count;
  };
  for (let at = 0; at < 250_000; at++) durations.note('x', `j${at}`, 1);
  expect(Object.keys(durations.toJSON().jobs)).toHaveLength(100_000);
  expect([known(0, 100_000), known(150_000, 250_000)]).toEqual([0, 100_000]);
  // One that is asked for stays.
  for (let at = 0; at < 300_000; at++) {
    durations.note('y', `j${at}`, 1);
    if (at % 50_000 === 0) durations.of('x', 'j249999');
  }
  expect([known(249_999, 250_000), known(0, 249_999)]).toEqual([1, 0]);
});

test('what is learned of a job by its estimate is known to all', () => {
  const durations = new Durations();
  expect(durations.job('fetch', 'a')).toBeUndefined();
  durations.note('fetch', 'a', 100);
  durations.job('fetch', 'a')!.note(300);
  expect([durations.of('fetch', 'a'), durations.handler('fetch')]).toEqual([200, 100]);
});

test('JSON gives back what was learned', () => {
  const durations = new Durations();
  durations.note('fetch', 'a', 1.26);
  durations.note('__proto__', 'constructor', 5);
  const read = Durations.fromJSON(JSON.parse(JSON.stringify(durations)));
  expect([read.of('fetch', 'a'), read.of('__proto__', 'constructor')]).toEqual([1.3, 5]);
});

test.each<[json: unknown, message: string]>([
  [3, "it is not a file of durations of 'version' 1"],
  [{ version: 2 }, "it is not a file of durations of 'version' 1"],
  [{ version: 1, jobs: [] }, "'jobs' is not an object of durations"],
  [{ version: 1, jobs: {}, handlers: { x: '5' } }, "'handlers' has 'x', which is not a number of ms of 0 or more"],
  [{ version: 1, jobs: { x: -1 }, handlers: {} }, "'jobs' has 'x', which is not a number of ms of 0 or more"],
])('%j is refused', (json, message) => {
  expect(() => Durations.fromJSON(json)).toThrow(new TypeError(message));
});
