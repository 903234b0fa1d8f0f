/** The words in which users say who runs next, how often and how soon: options of puts and of task queues. */

/** How long a failed task waits before it is tried again: exponential, capped, with jitter. Times in ms. */
export interface Backoff {
  /** Before the second attempt, at most. */
  readonly base: number;
  /** By which it grows with each failure; at least 1. Default 2. */
  readonly factor?: number | undefined;
  /** It never grows beyond. Default: an hour. */
  readonly max?: number | undefined;
  /** `'full'`: anything from 0 to that; `'none'`: exactly that. Default `'full'`. */
  readonly jitter?: 'full' | 'none' | undefined;
}

/** A token bucket: so many tasks may start at once, and no more than so many within a time in the long run. */
export interface RateLimit {
  readonly max: number;
  /** ms in which `max` tokens come back, evenly. */
  readonly per: number;
  /** A bucket for each `key` of tasks; those without a key are not limited. Default: one for the queue. */
  readonly keyed?: boolean | undefined;
}

/**
 * Breaks ties of priority. `'fair'` is `'fifo'`: groups share fairly under every policy. Under both a run of a job graph
 * has the place of its submission, and of its jobs the one with the longest way to the end of the run goes first.
 * `'critical-path'`: the longest way first among the jobs of all runs.
 */
export type PolicyName = 'fifo' | 'lifo' | 'fair' | 'critical-path';

/** What of a task a policy may look at: nothing that changes while it waits. */
export interface PolicyTask {
  /** Its id. */
  readonly key: string;
  /** Counts up with the puts. */
  readonly number: number;
  readonly name: string;
  readonly priority: number;
  /** Tenths of a millisecond on the queue's own clock. */
  readonly putAt: number;
  readonly bytesIn: number;
}

/**
 * Who goes first among tasks of the same group and priority: `compare` is negative where `a` does. A consistent order
 * that depends on nothing that changes. Runs in the manager, so only `new Manager({ queue })` takes one.
 */
export interface Policy {
  /** Negative where `a` goes first, positive where `b` does. */
  compare(a: PolicyTask, b: PolicyTask): number;
}
