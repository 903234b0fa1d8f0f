/**
 * Who goes first among the ready tasks of one group: priority, with ageing where there is any; the policy; the puts. Of
 * the jobs of one run, under the policy 'fifo', those with the longest way to the end of the run.
 */
import type { Policy } from '../scheduling.ts';
import type { QueueRules } from './rules.ts';
import type { Task } from './task.ts';

export class Order {
  /** Tenths of a ms for one point of priority; 0 without ageing. */
  readonly ageing: number;
  /** Which end of a lane's ring is taken from, where tasks that come in order of their puts go in order, too. */
  readonly ring: 'first' | 'last' | undefined;
  /** The first error that a policy threw. */
  policyError: unknown = undefined;
  readonly #policy: Policy | undefined;
  readonly #newestFirst: boolean;

  constructor({ policy = 'fifo', ageing }: QueueRules = {}) {
    this.ageing = ageing === undefined ? 0 : ageing * 10;
    this.#policy = policy === 'critical-path' ? heaviest : typeof policy === 'object' ? policy : undefined;
    this.#newestFirst = policy === 'lifo';
    if (this.#policy === undefined) {
      if (!this.#newestFirst) this.ring = 'first';
      else if (this.ageing === 0) this.ring = 'last';
    }
  }

  /** Whether `a` goes before `b`. */
  before(a: Task, b: Task): boolean {
    if (this.ageing === 0) {
      if (a.priority !== b.priority) return a.priority > b.priority;
    } else {
      const one = this.score(a);
      const other = this.score(b);
      if (one !== other) return one < other;
    }
    return this.tied(a, b);
  }

  /** The same of two tasks of one priority. */
  inLane(a: Task, b: Task): boolean {
    if (this.ageing !== 0 && a.putAt !== b.putAt) return a.putAt < b.putAt;
    return this.tied(a, b);
  }

  /** With ageing: when it was put, moved back by its priority. The least goes first, whatever the time is. */
  score(task: Task): number {
    return task.putAt - task.priority * this.ageing;
  }

  tied(a: Task, b: Task): boolean {
    if (this.#policy !== undefined) {
      let compared = 0;
      try {
        compared = this.#policy.compare(a, b);
      } catch (error) {
        this.policyError ??= error;
      }
      if (compared < 0) return true;
      if (compared > 0) return false;
    }
    if (this.#newestFirst) return a.number > b.number;
    return a.job === undefined && b.job === undefined ? a.number < b.number : jobBefore(a, b);
  }
}

/** The policy 'critical-path': the heavier first. */
const heaviest: Policy = {
  compare: (a, b) => weightOf(b as Task) - weightOf(a as Task),
};

function weightOf({ job, rules }: Task): number {
  return job?.weight ?? rules?.asked.weight ?? 0;
}

/** First in, first out, where at least one is a job: a run has one place, and in it the heavier goes first. */
function jobBefore(a: Task, b: Task): boolean {
  const one = a.job?.run.seat ?? a.number;
  const other = b.job?.run.seat ?? b.number;
  if (one !== other) return one < other;
  const heavier = weightOf(a) - weightOf(b);
  return heavier === 0 ? a.number < b.number : heavier > 0;
}
