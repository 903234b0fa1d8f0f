/** What happens to leased inputs of a `map`: outcomes one after the other, some cut out, the rest given back. */
import type { LeaseAnswer } from './asked.ts';
import type { TaskQueue } from './queue.ts';
import type { Ranges } from './ranges.ts';
import { type Holder, NEVER, type Task } from './task.ts';

export class Mapped {
  readonly #queue: TaskQueue;
  readonly #ranges: Ranges;

  constructor(queue: TaskQueue, ranges: Ranges) {
    this.#queue = queue;
    this.#ranges = ranges;
  }

  /**
   * The inputs under those leases, `count` from `lease` on, have succeeded: their task, and the place of the first in
   * it. Undefined where they are not the next that have no outcome: the lease was lost.
   */
  succeeded(holder: Holder, lease: number, count: number, ranFor: number, now: number): Outcomes | undefined {
    const found = this.#ranges.find(holder, lease);
    if (found === undefined || count < 1 || found.at !== found.part.done || count > found.part.open) return undefined;
    const { task, part, at } = found;
    part.settle(count);
    return { task, at, over: this.#endIfDone(task, ranFor, now) };
  }

  /** The input under that lease as a task of its own, under the same lease. Undefined where it is not the next. */
  apart(holder: Holder, lease: number, now: number): Task | undefined {
    const found = this.#ranges.find(holder, lease);
    const task = found && this.#ranges.apart(found);
    if (found !== undefined && task !== undefined && task !== found.task) this.#endIfDone(found.task, NEVER, now);
    return task;
  }

  /** The inputs from that lease on, un-started, are ready again. */
  giveBack(holder: Holder, lease: number, now: number): LeaseAnswer {
    const found = this.#ranges.find(holder, lease);
    if (found === undefined || !this.#ranges.giveBack(found, now)) return 'lost';
    this.#endIfDone(found.task, NEVER, now);
    return 'done';
  }

  /** Of a task, or part of it, what has no outcome. */
  pending(task: Task, now: number): Task {
    const part = task.rules?.part;
    if (part === undefined || part.done === 0) return task;
    const pending = this.#ranges.pending(task, part);
    this.#endIfDone(task, NEVER, now);
    return pending;
  }

  /**
   * The holder has gone, or is as good as gone, having started its leases up to `started`, as far as it is known. What
   * it may have been at becomes tasks of their own, still leased; what it cannot have begun is ready again. All of it is
   * run carefully from here on.
   */
  breakUp(holder: Holder, started: number, now: number): void {
    for (const [lease, task] of [...holder.leases]) {
      const part = task.rules?.part;
      if (part === undefined) continue;
      part.careful = true;
      const first = lease + part.done;
      const end = lease + part.count;
      const last = Math.min(end - 1, Math.max(first, started));
      if (last + 1 < end) this.giveBack(holder, last + 1, now);
      for (let next = first; next <= last; next++) this.apart(holder, next, now);
    }
  }

  #endIfDone(task: Task, ranFor: number, now: number): boolean {
    const { holder, lease, number } = task;
    if (holder === undefined || task.rules?.part?.open !== 0) return false;
    this.#queue.complete({ holder, lease, number, ranFor }, undefined, 0, now);
    return true;
  }
}

/** Inputs of a task that have succeeded. */
export interface Outcomes {
  readonly task: Task;
  /** The place of the first of them in the task. */
  readonly at: number;
  /** It was the last: the lease has ended. */
  readonly over: boolean;
}
