/** Calls on a task queue, shared by everything that speaks for one of its tasks. */
import { UnknownTaskError } from '../errors.ts';
import { type CodecContext, decode } from '../protocol/codec.ts';
import { methods, ToManager } from '../protocol/messages.ts';
import type { Item, JobRefInfo, ProxyRef } from '../protocol/wire.ts';
import type { TaskFilter, TaskRecord } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import type { Connection } from './connection.ts';
import type { Source } from './event-stream.ts';
import { PendingCall } from './pending.ts';
import { filterItem } from './task-dict-proxy.ts';

type Method = (typeof methods.tasks)[number];

export class TaskCalls {
  readonly connection: Connection;
  readonly #handle: number;
  /** The queue's name. */
  readonly queue: string;
  readonly #later: (() => TaskCalls) | undefined;
  #unopened: Unopened | undefined;
  #ended: Error | undefined;

  /** `later`: by what calls are made once the handle has been given up. */
  constructor(connection: Connection, handle: number, queue: string, later?: () => TaskCalls) {
    this.connection = connection;
    this.#handle = handle;
    this.queue = queue;
    this.#later = later;
  }

  get handle(): number {
    return this.#later === undefined || this.connection.handles.isOpen(this.#handle)
      ? this.#handle
      : this.#later().handle;
  }

  /** No more calls by these: `reason` is why. */
  end(reason: Error): void {
    this.#ended = reason;
  }

  call(method: Method, args: readonly Item[], wait?: WaitOptions): Promise<Item> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return this.connection.call(this.handle, methods.tasks.indexOf(method), args, wait);
  }

  unpack(item: Item): unknown {
    return decode(item, this.connection.codec);
  }

  /** For values that nobody may ever ask for. */
  get unopened(): Unopened {
    return (this.#unopened ??= new Unopened(this.connection));
  }

  async record(id: string): Promise<TaskRecord> {
    const record = await this.call('record', [id]);
    if (record === undefined) {
      throw new UnknownTaskError(
        `task queue '${this.queue}' has no task '${id}': it was never put, or its record has gone by keepRecords`,
      );
    }
    return this.unpack(record) as TaskRecord;
  }

  /** How many of them it was done to: one by its id, or all that a filter names. */
  async each(method: 'cancel' | 'retry', which: string | TaskFilter, reason?: string): Promise<number> {
    const item = typeof which === 'string' ? which : filterItem(which);
    return (await this.call(method, [item, reason])) as number;
  }

  /** A call that reports on its way to its answer. */
  follow(method: Method, args: readonly Item[], report: (item: Item) => void): Source & { done: Promise<Item> } {
    const { connection } = this;
    let id = 0;
    const done = new Promise<Item>((resolve, reject) => {
      connection.handles.check(this.handle);
      id = connection.begin(new Following(resolve, reject, report));
      const start = connection.link.begin(ToManager.CALL);
      const { writer } = connection.link;
      writer.u32(id);
      writer.u32(this.handle);
      writer.u8(methods.tasks.indexOf(method));
      for (const arg of args) writer.item(arg);
      connection.finish(start, id);
    });
    // Whoever follows may leave before the end: its failure is then nobody's.
    done.catch(() => {});
    return { done, stop: () => connection.cancel(id) };
  }
}

/** Reads values without opening the objects that they name, and remembers whether there were any. */
export class Unopened implements CodecContext {
  named = false;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  proxy(ref: ProxyRef): unknown {
    this.named = true;
    return ref;
  }

  job(ref: JobRefInfo): unknown {
    return this.#connection.codec.job?.(ref);
  }
}

class Following extends PendingCall {
  readonly #report: (item: Item) => void;

  constructor(resolve: (item: Item) => void, reject: (error: unknown) => void, report: (item: Item) => void) {
    super(resolve, reject);
    this.#report = report;
  }

  override report(item: Item): void {
    this.#report(item);
  }
}
