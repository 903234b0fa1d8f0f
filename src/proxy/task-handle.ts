import { DuplicateTaskError } from '../errors.ts';
import { jobRef, type JobRefTarget } from '../job-ref.ts';
import { type CodecContext, decodeFrom, sameValue } from '../protocol/codec.ts';
import { errorFrom } from '../protocol/errors.ts';
import { Outcome } from '../protocol/messages.ts';
import type { Item, Reader } from '../protocol/wire.ts';
import type { output, TaskHandle, TaskRecord, TaskState } from '../tasks.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';
import { EventStream } from './event-stream.ts';
import { Pending } from './pending.ts';
import type { TaskCalls } from './task-calls.ts';

type Settled = { readonly ok: true; readonly output: unknown } | { readonly ok: false; readonly error: Error };

/** A handle on a task: of one that this client put, or, by `handle(id)`, of any. */
export class Handle<Out = unknown> implements TaskHandle<Out> {
  declare readonly [output]: Out;
  readonly id: string;
  readonly #calls: TaskCalls;
  #settled: Settled | undefined;
  /** The outcome comes by itself, because this client put the task. */
  #coming: boolean;
  #waiters: Set<(settled: Settled) => void> | undefined;
  /** The question for it, where it does not come by itself. */
  #asking: { stop(): void } | undefined;

  constructor(calls: TaskCalls, id: string, coming: boolean) {
    this.#calls = calls;
    this.id = id;
    this.#coming = coming;
  }

