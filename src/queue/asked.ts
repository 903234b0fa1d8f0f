/** What the queue is told: its limits, tasks as they are put, the ends of leases. */
import type { Part } from './part.ts';
import type { Kept } from './records.ts';
import type { QueueRules, TaskRules } from './rules.ts';
import type { Job } from './run.ts';
import type { Holder, Task } from './task.ts';

export interface QueueLimits {
  /** Most tasks that may wait (blocked, delayed or ready). */
  readonly maxSize: number;
  /** Most bytes of input that may wait. */
  readonly maxBytes: number;
  readonly keepRecords: Kept;
  /** Who runs what and when; without any, first in, first out by priority. */
  readonly rules?: QueueRules | undefined;
}

/** A task as it is asked for. */
export interface TaskSpec {
  readonly id: string | undefined;
  readonly name: string;
  readonly priority: number;
  readonly input: unknown;
  readonly bytesIn: number;
  readonly retries: number;
  readonly poisonAfter: number;
  readonly after: readonly Task[] | undefined;
  /** All else that it asks for; nothing for most. */
  readonly rules?: TaskRules | undefined;
  /** The task whose handler puts it, and may await it. */
  readonly parent?: Task | undefined;
  /** Its part in a run. */
  readonly job?: Job | undefined;
  /** The inputs of a `map` that it stands for. */
  readonly part?: Part | undefined;
}

/** The end of a lease as its holder reports it. */
export interface LeaseEnd {
  readonly holder: Holder;
  readonly lease: number;
  /** The task's number. */
  readonly number: number;
  /** As the worker measured it, in tenths of a millisecond; NEVER where it did not. */
  readonly ranFor: number;
}

/** What became of a call that speaks for a lease. */
export type LeaseAnswer = 'done' | 'repeated' | 'lost';
