/** Calls on a task queue, shared by everything that speaks for one of its tasks. */
import { UnknownTaskError } from '../errors.ts';
import { type CodecContext, decode } from '../protocol/codec.ts';
import { methods, ToManager } from '../protocol/messages.ts';
import type { Item, JobRefInfo, ProxyRef } from '../protocol/wire.ts';
import type { TaskFilter, TaskRecord } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import type { Connection } from './connection.ts';
import type { Attempt } from './object-proxy.ts';
import type { Source } from './event-stream.ts';
import { PendingCall } from './pending.ts';
import { filterItem } from './task-dict-proxy.ts';

type Method = (typeof methods.tasks)[number];

/** A put that has waited for so long (ms) waits for room in the queue. */
const ROOM_PATIENCE = 10;

export class TaskCalls {
  readonly connection: Connection;
  readonly #handle: number;
  /** The queue's name. */
  readonly queue: string;
  readonly #later: (() => TaskCalls) | undefined;
  /** Of a task's context: who lends its slot while it waits for other tasks. */
  readonly #attempt: Attempt | undefined;
  #unopened: Unopened | undefined;
  #ended: Error | undefined;

  /** `later`: by what calls are made once the handle has been given up. */
  constructor(connection: Connection, handle: number, queue: string, later?: () => TaskCalls, attempt?: Attempt) {
    this.connection = connection;
    this.#handle = handle;
    this.queue = queue;
    this.#later = later;
    this.#attempt = attempt;
  }

  get handle(): number {
    return this.#later === undefined || this.connection.handles.isOpen(this.#handle)
      ? this.#handle
      : this.#later().handle;
  }

  /** The same calls, made by an attempt of a task. */
  of(attempt: Attempt): TaskCalls {
    return new TaskCalls(this.connection, this.#handle, this.queue, this.#later ?? (() => this), attempt);
  }

  /** Their caller is an attempt of a task. */
  get inTask(): boolean {
    return this.#attempt !== undefined;
  }

  /** The lease of that attempt. */
  get lease(): number | undefined {
    return this.#attempt?.lease;
  }

  /** Their caller begins to wait for a task. The function returned ends that; undefined where nothing is to be lent. */
  lend(): (() => void) | undefined {
    return this.#attempt?.lend();
  }

  /** `wait`, during which the caller's slot is lent. */
  async lending<T>(wait: () => Promise<T>): Promise<T> {
    const back = this.lend();
    if (back === undefined) return wait();
    try {
      return await wait();
    } finally {
      back();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** `put`, during which the slot is lent once it has waited for room for a while: who makes room may wait for a slot. */
  async lendingForRoom<T>(put: () => Promise<T>): Promise<T> {
    let back: (() => void) | undefined;
    const patience = setTimeout(() => (back = this.lend()), ROOM_PATIENCE);
    try {
      return await put();
    } finally {
      clearTimeout(patience);
      back?.();
    }
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
