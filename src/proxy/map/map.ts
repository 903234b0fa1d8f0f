/**
 * `map`: one stream of outcomes for one of inputs.
 *
 *     inputs ──▶ bundles ──PUT──▶ manager: leases of so many as make about two milliseconds of work ──▶ workers
 *     reader ◀── results ◀──────────────────────────────ITEMS────────────────────────────────────────┘
 *
 * What is under way, or done and not read, is bounded (look-ahead.ts). Inputs that name proxies or jobs go by
 * themselves, as any task.
 */
import { setMaxListeners } from 'node:events';
import type { Item } from '../../protocol/wire.ts';
import type { PutOptions, TaskHandle } from '../../tasks.ts';
import type { WaitOptions } from '../../waiting.ts';
import { checkInFlight, Stream, type StreamOptions } from '../stream.ts';
import type { TaskCalls } from '../task-calls.ts';
import type { BundleCall, Receiver } from './bundle-call.ts';
import { Inputs, type Sent } from './inputs.ts';
import { LookAhead } from './look-ahead.ts';
import { Failure, none, Ordered, type Results, Unordered } from './results.ts';

/** How `map` runs its inputs, and what it makes of those that fail. The options of a put hold for each input. */
export interface MapOptions extends Omit<StreamOptions, 'inFlight'>, Omit<PutOptions, 'id'> {
  /**
   * How many inputs may be under way, or done and not read, at once. Default: 1,000, and up to 65,536 where they are
   * small and soon done.
   */
  inFlight?: number | undefined;
  /** How many inputs a worker takes at once. 'auto' (default): as many as make about two milliseconds of work. */
  chunkSize?: number | 'auto' | undefined;
  /** 'throw' (default): the first failure ends the stream and cancels the rest. 'yield': each input has its outcome. */
  onError?: 'throw' | 'yield' | undefined;
  /** Ends the stream with `signal.reason`, and cancels what has not ended. */
  signal?: AbortSignal | undefined;
}

/** Whose inputs go to whom. */
export interface Mapped {
  readonly calls: TaskCalls;
  /** The same for what waits: of a task, whose slot is lent meanwhile. */
  readonly lasting: TaskCalls;
  readonly name: string;
  /** The options of each put, as they cross. */
  readonly items: Item | undefined;
  /** Puts one that cannot go with others. */
  readonly put: (input: unknown, wait: WaitOptions) => Promise<TaskHandle>;
}

/** Inputs are pulled for so long (ms) before what has come is looked at. */
const PULL_TIME = 2;
/** The clock is read after so many. */
const PULL = 64;

export class MapStream<T> extends Stream<T> implements Receiver {
  readonly #mapped: Mapped;
  readonly #source: Iterator<unknown> | AsyncIterator<unknown>;
  readonly #isAsync: boolean;
  readonly #inputs: Inputs;
  readonly #results: Results;
  readonly #lookAhead: LookAhead;
  readonly #yields: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #aborted = (): void => this.#wake();
  /** Aborts what goes by itself. */
  readonly #left = new AbortController();
  readonly #open = new Set<BundleCall>();
  /** What goes by itself: being put, and put. */
  readonly #putting = new Set<Promise<TaskHandle>>();
  readonly #handles = new Set<TaskHandle>();
  /** Inputs that have been pulled. */
  #pulled = 0;
  /** The source has been asked, and has not answered. */
  #asking = false;
  #fillsSoon = false;
  #exhausted = false;
  #stopped = false;
  #woken: (() => void)[] = [];
  #wakes = 0;

