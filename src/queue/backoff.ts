/** How long a failed task waits before it is tried again: capped exponential with full jitter (AWS Architecture Blog, 2015). */
import type { Backoff } from '../scheduling.ts';

const LONGEST = 3_600_000;

/** Tenths of a ms to wait after so many failures; `random` gives numbers from 0 to below 1. */
export function backoffAfter(failures: number, backoff: Backoff, random: () => number): number {
  const { base, factor = 2, max = LONGEST, jitter = 'full' } = backoff;
  const most = Math.min(max, base * factor ** (failures - 1));
  return Math.round((jitter === 'full' ? random() * most : most) * 10);
}