  get [jobRef](): JobRefTarget {
    return { queue: this.#calls.queue, id: this.id };
  }

  async result(options?: WaitOptions): Promise<Out> {
    checkTimeout(options?.timeout);
    options?.signal?.throwIfAborted();
    const settled = this.#settled ?? (await this.#wait(options));
    if (settled.ok) return settled.output as Out;
    throw settled.error;
  }

  async state(): Promise<TaskState> {
    return (await this.record()).state;
  }

  record(): Promise<TaskRecord> {
    return this.#calls.record(this.id);
  }

  async cancel(reason?: string): Promise<boolean> {
    return (await this.#calls.each('cancel', this.id, reason)) === 1;
  }

  progress(): AsyncIterable<unknown> {
    return new EventStream((push) =>
      this.#calls.follow('progress', [this.id], (item) => push(this.#calls.unpack(item))),
    );
  }

  /**
   * For the parts of this library: the outcome has come. Objects that it names are opened only for somebody who waits;
   * otherwise it is asked for again, should anybody want it.
   */
  came(succeeded: boolean, reader: Reader): void {
    const { connection } = this.#calls;
    if (this.#waiters !== undefined && this.#waiters.size > 0) {
      this.#settle(readOutcome(connection.codec, succeeded, reader));
      return;
    }
    const { unopened } = this.#calls;
    const settled = readOutcome(unopened, succeeded, reader);
    if (!unopened.named) return this.#settle(settled);
    unopened.named = false;
    this.#coming = false;
  }

  #settle(settled: Settled): void {
    this.#settled = settled;
    const waiters = this.#waiters;
    this.#waiters = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter(settled);
  }

  /** The connection through which the outcome was to come has ended; a new one can be asked. */
  interrupted(error: Error): void {
    this.#coming = false;
    const waiters = this.#waiters;
    this.#waiters = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter({ ok: false, error });
  }

  /** For the parts of this library: its queue has ended for this client. */
  end(error: Error): void {
    this.#settle({ ok: false, error });
  }

  /** Keeps the process alive until the outcome is there, or the waiting has ended otherwise. */
  #wait(options: WaitOptions | undefined): Promise<Settled> {
    const { connection } = this.#calls;
    const waiters = (this.#waiters ??= new Set());
    return new Promise((resolve, reject) => {
      const back = this.#calls.lend();
      const waiter = (settled: Settled): void => {
        endWatch();
        connection.letGo();
        if (back === undefined) return resolve(settled);
        back();
        setImmediate(resolve, settled);
      };
      const endWatch = watchWait(options, `the result of task '${this.id}'`, (reason) => {
        waiters.delete(waiter);
        connection.letGo();
        if (waiters.size === 0) this.#stopAsking();
        back?.();
        reject(reason);
      });
      connection.hold();
      waiters.add(waiter);
      if (!this.#coming) this.#ask();
    });
  }

  #ask(): void {
    if (this.#asking !== undefined) return;
    const asking = this.#calls.follow('outcome', [this.id], () => {});
    this.#asking = asking;
    asking.done.then(
      (answer) => {
        const [outcome, value] = answer as readonly [Item, Item];
        this.#settle(
          outcome === Outcome.succeeded
            ? { ok: true, output: this.#calls.unpack(value) }
            : { ok: false, error: errorFrom(value, this.#calls.connection.codec) },
        );
      },
      (error: Error) => {
        this.#asking = undefined;
        this.interrupted(error);
      },
    );
  }

  #stopAsking(): void {
    this.#asking?.stop();
    this.#asking = undefined;
  }
}

/** A task that has an id of its user's choice, and may be there already. */
interface Chosen {
  readonly id: string;
  readonly input: Item;
}

/** A put that waits to be accepted, and then for its outcome. */
export class PendingPut extends Pending {
  readonly #calls: TaskCalls;
  #chosen: Chosen | undefined = undefined;
  #resolve: ((handle: Handle) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #handle: Handle | undefined = undefined;

  constructor(calls: TaskCalls, resolve: (handle: Handle) => void, reject: (error: unknown) => void) {
    super();
    this.#calls = calls;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** Only the put itself keeps the process alive; an outcome that is on its way does not, unless somebody awaits it. */
  override get waits(): boolean {
    return this.#handle === undefined;
  }

  override get queue(): string {
    return this.#calls.queue;
  }

  override ended(error: Error): void {
    if (this.#handle === undefined) this.failed(error);
    else this.#handle.end(error);
  }

  chose(id: string, input: Item): void {
    this.#chosen = { id, input };
  }

  override accepted(number: number): boolean {
    this.leaving?.endWatch?.();
    this.#handle = new Handle(this.#calls, this.#chosen?.id ?? `t${number}`, true);
    this.#resolve?.(this.#handle);
    this.#resolve = this.#reject = this.#chosen = undefined;
    this.#calls.connection.letGo();
    return false;
  }

  override outcome(succeeded: boolean, reader: Reader): boolean {
    this.#handle?.came(succeeded, reader);
    return true;
  }

  override failed(error: Error): void {
    if (this.#handle !== undefined) return this.#handle.interrupted(error);
    if (this.#chosen !== undefined && sameTask(error, this.#chosen.input)) {
      this.#resolve?.(new Handle(this.#calls, this.#chosen.id, false));
    } else {
      this.#reject?.(plainDuplicate(error));
    }
  }
}

/** `run`: only the outcome is wanted. */
export class PendingRun extends Pending {
  readonly #calls: TaskCalls;
  #chosen: Chosen | undefined = undefined;
  readonly #resolve: (output: unknown) => void;

  /** `resolve` alone: with a promise that is rejected it rejects, and a second function for each task is not kept. */
  constructor(calls: TaskCalls, resolve: (output: unknown) => void) {
    super();
    this.#calls = calls;
    this.#resolve = resolve;
  }

  override get queue(): string {
    return this.#calls.queue;
  }

  chose(id: string, input: Item): void {
    this.#chosen = { id, input };
  }

  override outcome(succeeded: boolean, reader: Reader): boolean {
    const { codec } = this.#calls.connection;
    try {
      if (succeeded) this.#resolve(decodeFrom(reader, codec));
      else this.#reject(errorFrom(reader.item(), codec));
    } catch (error) {
      this.#reject(error as Error);
    }
    return true;
  }

  override failed(error: Error): void {
    if (this.#chosen !== undefined && sameTask(error, this.#chosen.input)) {
      this.#resolve(new Handle(this.#calls, this.#chosen.id, false).result());
    } else {
      this.#reject(plainDuplicate(error));
    }
  }

  #reject(error: Error): void {
    this.#resolve(Promise.reject(error));
  }
}

function readOutcome(codec: CodecContext, succeeded: boolean, reader: Reader): Settled {
  if (!succeeded) return { ok: false, error: errorFrom(reader.item(), codec) };
  try {
    return { ok: true, output: decodeFrom(reader, codec) };
  } catch (error) {
    return { ok: false, error: error as Error };
  }
}

/** A refused id whose task has the very same input, only with its keys in another order, is the same task. */
function sameTask(error: Error, input: Item): boolean {
  return (
    error instanceof DuplicateTaskError && error.existing !== undefined && sameValue(error.existing as Item, input)
  );
}

function plainDuplicate(error: Error): Error {
  return error instanceof DuplicateTaskError ? new DuplicateTaskError(error.message) : error;
}
