import { expect, test } from 'vitest';
import { Durations } from '#qm/proxy/durations.js';
import { runsShort, windowFor } from '#qm/proxy/window-size.js';

/** The window of tasks that take so long (ms). */
function sizeFor(ms: number): number {
  const durations = new Durations();
  for (let i = 0; i < 100; i++) durations.add(ms);
  return windowFor(durations, 1);
}

/** With how many tasks left the end of another one leaves at once. */
const leavesWith = (ms: number): number[] =>
  Array.from({ length: 1024 }, (_, left) => left).filter((left) => runsShort(left, sizeFor(ms)));

test('ends of tasks of 0.1 ms leave one by one while less than half a millisecond of them is left', () => {
  const left = leavesWith(0.1);
  expect(left[0]).toBe(1);
  expect(left.at(-1)! * 0.1).toBeGreaterThan(0.2);
  expect(left.at(-1)! * 0.1).toBeLessThan(0.6);
});

test('of the last one nothing more is asked than that it leaves with the question for more', () => {
  expect(runsShort(0, sizeFor(0.1))).toBe(false);
});

test('ends of the shortest tasks, of which a message costs more, and of long ones, which leave anyway, do not', () => {
  expect([leavesWith(0.001), leavesWith(0.01), leavesWith(2)]).toEqual([[], [], []]);
});
