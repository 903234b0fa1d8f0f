/**
 * What a task stands for where it stands for inputs of a `map`: some that follow each other, of those that were put
 * together. Task numbers and leases count through them: the input at place `at` of a part has the number of its task,
 * and its lease, plus `at`. A part of several inputs is a *range*: see ranges.ts.
 *
 *     0 1 2 3 4 │ 5 6 7 8 9
 *        done   │   open        they get their outcomes in their order
 */

import type { Task } from './task.ts';

/** The inputs that were put together, opaque to the queue. */
export interface Inputs {
  /** The tasks that stand for some of them and have not ended: the queue keeps it. */
  readonly tasks: Set<Task>;
  /** Those from `from` up to `to`, as a task's input. */
  cut(from: number, to: number): unknown;
  /** Bytes of the same. */
  bytes(from: number, to: number): number;
}

export class Part {
  readonly inputs: Inputs;
  /** Its first input's place among those that were put together. */
  readonly from: number;
  #count: number;
  #done = 0;
  /** For how many of them the task stands: others have been cut out, and are tasks of their own. */
  size: number;
  /**
   * One of them may be what a worker has died of: they are leased one by one, and the manager hears of the start of each
   * before it starts.
   */
  careful = false;

  constructor(inputs: Inputs, from: number, count: number) {
    this.inputs = inputs;
    this.from = from;
    this.#count = this.size = count;
  }

  /** From its first input to its last. */
  get count(): number {
    return this.#count;
  }

  /** So many of them, the first ones, have their outcomes or have been cut out. */
  get done(): number {
    return this.#done;
  }

  get open(): number {
    return this.#count - this.#done;
  }

  /** The next ones have their outcomes. */
  settle(count: number): void {
    this.#done += count;
  }

  /** Cuts out the next one. */
  single(): Part {
    const at = this.#done++;
    this.size--;
    return this.#like(this.from + at, 1);
  }

  /** Cuts off those from `at` on, which are open. */
  rest(at: number): Part {
    const rest = this.#like(this.from + at, this.#count - at);
    this.#count = at;
    this.size -= rest.count;
    return rest;
  }

  #like(from: number, count: number): Part {
    const part = new Part(this.inputs, from, count);
    part.careful = this.careful;
    return part;
  }
}
