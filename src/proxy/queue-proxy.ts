import { QueueShutdownError } from '../errors.ts';
import type { Item } from '../protocol/wire.ts';
import type { WaitOptions } from '../waiting.ts';
import { type GuardOptions, HoldableProxy, type ObjectHandle } from './object-proxy.ts';

/** What a queue is made with. */
export interface QueueOptions {
  /** Most items it holds; `put` waits beyond. Default: no limit. */
  maxSize?: number | undefined;
  /** Which item comes next. Default 'fifo'. */
  order?: 'fifo' | 'lifo' | 'priority' | undefined;
}

/** How long to wait for room, under which guard, and which place the value gets. */
export interface QueuePutOptions extends WaitOptions, GuardOptions {
  /** For `order: 'priority'`: higher comes sooner, ties first in, first out. Default 0. */
  priority?: number | undefined;
}

/** A shared queue of values. `undefined` cannot be put: it is what `getNowait()` answers for an empty queue. */
export class QueueProxy<T = unknown> extends HoldableProxy implements AsyncIterable<T> {
  /** Waits while the queue is full. @throws QueueShutdownError */
  async put(value: T, options?: QueuePutOptions): Promise<void> {
    await this.call('put', [this.#item(value), options?.priority], options, options?.guard);
  }

  /** @throws QueueFullError instead of waiting */
  async putNowait(value: T, options?: GuardOptions & { priority?: number }): Promise<void> {
    await this.call('putNowait', [this.#item(value), options?.priority], undefined, options?.guard);
  }

  /** Puts all of them at one moment, when there is room for all. */
  async putMany(values: Iterable<T>, options?: QueuePutOptions): Promise<void> {
    const items = Array.from(values, (value) => this.#item(value));
    await this.call('putMany', [items, options?.priority], options, options?.guard);
  }

  /** The next item; waits while the queue is empty. @throws QueueShutdownError once it is shut down and empty */
  async get(options?: WaitOptions & GuardOptions): Promise<T> {
    const giveBack = (item: Item): Promise<unknown> => this.#giveBack([item]);
    return this.unpack(await this.call('get', [], options, options?.guard, giveBack)) as T;
  }

  /** The next item, or undefined where there is none. */
  async getNowait(options?: GuardOptions): Promise<T | undefined> {
    return this.unpack(await this.call('getNowait', [], undefined, options?.guard)) as T | undefined;
  }

  /** Waits for one item, and takes up to `max` of those that are there. */
  async getMany(max: number, options?: WaitOptions & GuardOptions): Promise<T[]> {
    const giveBack = (items: Item): Promise<unknown> => this.#giveBack(items as Item[]);
    return this.unpack(await this.call('getMany', [max], options, options?.guard, giveBack)) as T[];
  }

  /** How many items wait. */
  async size(): Promise<number> {
    return (await this.call('size', [])) as number;
  }

  /** Whether nothing waits. By the time the answer is here it may be otherwise. */
  async empty(): Promise<boolean> {
    return (await this.call('empty', [])) as boolean;
  }

  /** Whether a `put` would wait. */
  async full(): Promise<boolean> {
    return (await this.call('full', [])) as boolean;
  }

  /** Says that `count` items that were taken have been dealt with; `join()` waits for all of them. */
  async taskDone(count = 1, options?: GuardOptions): Promise<void> {
    await this.call('taskDone', [count], undefined, options?.guard);
  }

  /** Waits until every item that was put has been taken and reported by `taskDone()`. */
  async join(options?: WaitOptions): Promise<void> {
    await this.call('join', [], options);
  }

  /** No more puts. What is there can still be taken, unless `immediate` drops it. */
  async shutdown(options?: GuardOptions & { immediate?: boolean }): Promise<void> {
    await this.call('shutdown', [options?.immediate === true], undefined, options?.guard);
  }

  /** The items as they stand in the queue, next one first. */
  override async snapshot(): Promise<T[]> {
    return (await super.snapshot()) as T[];
  }

  /** Takes items until the queue is shut down and empty. */
  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      let item: T;
      try {
        item = await this.get();
      } catch (error) {
        if (error instanceof QueueShutdownError) return;
        throw error;
      }
      yield item;
    }
  }

  protected through(where: ObjectHandle): this {
    return new QueueProxy<T>(where) as this;
  }

  /** Items that came after their getter had left. */
  #giveBack(items: readonly Item[]): Promise<Item> {
    return this.call('giveBack', [items]);
  }

  #item(value: T): Item {
    if (value === undefined) {
      throw new TypeError('undefined cannot be put: getNowait() answers it for an empty queue; put null instead');
    }
    return this.pack(value, 'value');
  }
}
