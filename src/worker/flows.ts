/**
 * The flows of one worker loop: as many as tasks may run at once, and one more for each task that lends its slot while
 * it waits for others. Flows that are too many end as they come to ask for the next task; those that wait for one are
 * called back, so that none is given to a worker that has no slot for it.
 *
 *     task 1: runs ── awaits its child ─────────────── goes on ─▶        wanted: 1, 2 while it waits, 1
 *     one more flow:    └─▶ task 2: the child, runs ──┘ ends
 *
 * A loop that is told to end goes on with one flow while any task lends: what that waits for may have nobody else.
 */
import { AsyncResource } from 'node:async_hooks';
import type { Slots } from '../proxy/running-attempt.ts';

export class Flows implements Slots {
  readonly #concurrency: number;
  readonly #flow: () => Promise<void>;
  /** Flows begin in the context of the loop, not of the handler that lends: they hold nothing of what that holds. */
  readonly #outside = new AsyncResource('QuartermasterFlow');
  /** Waits for a task can be called back: not before that may be needed, since it costs each wait a listener. */
  #callable: boolean;
  #recall = new AbortController();
  #waiting = 0;
  #lent = 0;
  #flows = 0;
  #wanted = 0;
  /** Flows whose promise has not settled. */
  #open = 0;
  #ending = false;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};

  /** `callable`: see `wait`. */
  constructor(concurrency: number, callable: boolean, flow: () => Promise<void>) {
    this.#concurrency = concurrency;
    this.#callable = callable || concurrency > 1;
    this.#flow = flow;
  }

  /** Resolves when the last flow has ended; rejects with what the first rejects with. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#count();
      while (this.#flows < this.#wanted) this.#begin();
      if (this.#open === 0) resolve();
    });
  }

  /** Tasks that run may end, and what they wait for; no other ones begin. */
  end(): void {
    this.#ending = true;
    this.#count();
  }

  /** It has been told to end. */
  get ending(): boolean {
    return this.#ending;
  }

  /** Asked by a flow before every task: it is one too many, and ends. */
  retires(): boolean {
    if (this.#flows <= this.#wanted) return false;
    this.#flows--;
    return true;
  }

  /** A flow that asks for its next task will end. */
  get tooMany(): boolean {
    return this.#flows > this.#wanted;
  }

  /** A flow ends because there is nothing left to take. */
  left(): void {
    this.#flows--;
  }

  /** Waits for a task by `get`; undefined where the flow has been called back. */
  async wait<T>(get: (wait: { signal: AbortSignal } | undefined) => Promise<T>): Promise<T | undefined> {
    if (!this.#callable) return get(undefined);
    const { signal } = this.#recall;
    this.#waiting++;
    try {
      return await get({ signal });
    } catch (error) {
      if (signal.aborted && error === signal.reason) return undefined;
      throw error;
    } finally {
      this.#waiting--;
    }
  }

  lent(): void {
    this.#lent++;
    this.#callable = true;
    this.#count();
  }

  reclaimed(): void {
    this.#lent--;
    this.#count();
  }

  #count(): void {
    const running = this.#ending ? Math.min(1, this.#lent) : this.#concurrency;
    this.#wanted = running + this.#lent;
    if (this.#flows > this.#wanted && this.#waiting > 0) {
      this.#recall.abort();
      this.#recall = new AbortController();
    }
    if (this.#flows < this.#wanted && this.#lent > 0) setImmediate(() => this.#fill());
  }

  #fill(): void {
    this.#outside.runInAsyncScope(() => {
      while (this.#flows < this.#wanted && this.#open > 0) this.#begin();
    });
  }

  #begin(): void {
    this.#flows++;
    this.#open++;
    this.#flow().then(
      () => {
        if (--this.#open === 0) this.#resolve();
      },
      (error: unknown) => this.#reject(error),
    );
  }
}