  constructor(mapped: Mapped, source: Iterable<unknown> | AsyncIterable<unknown>, options: MapOptions) {
    super();
    const { ordered = true, inFlight, onError = 'throw', signal } = options;
    if (onError !== 'throw' && onError !== 'yield') {
      throw new TypeError(`onError must be 'throw' or 'yield', not ${String(onError)}`);
    }
    if (inFlight !== undefined) checkInFlight(inFlight);
    const chunk = chunkOf(options);
    signal?.throwIfAborted();
    this.#mapped = mapped;
    this.#yields = onError === 'yield';
    this.#signal = signal;
    this.#results = ordered ? new Ordered() : new Unordered();
    this.#lookAhead = new LookAhead(inFlight, 4 * chunk);
    this.#inputs = new Inputs(mapped.calls, this, mapped.name, mapped.items, chunk);
    this.#isAsync = Symbol.asyncIterator in source;
    this.#source = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
    setMaxListeners(0, this.#left.signal);
    signal?.addEventListener('abort', this.#aborted, { once: true });
    this.#fill();
  }

  get connection(): TaskCalls['connection'] {
    return this.#mapped.calls.connection;
  }

  get queue(): string {
    return this.#mapped.calls.queue;
  }

  // --- the reader's side ---

  async toArray(): Promise<T[]> {
    const all: T[] = [];
    this.begun = true;
    try {
      for (;;) {
        this.#signal?.throwIfAborted();
        for (let result = this.#results.take(); result !== none; result = this.#results.take()) {
          all.push(this.#given(result));
        }
        if (this.#isOver) return all;
        await this.#more();
      }
    } finally {
      await this.#leave();
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    this.begun = true;
    return {
      next: () => {
        const result = this.#signal?.aborted === true || this.#stopped ? none : this.#results.take();
        if (result === none || result instanceof Failure) return this.#next(result);
        this.#fillSoon();
        return Promise.resolve({ value: (this.#yields ? fulfilled(result) : result) as T, done: false });
      },
      return: async () => {
        await this.#leave();
        return { value: undefined, done: true };
      },
    };
  }

  /** The next one, of which `result` is what could be taken at once. */
  async #next(result: unknown): Promise<IteratorResult<T>> {
    try {
      for (let taken = result; ; taken = this.#results.take()) {
        if (this.#stopped) return { value: undefined, done: true };
        this.#signal?.throwIfAborted();
        if (taken !== none) {
          this.#fillSoon();
          return { value: this.#given(taken), done: false };
        }
        if (this.#isOver) break;
        await this.#more();
      }
    } catch (error) {
      await this.#leave();
      throw error;
    }
    await this.#leave();
    return { value: undefined, done: true };
  }

  #given(result: unknown): T {
    if (!(result instanceof Failure)) return (this.#yields ? fulfilled(result) : result) as T;
    if (this.#yields && !result.ends) return { status: 'rejected', reason: result.error } as T;
    throw result.error;
  }

  get #isOver(): boolean {
    return this.#stopped || (this.#exhausted && this.#results.read === this.#pulled);
  }

  /** Until something has come, or nothing will. Meanwhile the process is kept alive, and a task lends its slot. */
  async #more(): Promise<void> {
    const before = this.#wakes;
    this.#fill();
    if (this.#wakes !== before) return;
    const { connection } = this;
    const back = this.#mapped.lasting.lend();
    connection.hold();
    await new Promise<void>((resolve) => this.#woken.push(resolve));
    connection.letGo();
    if (back === undefined) return;
    back();
    await new Promise((resolve) => setImmediate(resolve));
  }

  #wake(): void {
    this.#wakes++;
    const woken = this.#woken;
    if (woken.length === 0) return;
    this.#woken = [];
    for (const wake of woken) wake();
  }

  /** Nobody reads any more: no more inputs are pulled, what has not ended is cancelled. */
  async #leave(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#signal?.removeEventListener('abort', this.#aborted);
    for (const { id } of this.#open) this.connection.cancel(id);
    this.#open.clear();
    for (const handle of this.#handles) cancel(handle);
    this.#left.abort(new Error('the stream was left'));
    this.#wake();
    this.hasEnded();
    // A source that is asked for its next input may never give it: its end is then not waited for.
    const ending = this.#exhausted ? Promise.resolve() : Promise.resolve(this.#source.return?.());
    if (this.#asking) ending.catch(() => {});
    else await ending;
    // Of those that were being put the manager says what they have come to, within a second: accepted, they are cancelled
    // before their reader goes on.
    while (this.#putting.size > 0) await Promise.allSettled(this.#putting);
  }

  // --- what comes ---

  came(index: number, result: unknown): void {
    this.#results.put(index, result);
  }

  heard(count: number, bytes: number): void {
    this.#lookAhead.done(count, bytes);
    this.#wake();
  }

  over(call: BundleCall): void {
    this.#open.delete(call);
  }

  // --- the inputs' side ---

  get #room(): number {
    return this.#stopped || this.#exhausted ? 0 : this.#lookAhead.size - (this.#pulled - this.#results.read);
  }

  /** There is enough of it to be worth a message. */
  get #hasRoom(): boolean {
    return this.#room >= this.#lookAhead.least;
  }

  /** Reads of one turn make room together. */
  #fillSoon(): void {
    if (this.#fillsSoon || !this.#hasRoom) return;
    this.#fillsSoon = true;
    setImmediate(() => {
      this.#fillsSoon = false;
      this.#fill();
    });
  }

  #fill(): void {
    if (this.#asking || !this.#hasRoom) return;
    if (this.#isAsync) void this.#ask();
    else this.#pull();
  }

  #pull(): void {
    const until = performance.now() + PULL_TIME;
    const source = this.#source as Iterator<unknown>;
    this.#asking = true;
    try {
      for (let many = 1; this.#room > 0; many++) {
        const { value, done } = source.next();
        if (done === true) this.#exhausted = true;
        else this.#add(value);
        if (many % PULL === 0 && performance.now() > until) break;
      }
    } catch (error) {
      this.#broken(error);
    }
    this.#asking = false;
    this.#sent(this.#inputs.send());
    if (this.#exhausted) this.#wake();
    else this.#fillSoon();
  }

  /** Never rejects. */
  async #ask(): Promise<void> {
    this.#asking = true;
    let sends = false;
    const send = (): void => {
      sends = false;
      this.#sent(this.#inputs.send());
    };
    try {
      while (this.#room > 0) {
        const { value, done } = await this.#source.next();
        if (done === true) {
          this.#exhausted = true;
        } else if (!this.#stopped) {
          this.#add(value);
          // What comes at once goes at once.
          if (!sends) process.nextTick(send);
          sends = true;
        }
      }
    } catch (error) {
      this.#broken(error);
    }
    this.#asking = false;
    send();
    this.#wake();
  }

  /** The source has thrown: that is told in the place of its next input, and ends the stream. */
  #broken(error: unknown): void {
    this.#exhausted = true;
    if (this.#stopped) return;
    this.came(this.#pulled++, new Failure(error, true));
    this.#wake();
  }

  #add(input: unknown): void {
    const index = this.#pulled++;
    try {
      const sent = this.#inputs.add(index, input);
      if (sent !== false) return this.#sent(sent);
      this.#sent(this.#inputs.send());
      void this.#alone(index, input);
    } catch (error) {
      // It cannot be sent: those before it need not wait for what comes after it.
      this.#sent(this.#inputs.send());
      this.came(index, new Failure(error));
      this.#wake();
    }
  }

  #sent(sent: Sent | undefined): void {
    if (sent === undefined) return;
    this.#lookAhead.put(sent.count, sent.bytes);
    if (sent.call.id !== 0) this.#open.add(sent.call);
  }

  /** As a task of its own. Never rejects. */
  async #alone(index: number, input: unknown): Promise<void> {
    const { signal } = this.#left;
    let result: unknown;
    const putting = this.#mapped.put(input, { signal });
    this.#putting.add(putting);
    try {
      const handle = await putting;
      this.#handles.add(handle);
      if (this.#stopped) cancel(handle);
      this.#putting.delete(putting);
      result = await handle.result({ signal }).finally(() => this.#handles.delete(handle));
    } catch (error) {
      this.#putting.delete(putting);
      result = new Failure(error);
    }
    this.came(index, result);
    this.heard(1, 0);
  }
}

function cancel(handle: TaskHandle): void {
  handle.cancel('nobody reads its outcome').catch(() => {});
}

function fulfilled(value: unknown): PromiseFulfilledResult<unknown> {
  return { status: 'fulfilled', value };
}

/** 0 for 'auto'. */
function chunkOf({ chunkSize = 'auto' }: MapOptions): number {
  if (chunkSize === 'auto') return 0;
  if (Number.isInteger(chunkSize) && chunkSize > 0 && chunkSize <= 0xffff_ffff) return chunkSize;
  throw new RangeError(`chunkSize must be 'auto' or a whole number of at least 1, not ${String(chunkSize)}`);
}
