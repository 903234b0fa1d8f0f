/**
 * One attempt of a task as its context knows it: what it puts, and whether it waits for other tasks. While it does, its
 * slot is lent: the manager hears of it (LEND), and the worker loop runs another task in its place. It goes on with a
 * RECLAIM, and only a turn later: by then what was taken in its place and not begun has been given back, and does not
 * wait for as long as this one keeps the thread busy.
 */
import { ToManager } from '../protocol/messages.ts';
import type { Leased } from './leased-task.ts';
import type { Attempt } from './object-proxy.ts';

/** The flows of a worker loop, as those know them that lend theirs. */
export interface Slots {
  /** A task waits for others: another flow may run in its place. */
  lent(): void;
  /** It goes on, or has ended. */
  reclaimed(): void;
}

export class RunningAttempt implements Attempt {
  readonly #task: Leased;
  readonly #slots: Slots;
  /** How many waits for other tasks are under way. */
  #waits = 0;
  #unbind: (() => void) | undefined;
  #places = 0;

  constructor(task: Leased, slots: Slots) {
    this.#task = task;
    this.#slots = slots;
  }

  get lease(): number {
    return this.#task.lease;
  }

  /** Of its task. */
  get number(): number {
    return this.#task.number;
  }

  get queue(): string {
    return this.#task.queue;
  }

  /** The next place among what it puts, from 1. */
  nextPlace(): number {
    return ++this.#places;
  }

  bind(lost: (reason: Error) => void): () => void {
    return this.#task.bind(lost);
  }

  /** It waits for a task, until the function returned is called; calling that again does nothing. */
  lend(): () => void {
    const task = this.#task;
    // Of one whose lease was lost the handler may still run: the worker's flow is lent all the same.
    if (task.over && task.lost === undefined) return () => {};
    if (this.#waits++ === 0) this.#lend();
    let waits = true;
    return () => {
      if (!waits) return;
      waits = false;
      if (this.#waits > 0 && --this.#waits === 0) this.#reclaim();
    };
  }

  #lend(): void {
    if (!this.#task.over) {
      this.#task.tell(ToManager.LEND);
      this.#unbind = this.bind(() => {
        this.#unbind = undefined;
        if (this.#task.lost !== undefined) return;
        this.#waits = 0;
        this.#slots.reclaimed();
      });
    }
    this.#slots.lent();
  }

  #reclaim(): void {
    this.#unbind?.();
    this.#unbind = undefined;
    if (!this.#task.over) this.#task.tell(ToManager.RECLAIM);
    this.#slots.reclaimed();
  }
}
