import { performance } from 'node:perf_hooks'; // the global one is a getter, asked for every task
import { type FrameTooLargeError, LeaseLostError, NonRetryableError } from '../errors.ts';
import { type CodecContext, decode, decodeFrom, encode, encodeTo } from '../protocol/codec.ts';
import { FailFlags, PayloadFlags, ToManager } from '../protocol/messages.ts';
import { describe, encodeShortened, encodeThrown } from '../protocol/thrown.ts';
import { type Item, Packed, Reader, setU48, type Writer } from '../protocol/wire.ts';
import type { LeasedTask } from '../tasks.ts';
import { tokenOf } from './lock-guard.ts';
import { Pending } from './pending.ts';
import type { TaskTaker } from './task-taker.ts';

/** Told of an outcome that the manager did not take, although the lease was not lost. */
type Refused = (task: Leased, error: unknown) => void;

/** The outputs of the jobs that an input names, by id. */
export type Outputs = ReadonlyMap<string, Item>;

/** Characters of a stack that go into the task's record. */
const LONGEST_STACK = 2_000;

/** Reads inputs one at a time, out of chunks that hold others as well. */
const shared = new Reader(Buffer.alloc(0));

/** One task leased to this process. Its input stays bytes until somebody reads it. */
export class Leased implements LeasedTask {
  readonly name: string;
  readonly attempt: number;
  readonly lease: number;
  readonly number: number;
  /** When it was handed to the caller, on the monotonic clock (ms). */
  startedAt = NaN;
  /** The helper sees it, and may give it back while it waits in the window. */
  shared = false;
  /** Its start, of which the manager must hear first, is still in this process: nobody may begin yet. */
  unheard = false;
  /** TaskFlags. */
  readonly flags: number;
  readonly #taker: TaskTaker;
  readonly #id: string | undefined;
  readonly #chunk: Buffer;
  readonly #from: number;
  readonly #to: number;
  /** The chunk is memory of its own. */
  readonly #owns: boolean;
  readonly #outputs: Outputs | undefined;
  #input: unknown;
  #decoded = false;
  #abort: AbortController | undefined;
  #lost: Error | undefined;
  #ending: Promise<void> | undefined;
  #ended = false;
  /** The manager took the lease, and waits to hear that nobody does anything with it any more. */
  #owesEnd = false;
  /** What is told when the attempt is over: guards of locks. */
  #bound: Set<(reason: Error) => void> | undefined;

  constructor(
    taker: TaskTaker,
    lease: number,
    number: number,
    id: string | undefined,
    name: string,
    attempt: number,
    chunk: Buffer,
    from: number,
    to: number,
    owns: boolean,
    outputs: Outputs | undefined,
    flags: number,
  ) {
    this.#taker = taker;
    this.lease = lease;
    this.number = number;
    this.#id = id;
    this.name = name;
    this.attempt = attempt;
    this.#chunk = chunk;
    this.#from = from;
    this.#to = to;
    this.#owns = owns;
    this.#outputs = outputs;
    this.flags = flags;
  }

  get leased(): this {
    return this;
  }

  /** As a task of which the manager knows: what others than ranges are anyway. */
  apart(): this {
    return this;
  }

  /** It is one of a range, whose durations tell more. */
  get ofRange(): boolean {
    return false;
  }

  /** Its outcome is on its way by other means. */
  endWith(): void {
    this.#over();
  }

  get id(): string {
    return this.#id ?? `t${this.number}`;
  }

