/** How long a failed task waits before it is tried again: capped exponential with full jitter (AWS Architecture Blog, 2015). */

/** Every figure in ms but `factor`. */
export interface Backoff {
  /** Before the second attempt, at most. */
  readonly base: number;
  /** By which it grows with each failure. Default 2. */
  readonly factor?: number | undefined;
  /** It never grows beyond. Default: an hour. */
  readonly max?: number | undefined;
  /** 'full' (default): anything from 0 to that; 'none': exactly that. */
  readonly jitter?: 'full' | 'none' | undefined;
}

const LONGEST = 3_600_000;

/** Tenths of a ms to wait after so many failures; `random` gives numbers from 0 to below 1. */
export function backoffAfter(failures: number, backoff: Backoff, random: () => number): number {
  const { base, factor = 2, max = LONGEST, jitter = 'full' } = backoff;
  const most = Math.min(max, base * factor ** (failures - 1));
  return Math.round((jitter === 'full' ? random() * most : most) * 10);
}
