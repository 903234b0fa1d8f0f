import { FrameTooLargeError, LeaseLostError, NonRetryableError } from '../errors.ts';
import { decode, encode, type CodecContext } from '../protocol/codec.ts';
import { FailFlags, PayloadFlags, ToManager } from '../protocol/messages.ts';
import { type Item, Packed, Reader } from '../protocol/wire.ts';
import type { LeasedTask } from '../tasks.ts';
import { tokenOf } from './lock-proxy.ts';
import { Pending } from './pending.ts';
import type { TaskTaker } from './task-taker.ts';

/** The outputs of the jobs that an input names, by id. */
export type Outputs = ReadonlyMap<string, Item>;

/** One task leased to this process. Its input stays bytes until somebody reads it. */
export class Leased implements LeasedTask {
  readonly name: string;
  readonly attempt: number;
  readonly lease: number;
  readonly number: number;
  /** When it was handed to the caller, on the monotonic clock (ms). */
  startedAt = 0;
  /** The helper sees it, and may give it back while it waits in the window. */
  shared = false;
  /** The manager must hear of its start first. */
  readonly once: boolean;
  readonly #taker: TaskTaker;
  readonly #id: string | undefined;
  readonly #chunk: Buffer;
  readonly #from: number;
  readonly #to: number;
  readonly #outputs: Outputs | undefined;
  #input: unknown;
  #decoded = false;
  #abort: AbortController | undefined;
  #lost: Error | undefined;
  #ending: Promise<void> | undefined;

  constructor(
    taker: TaskTaker,
    lease: number,
    number: number,
    id: string | undefined,
    name: string,
    attempt: number,
    input: { chunk: Buffer; from: number; to: number },
    outputs: Outputs | undefined,
    once: boolean,
  ) {
    this.#taker = taker;
    this.lease = lease;
    this.number = number;
    this.#id = id;
    this.name = name;
    this.attempt = attempt;
    this.#chunk = input.chunk;
    this.#from = input.from;
    this.#to = input.to;
    this.#outputs = outputs;
    this.once = once;
  }

  get id(): string {
    return this.#id ?? `t${this.number}`;
  }

  get token(): bigint {
    return tokenOf(this.#taker.connection, this.lease);
  }

  get input(): unknown {
    if (!this.#decoded) {
      const item = new Reader(this.#chunk, this.#from, this.#to).item();
      this.#input = decode(item, this.#context());
      this.#decoded = true;
    }
    return this.#input;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#lost !== undefined && !this.#abort.signal.aborted) this.#abort.abort(this.#lost);
    return this.#abort.signal;
  }

  /** Whether the lease has ended without an outcome of ours. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  complete(output?: unknown): Promise<void> {
    return this.#end((resolve, reject) => {
      const item = encode(output, this.#taker.connection.codec, 'output');
      const ran = this.#ran();
      this.#send(ToManager.COMPLETE, true, resolve, reject, (writer) => {
        writer.u32(tenths(ran));
        writer.u8(hasRefs(item) ? PayloadFlags.refs : 0);
        writer.item(item);
      });
      this.#taker.ended(this, ran, true);
    });
  }

  fail(error: unknown, options?: { retry?: boolean }): Promise<void> {
    const retry = options?.retry !== false && !(error instanceof NonRetryableError);
    return this.#end((resolve, reject) => {
      try {
        this.#sendFailure(error, packError(error, this.#taker.connection.codec), retry, resolve, reject);
      } catch (tooLarge) {
        if (!(tooLarge instanceof FrameTooLargeError)) throw tooLarge;
        const short = new Error(summary(error), { cause: tooLarge.message });
        this.#sendFailure(error, encode(short), retry, resolve, reject);
      }
    });
  }

  release(): Promise<void> {
    return this.giveBack(() => {});
  }

  /** For the window: `answered` is called when the manager's answer is read, before any frame that follows it. */
  giveBack(answered: () => void): Promise<void> {
    return this.#end((resolve, reject) => {
      const settled = <A extends unknown[]>(settle: (...args: A) => void, ...args: A): void => {
        answered();
        settle(...args);
      };
      this.#send(ToManager.RELEASE, false, () => settled(resolve), (error) => settled(reject, error));
      this.#taker.ended(this, 0, false);
    });
  }