  get token(): bigint {
    return tokenOf(this.#taker.connection, this.lease);
  }

  get input(): unknown {
    if (!this.#decoded) {
      const from = this.#owns ? new Reader(this.#chunk, this.#from, this.#to, true) : shared;
      if (from === shared) shared.reset(this.#chunk, this.#from, this.#to);
      this.#input = decodeFrom(from, this.#outputs === undefined ? this.#taker.connection.codec : this.#context());
      this.#decoded = true;
    }
    return this.#input;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#lost !== undefined && !this.#abort.signal.aborted) this.#abort.abort(this.#lost);
    return this.#abort.signal;
  }

  /** Name of the queue that it is from. */
  get queue(): string {
    const { connection, handle } = this.#taker;
    return connection.handles.openings.get(handle)?.name ?? '';
  }

  /** It has been ended, or its lease was lost. */
  get over(): boolean {
    return this.#ended;
  }

  /** Whether the lease has ended without an outcome of ours. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  complete(output?: unknown): Promise<void> {
    return this.#end((resolve, reject) => this.#complete(output, new PendingEnd(this, resolve, reject), nobody));
  }

  fail(error: unknown, options?: { retry?: boolean }): Promise<void> {
    const final = options?.retry === false || error instanceof NonRetryableError;
    return this.#end((resolve, reject) => this.finishWith(error, final, resolve, reject));
  }

  /**
   * For the worker loop: `complete` without a promise. Throws where nothing could be sent. Where the output is nothing
   * but bytes to the manager, no answer is asked for: that the lease was lost would be the only one.
   */
  finish(output: unknown, refused: Refused): void {
    this.#complete(output, undefined, refused);
  }

  #complete(output: unknown, end: PendingEnd | undefined, refused: Refused): void {
    if (this.#lost !== undefined) throw this.#late(this.#lost);
    const { connection, handle } = this.#taker;
    const now = performance.now();
    const ran = now - this.startedAt;
    let id = end === undefined ? connection.unanswered() : connection.begin(end);
    connection.link.beginEntry(ToManager.COMPLETE, handle);
    const { writer } = connection.link;
    try {
      const idAt = writer.length;
      const at = writer.claim(21);
      const { data } = writer;
      data.setUint32(at, id, true);
      setU48(data, at + 4, this.lease);
      setU48(data, at + 10, this.number);
      data.setUint32(at + 16, tenths(ran), true);
      data.setUint8(at + 20, 0);
      if (encodeTo(writer, output, connection.codec, 'output')) {
        writer.patchU8(PayloadFlags.refs, idAt + 20);
        if (id === 0) {
          id = connection.begin(new PendingEnd(this, undefined, (error) => refused(this, error)));
          writer.patchU32(id, idAt);
        }
      }
    } catch (error) {
      connection.dropEntry(id);
      throw error;
    }
    connection.finishEntry(id);
    this.#taker.ended(this, ran, now);
    this.#over();
  }

  /** For the worker loop: `fail` without a promise. `tooLarge`: the answer to the whole error, so a short form goes. */
  finishWith(
    error: unknown,
    final: boolean,
    resolve: (() => void) | undefined,
    reject: (error: unknown) => void,
    tooLarge?: FrameTooLargeError,
  ): void {
    if (this.#lost !== undefined) throw this.#late(this.#lost);
    const item =
      tooLarge === undefined ? encodeThrown(error, this.#taker.connection.codec) : encodeShortened(error, tooLarge);
    const now = performance.now();
    const ran = now - this.startedAt;
    this.#send(ToManager.FAIL, resolve, reject, (writer) => {
      writer.u48(this.number);
      writer.u32(tenths(ran));
      writer.u8((hasRefs(item) ? FailFlags.refs : 0) | (final ? FailFlags.final : 0));
      writer.item(summary(error));
      writer.item(item);
      writer.item(stackOf(error));
    });
    this.#taker.ended(this, ran, now);
    this.#over();
  }

  release(): Promise<void> {
    return this.#end((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#late(this.#lost);
      this.#send(ToManager.RELEASE, resolve, reject);
      this.#taker.returned(this);
      this.#over();
    });
  }

