/** Puts that wait for room in a task queue, in their order. */
import { Packed } from '../../protocol/wire.ts';
import type { TaskQueue } from '../../queue/queue.ts';
import { Call } from '../call.ts';
import { WaitList } from '../wait-list.ts';
import type { Bundle } from './bundle.ts';
import type { PutSpec } from './put-options.ts';

interface Putter {
  readonly call: Call;
  readonly put: PutSpec;
}

/** Inputs of a `map` of which some may have been admitted. */
interface Line {
  readonly bundle: Bundle;
}

export class Putters {
  readonly #queue: TaskQueue;
  readonly #accept: (put: PutSpec) => void;
  readonly #acceptSome: (bundle: Bundle) => boolean;
  readonly #waiting = new WaitList<Putter | Line>();

  /** `acceptSome` accepts as many inputs as there is room for, and says whether that was all. */
  constructor(queue: TaskQueue, accept: (put: PutSpec) => void, acceptSome: (bundle: Bundle) => boolean) {
    this.#acceptSome = acceptSome;
    this.#queue = queue;
    this.#accept = accept;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** The put waits; `left` is called when its caller gives up, which may have been in the way of others. */
  add(put: PutSpec, left: () => void): void {
    const call = new Call(put.session, put.call, false);
    if (put.input instanceof Packed) call.keep(put.input);
    const leave = this.#waiting.add({ call, put });
    call.park(() => {
      if (leave()) left();
    });
  }

  /** The inputs wait, as far as they have not been admitted. Call what is returned when they wait no more. */
  addBundle(bundle: Bundle): () => void {
    return this.#waiting.add({ bundle });
  }

  /** Those for which there is room now. */
  admit(): void {
    for (;;) {
      const putter = this.#waiting.peek();
      if (putter === undefined) return;
      if ('bundle' in putter) {
        if (!this.#admitBundle(putter.bundle)) return;
        continue;
      }
      if (!this.#queue.hasRoom(putter.put.bytesIn)) return;
      this.#waiting.shift();
      const { call, put } = putter;
      if (!call.settled()) continue;
      try {
        this.#accept(put);
      } catch (error) {
        put.session.failed(put.call, error);
      }
    }
  }

  /** `refuse` tells of inputs that will not be put. */
  fail(reason: Error, refuse: (bundle: Bundle, reason: Error) => void): void {
    for (const putter of [...this.#waiting]) {
      if ('bundle' in putter) refuse(putter.bundle, reason);
      else putter.call.fail(reason);
    }
  }

  /** False where it still waits. */
  #admitBundle(bundle: Bundle): boolean {
    try {
      if (!this.#acceptSome(bundle)) return false;
    } catch (error) {
      bundle.call.refuse(error);
    }
    bundle.leaveLine?.();
    bundle.leaveLine = undefined;
    return true;
  }
}
