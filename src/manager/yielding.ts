/**
 * A generator or iterator that a method of a custom type has returned, while a client reads from it.
 *
 * It is asked for the next value only while its feed has room: it runs ahead of its reader by a window, and then stands
 * still. Each step is an access of its own to the object: between steps others come to it, during an asynchronous step
 * nobody does. Whoever leaves early has `return()` called, as an access too, but for a step that is under way: that one
 * has the object already, and may be waiting for just this.
 */
import type { Item } from '../protocol/wire.ts';
import { isPromise } from '../waiting.ts';
import { type Call, PARKED } from './call.ts';
import { Feed } from './feed.ts';
import type { Gate } from './gate.ts';

/** Steps in one turn of the event loop: others have theirs in between. */
const STEPS = 16;

/** What generators, iterators and async iterables come down to. */
export interface Steps {
  next(): unknown;
  return?(): unknown;
}

/** How values and failures become what crosses, and which gate the next step passes. */
export interface Yield {
  item(value: unknown): Item;
  failure(thrown: unknown): unknown;
  gate(): Gate;
}

/** The iterator behind what a method returned; undefined for what is data. */
export function stepsOf(result: unknown): Steps | undefined {
  if (typeof result !== 'object' || result === null) return undefined;
  const { next, [Symbol.asyncIterator]: iterate } = result as { next?: unknown; [Symbol.asyncIterator]?: unknown };
  if (typeof iterate === 'function') return (result as { [Symbol.asyncIterator](): Steps })[Symbol.asyncIterator]();
  // Of what can be iterated over, an iterator has `next`; arrays, maps and sets have none, and cross as they are.
  return typeof next === 'function' && Symbol.iterator in result ? (result as unknown as Steps) : undefined;
}

export class Yielding {
  readonly #steps: Steps;
  readonly #how: Yield;
  readonly #feed: Feed;
  /** A step is under way, or has its turn coming. */
  #busy = false;
  /** Inside a step that has the object. */
  #stepping = false;
  /** The generator has ended, or has been told to. */
  #done = false;

  /** Parks `call`, and tells its caller that the answer is a feed; `over` is called once. */
  constructor(call: Call, steps: Steps, how: Yield, over: (yielding: Yielding) => void) {
    this.#steps = steps;
    this.#how = how;
    this.#feed = new Feed(call, {
      wanted: () => this.#go(),
      left: () => {
        over(this);
        this.#return();
      },
    });
    this.#feed.announce();
  }

  /** Starts; apart from the constructor, so that whoever made it knows it by then. */
  start(): typeof PARKED {
    this.#go();
    return PARKED;
  }

  /** The object has gone. */
  end(reason: Error): void {
    this.#return();
    this.#feed.end(reason);
  }

  #go(): void {
    if (this.#busy || this.#done || !this.#feed.hasRoom()) return;
    this.#busy = true;
    this.#access(() => this.#run());
  }

  /** `inside` has the object for itself; what it returns settles when it is done with it. */
  #access(inside: () => PromiseLike<unknown> | undefined): void {
    const gate = this.#how.gate();
    if (gate.free) {
      const asynchronous = inside();
      if (asynchronous === undefined) return;
      const release = gate.tryAcquire();
      void asynchronous.then(release, release);
    } else {
      void gate.acquire().then(async (release) => {
        try {
          await inside();
        } finally {
          release();
        }
      });
    }
  }

  /** Steps until there is no room, one of them awaits, or others should have a turn. */
  #run(): Promise<void> | undefined {
    for (let steps = 0; steps < STEPS; steps++) {
      if (this.#done || !this.#feed.hasRoom()) {
        this.#busy = false;
        return undefined;
      }
      this.#stepping = true;
      let result: unknown;
      try {
        result = this.#steps.next();
      } catch (error) {
        this.#failed(error);
        return undefined;
      }
      if (isPromise(result)) return this.#later(result);
      this.#stepped(result);
    }
    setImmediate(() => this.#again());
    return undefined;
  }

  async #later(result: PromiseLike<unknown>): Promise<void> {
    try {
      this.#stepped(await result);
    } catch (error) {
      this.#failed(error);
      return;
    }
    // In a turn of its own, once the gate has been passed on to whoever waits.
    setImmediate(() => this.#again());
  }

  #again(): void {
    this.#busy = false;
    this.#go();
  }

  #stepped(result: unknown): void {
    this.#stepping = false;
    if (typeof result !== 'object' || result === null) {
      return this.#failed(new TypeError(`an iterator's next() returned ${String(result)}, which is no object`));
    }
    if (this.#done) return;
    const { done, value } = result as IteratorResult<unknown>;
    if (done === true) {
      this.#done = true;
      this.#feed.end();
      return;
    }
    let item: Item;
    try {
      item = this.#how.item(value);
    } catch (error) {
      this.#feed.end(error);
      return;
    }
    this.#feed.offer(item);
  }

  /** It threw: there is nothing to return from. */
  #failed(error: unknown): void {
    this.#stepping = false;
    this.#busy = false;
    this.#done = true;
    this.#feed.end(this.#how.failure(error));
  }

  #return(): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#stepping) void abandon(this.#steps);
    else this.#access(() => abandon(this.#steps));
  }
}

/** Nobody will read from it. What it throws now is nobody's. */
export function abandon(steps: Steps): Promise<void> | undefined {
  try {
    const closing = steps.return?.();
    if (isPromise(closing)) return Promise.resolve(closing).then(nothing, nothing);
  } catch {
    // Its reader has left.
  }
  return undefined;
}

const nothing = (): void => {};