  /** For the taker: `release` without a promise; `settled` runs before any later frame is read. */
  giveBack(settled: () => void): void {
    if (this.#lost !== undefined) return settled();
    this.#ending = Promise.resolve();
    this.#send(ToManager.RELEASE, settled, settled);
    this.#taker.returned(this);
  }

  /** The first end that could be sent is the one: what comes after it gets its answer. */
  #end(send: (resolve: () => void, reject: (error: unknown) => void) => void): Promise<void> {
    if (this.#ending !== undefined) return this.#ending;
    let sent = false;
    const ending = new Promise<void>((resolve, reject) => {
      send(resolve, reject);
      sent = true;
    });
    if (sent) this.#ending = ending;
    return ending;
  }

  extend(ms: number): Promise<void> {
    if (!(ms > 0)) return Promise.reject(new RangeError(`extend() takes a time of more than 0 ms, not ${ms}`));
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) throw lateError(this.#lost);
      this.#send(ToManager.EXTEND, resolve, reject, (writer) => writer.f64(ms));
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

  /** LEND or RECLAIM, while the lease is there. */
  tell(kind: number): void {
    const { connection, handle } = this.#taker;
    const start = connection.link.begin(kind);
    connection.link.writer.u32(handle);
    connection.link.writer.u48(this.lease);
    connection.link.end(start);
  }

  /** It has run for too long. The lease is still there, so whoever has the task may end what he does with it. */
  stop(reason: Error): void {
    (this.#abort ??= new AbortController()).abort(reason);
  }

  /** The manager, by LOST, or the end of the session, took the lease away. */
  lose(reason: Error, byManager = false): void {
    if (this.#lost !== undefined) return;
    this.#owesEnd = byManager;
    this.#lost = reason;
    this.#abort?.abort(reason);
    this.#over(reason);
  }

  /** `lost` is called when the attempt is over, unless the function returned is called before. */
  bind(lost: (reason: Error) => void): () => void {
    if (this.#ended) {
      lost(this.#lost ?? endedError(this.id));
      return () => {};
    }
    const bound = (this.#bound ??= new Set());
    bound.add(lost);
    return () => bound.delete(lost);
  }

  /** The end of what has been lost: nobody records it. */
  #late(lost: Error): LeaseLostError {
    if (this.#owesEnd) {
      this.#owesEnd = false;
      this.#taker.endedLate(this);
    }
    return lateError(lost);
  }

  /** What is bound to the attempt ends with it, here as in the manager. */
  #over(reason?: Error): void {
    this.#ended = true;
    if (this.#bound === undefined) return;
    const bound = [...this.#bound];
    this.#bound = undefined;
    for (const lost of bound) lost(reason ?? endedError(this.id));
  }

  /** The manager took no end of it: an output that names what is no shared object, say. The lease is still there. */
  refused(): void {
    this.#ending = undefined;
  }

  #send(
    kind: number,
    resolve: (() => void) | undefined,
    reject: (error: unknown) => void,
    body?: (writer: Writer) => void,
  ): void {
    const { connection, handle } = this.#taker;
    const id = connection.begin(new PendingEnd(this, resolve, reject));
    const start = connection.link.beginCall(kind, id, handle);
    const { writer } = connection.link;
    writer.u48(this.lease);
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

/** Who asked for an answer gets it by its promise. */
function nobody(): void {}

/** The manager's answer to the end of a lease. */
class PendingEnd extends Pending {
  readonly #task: Leased;
  readonly #resolve: (() => void) | undefined;
  readonly #reject: (error: unknown) => void;

  constructor(task: Leased, resolve: (() => void) | undefined, reject: (error: unknown) => void) {
    super();
    this.#task = task;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override done(): boolean {
    this.#resolve?.();
    return true;
  }

  override failed(error: Error): void {
    if (error instanceof LeaseLostError) this.#task.lose(error);
    else this.#task.refused();
    this.#reject(error);
  }
}

function endedError(id: string): LeaseLostError {
  return new LeaseLostError(`task '${id}' has been ended`);
}

function lateError(lost: Error): LeaseLostError {
  return lost instanceof LeaseLostError
    ? lost
    : new LeaseLostError(`the lease has ended: ${lost.message}`, { cause: lost });
}

function summary(error: unknown): string {
  const text = describe(error);
  return text.length > 500 ? `${text.slice(0, 499)}…` : text;
}

/** For the record, which never decodes the error itself. */
function stackOf(error: unknown): string | undefined {
  try {
    const stack: unknown = error instanceof Error ? error.stack : undefined;
    return typeof stack === 'string' ? stack.slice(0, LONGEST_STACK) : undefined;
  } catch {
    return undefined;
  }
}

function hasRefs(item: Item): boolean {
  return item instanceof Packed && item.proxies.length + item.jobs.length > 0;
}

function tenths(ms: number): number {
  return Math.min(0xffff_ffff, Math.round(ms * 10));
}
