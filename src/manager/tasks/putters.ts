/** Puts that wait for room in a task queue, in their order. */
import { Packed } from '../../protocol/wire.ts';
import type { TaskQueue } from '../../queue/queue.ts';
import { Call } from '../call.ts';
import { WaitList } from '../wait-list.ts';
import type { PutSpec } from './put-options.ts';

interface Putter {
  readonly call: Call;
  readonly put: PutSpec;
}

export class Putters {
  readonly #queue: TaskQueue;
  readonly #accept: (put: PutSpec) => void;
  readonly #waiting = new WaitList<Putter>();

  constructor(queue: TaskQueue, accept: (put: PutSpec) => void) {
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

  /** Those for which there is room now. */
  admit(): void {
    for (;;) {
      const putter = this.#waiting.peek();
      if (putter === undefined || !this.#queue.hasRoom(putter.put.bytesIn)) return;
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

  fail(reason: Error): void {
    for (const { call } of [...this.#waiting]) call.fail(reason);
  }
}
