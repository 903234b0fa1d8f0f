import { expect, test } from 'vitest';
import { Durations } from '#qm/proxy/durations.js';
import { HandlerTimes } from '#qm/proxy/handler-times.js';
import { isHalf, runsShort, windowFor } from '#qm/proxy/window-size.js';

/** The window of tasks that take so long (ms), of which their handlers, where they are timed, take `alone`. */
function sizeFor(ms: number, alone?: number): number {
  const durations = new Durations();
  const handlers = new HandlerTimes();
  for (let i = 0; i < 100; i++) {
    durations.add(ms);
    if (alone !== undefined && handlers.due()) handlers.add(alone);
  }
  return windowFor(durations, handlers, 1);
}

test('tasks of which a few take long make no large window, however short the others are', () => {
  const durations = new Durations();
  const size = (): number => windowFor(durations, new HandlerTimes(), 1);
  for (let i = 0; i < 100; i++) durations.add(0.001);
  const before = size();
  durations.add(15);
  expect(size()).toBe(before);
  durations.add(15);
  expect(size()).toBe(128);
  for (let i = 0; i < 32; i++) durations.add(0.001);
  expect(size()).toBe(before);
});

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

test('ends leave with half of the window, of a small one not before they are half of it themselves', () => {
  expect([isHalf(100, 50, 1), isHalf(100, 51, 49), isHalf(100, 49, 51)]).toEqual([true, false, false]);
  expect([isHalf(20, 10, 10), isHalf(20, 10, 9), isHalf(20, 4, 10)]).toEqual([true, false, true]);
  // What comes after the last is asked for with its end.
  expect([isHalf(20, 0, 20), isHalf(20, 11, 10)]).toEqual([false, false]);
});

test('of short tasks the handlers count, and not what surrounds them while its code is not compiled', () => {
  expect(sizeFor(0.02, 0.0005)).toBeGreaterThan(1000);
  expect(sizeFor(0.02, 0.018)).toBe(sizeFor(0.02));
  // Of longer ones it may be what surrounds them that takes long: a handler that goes on after it has returned, say.
  expect(sizeFor(0.2, 0.0005)).toBe(sizeFor(0.2));
});

test('the first eight handlers are timed, then every sixteenth', () => {
  const handlers = new HandlerTimes();
  const timed: number[] = [];
  for (let i = 0; i < 64; i++) {
    if (!handlers.due()) continue;
    handlers.add(1);
    timed.push(i);
  }
  expect(timed).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 23, 39, 55]);
});

test('durations that let expect too little make no large window until there are others', () => {
  const durations = new Durations();
  const size = (): number => windowFor(durations, new HandlerTimes(), 1);
  for (let i = 0; i < 100; i++) durations.add(0.001);
  const before = size();
  durations.doubt();
  expect(size()).toBe(128);
  for (let i = 0; i < 31; i++) durations.add(0.001);
  expect(size()).toBe(128);
  durations.add(0.001);
  expect(size()).toBe(before);
});
