/** How many leased tasks wait beside a worker. */
import type { Durations } from './durations.ts';
import type { HandlerTimes } from './handler-times.ts';
import { MAX_WINDOW } from './shared-window.ts';

/** How much work a window holds (ms). */
const WINDOW_TIME = 4;
/** Of tasks of up to this duration (ms) one waits behind the one that runs: a round trip would cost some percent. */
const AHEAD = 5;
/** In a window below this, a message costs more than the tasks that wait for it. */
const SMALL = 32;
/** A window of more tasks than this is of such that take less than a message costs (30 µs). */
const WORTH = 128;
/** Above this mean (ms) some twenty milliseconds have gone by in the last thirty tasks: they are not all that short. */
const MIXED = 0.6;
/** Durations seen before the window grows. */
const SEEN = 8;
/**
 * Tasks below this (ms) take as long as they do by what surrounds their handlers: for ten times as long as it will while
 * that is not compiled. So what counts is the handler, and what surrounds it once it is (ms).
 */
const SHORT = 0.03;
const AROUND = 0.0015;

/** As many as fit into the window's time; as many as there are, where that is hardly another number. */
export function windowFor(durations: Durations, handlers: HandlerTimes, size: number): number {
  let duration = durations.upperQuartile;
  if (duration < SHORT && handlers.any) duration = Math.min(duration, handlers.upperQuartile + AROUND);
  const most = durations.doubtful || durations.mean >= MIXED ? WORTH : MAX_WINDOW;
  const fits = Math.max(duration <= AHEAD ? 2 : 1, Math.min(most, Math.floor(WINDOW_TIME / duration)));
  if (size > 1 && fits >= size / 1.5 && fits <= size * 1.5) return size;
  return fits > 1 && durations.count < SEEN ? size : fits;
}

/**
 * Whether ends leave: while the other half of the window runs, so that more is here when it has. Of a small window, they
 * are half of it as well: what comes in small pieces would be answered in smaller ones.
 */
export function isHalf(size: number, left: number, ends: number): boolean {
  const half = size >> 1;
  return size < SMALL ? left > 0 && left <= half && ends >= half : left === half;
}

/**
 * With `left` tasks in a window of `size`, less than a round trip's work is there, of tasks that are worth a message each:
 * their ends leave one by one, since what comes after them may be all that there is to run. So it is in graphs whose
 * layers are small.
 */
export function runsShort(left: number, size: number): boolean {
  return left > 0 && left * 8 < size && size <= WORTH;
}
