/** The handles of one client: what each stands for, and who listens to what is told to it. */
import { ProxyDisposedError } from '../errors.ts';
import type { Track } from '../protocol/order.ts';
import type { Item, Reader } from '../protocol/wire.ts';

/** What an object's handle stands for, so that it can be opened again. */
export interface Opening {
  readonly typeId: string;
  readonly name: string | undefined;
  readonly options: readonly Item[];
  /** Of a hold: the track of the object that is held. */
  readonly track?: Track | undefined;
}

/** Frames for the object behind a handle. */
export interface Listener {
  /** TASK, LOST: frames of a task queue, read to their end. */
  frame?(kind: number, reader: Reader): void;
  event?(event: string, item: Item): void;
  /** The session has ended: what it held has gone. `gone`: so has the manager. */
  sessionEnded?(error: Error): void;
}

export class Handles {
  readonly #openings = new Map<number, Opening>();
  readonly #listeners = new Map<number, Listener>();
  #last = 0;

  get openings(): ReadonlyMap<number, Opening> {
    return this.#openings;
  }

  get listeners(): readonly Listener[] {
    return [...this.#listeners.values()];
  }

  /** A number that has never been one. */
  next(): number {
    return ++this.#last;
  }

  /** Those opened by frames of their own live as long as the session. */
  adopt(handle: number, opening: Opening): void {
    this.#openings.set(handle, opening);
  }

  listen(handle: number, listener: Listener): void {
    this.#listeners.set(handle, listener);
  }

  listener(handle: number): Listener | undefined {
    return this.#listeners.get(handle);
  }

  forget(handle: number): void {
    this.#openings.delete(handle);
    this.#listeners.delete(handle);
  }

  /** Nobody has it any more. False where it is not open, or somebody still listens. */
  abandon(handle: number): boolean {
    return !this.#listeners.has(handle) && this.#openings.delete(handle);
  }

  /** The session has ended, and with it what has no name to be found by. */
  forgetUnnamed(): void {
    for (const [handle, { name }] of [...this.#openings]) if (name === undefined) this.#openings.delete(handle);
  }

  /** Calls can be made on the handle. */
  isOpen(handle: number): boolean {
    return this.#openings.has(handle);
  }

  /** The object behind the handle ended with the session that it was opened in. */
  check(handle: number): void {
    if (handle !== 0 && !this.#openings.has(handle)) {
      throw new ProxyDisposedError(
        'this proxy was disposed of, or has ended with its withLock() body or with the connection on which its object was made; ask for the object again',
      );
    }
  }
}
