/**
 * The mutual exclusion of one shared object: an async-mutex round every access.
 *
 * While nobody holds it and the access is synchronous, the access runs at once: JavaScript runs it to its end before
 * anything else, and a section of the mutex would cost 1.3 µs. Behind a hold (`withLock`) or an access that awaits,
 * calls queue in the mutex, first come, first served; one whose caller has gone is dropped at its turn, because
 * async-mutex cannot drop a single waiter.
 */
import type { MutexInterface } from 'async-mutex';
import { lazily } from '../protocol/lazily.ts';

const mutexes = lazily<typeof import('./mutex.ts')>(new URL('./mutex.js', import.meta.url));

/** Makes the mutex of an object. Replaced only by tests that prove what the mutex is there for. */
export type NewMutex = () => MutexInterface;
export const newMutex: NewMutex = () => mutexes().newMutex();

export class Gate {
  readonly #newMutex: NewMutex;
  #mutex: MutexInterface | undefined;

  constructor(make: NewMutex) {
    this.#newMutex = make;
  }

  /** Nobody holds the object, and nobody waits for it. */
  get free(): boolean {
    return this.#mutex === undefined || !this.#mutex.isLocked();
  }

  /** Runs a synchronous access: now where the object is free, otherwise at its turn if it is still wanted. */
  enter(access: () => void, wanted: () => boolean): void {
    if (this.free) access();
    else void this.acquire().then((release) => within(release, wanted() ? access : nothing));
  }

  /** The object for oneself now, if it is free; call what is returned once when done. */
  tryAcquire(): (() => void) | undefined {
    if (!this.free) return undefined;
    this.#mutex ??= this.#newMutex();
    const mutex = this.#mutex;
    void mutex.acquire(); // a free one is taken in the call itself
    return () => mutex.release();
  }

  /** The object for oneself; call what it resolves to when done. */
  acquire(): Promise<MutexInterface.Releaser> {
    this.#mutex ??= this.#newMutex();
    return this.#mutex.acquire();
  }
}

function within(release: MutexInterface.Releaser, access: () => void): void {
  try {
    access();
  } finally {
    release();
  }
}

const nothing = (): void => {};