  extend(ms: number): Promise<void> {
    if (!(ms > 0)) return Promise.reject(new RangeError(`extend() takes a time of more than 0 ms, not ${ms}`));
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) throw lateError(this.#lost);
      this.#send(ToManager.EXTEND, false, resolve, reject, (writer) => writer.f64(ms));
    });
  }

  progress(value: unknown): void {
    if (this.#lost !== undefined || this.#ending !== undefined) return;
    const { connection, handle } = this.#taker;
    const item = encode(value, connection.codec, 'progress');
    const start = connection.link.begin(ToManager.PROGRESS);
    connection.link.writer.u32(handle);
    connection.link.writer.u48(this.lease);
    connection.link.writer.item(item);
    connection.link.end(start);
  }

  /** The manager, or the end of the session, took the lease away. */
  lose(reason: Error): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    this.#abort?.abort(reason);
  }

  /** The manager took no end of it: an output that names what is no shared object, say. The lease is still there. */
  refused(): void {
    this.#ending = undefined;
  }

  /** The first end that leaves counts, and answers for later ones. What could not be sent has ended nothing. */
  #end(send: (resolve: () => void, reject: (error: unknown) => void) => void): Promise<void> {
    if (this.#ending !== undefined) return this.#ending;
    let sent = false;
    const ending = new Promise<void>((resolve, reject) => {
      if (this.#lost !== undefined) throw lateError(this.#lost);
      send(resolve, reject);
      sent = true;
    });
    if (sent) this.#ending = ending;
    return ending;
  }

  #sendFailure(
    error: unknown,
    item: Item,
    retry: boolean,
    resolve: () => void,
    reject: (error: unknown) => void,
  ): void {
    const ran = this.#ran();
    this.#send(ToManager.FAIL, true, resolve, reject, (writer) => {
      writer.u32(tenths(ran));
      writer.u8((hasRefs(item) ? FailFlags.refs : 0) | (retry ? 0 : FailFlags.final));
      writer.item(summary(error));
      writer.item(item);
    });
    this.#taker.ended(this, ran, true);
  }

  #ran(): number {
    return performance.now() - this.startedAt;
  }

  #send(
    kind: number,
    numbered: boolean,
    resolve: () => void,
    reject: (error: unknown) => void,
    body?: (writer: import('../protocol/wire.ts').Writer) => void,
  ): void {
    const { connection, handle } = this.#taker;
    const id = connection.begin(new PendingEnd(this, resolve, reject));
    const start = connection.link.begin(kind);
    const { writer } = connection.link;
    writer.u32(id);
    writer.u32(handle);
    writer.u48(this.lease);
    if (numbered) writer.u48(this.number);
    body?.(writer);
    connection.finish(start, id);
  }

  #context(): CodecContext {
    const { codec } = this.#taker.connection;
    const outputs = this.#outputs;
    if (outputs === undefined) return codec;
    return { ...codec, job: (ref) => (outputs.has(ref.id) ? decode(outputs.get(ref.id), codec) : codec.job?.(ref)) };
  }
}

/** The manager's answer to the end of a lease. */
class PendingEnd extends Pending {
  readonly #task: Leased;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;

  constructor(task: Leased, resolve: () => void, reject: (error: unknown) => void) {
    super();
    this.#task = task;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override done(): boolean {
    this.#resolve();
    return true;
  }

  override failed(error: Error): void {
    if (error instanceof LeaseLostError) this.#task.lose(error);
    else this.#task.refused();
    this.#reject(error);
  }
}

function lateError(lost: Error): Error {
  return lost instanceof LeaseLostError ? lost : new LeaseLostError(`the lease has ended: ${lost.message}`, { cause: lost });
}

/** What can be sent of an error: all of it, or, where it holds what cannot cross, its name, message and stack. */
function packError(error: unknown, context: CodecContext): Item {
  try {
    return encode(error, context, 'error');
  } catch (unserializable) {
    const plain = new Error(error instanceof Error ? error.message : String(error), { cause: (unserializable as Error).message });
    if (error instanceof Error) {
      plain.name = error.name;
      if (error.stack !== undefined) plain.stack = error.stack;
    }
    return encode(plain, context, 'error');
  }
}

function summary(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.length > 500 ? `${text.slice(0, 499)}…` : text;
}

function hasRefs(item: Item): boolean {
  return item instanceof Packed && item.proxies.length + item.jobs.length > 0;
}

function tenths(ms: number): number {
  return Math.min(0xffff_ffff, Math.round(ms * 10));
}
