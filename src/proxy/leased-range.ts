/**
 * A range: inputs of a `map` that are leased to this process together, and run one after the other by one flow.
 *
 *     0 1 2 │ 3 4 │ 5 │ 6 7 8 9          reported, done, running, not begun
 *
 * What has not begun may be given back at any moment, by the helper too. An input is nothing but its bytes, and its
 * outcome one output among others, unless something is the matter with it: it fails, or its handler has to do with its
 * lease (a lock, a child, progress). Then it is set *apart*: the manager hears of it, and it is a task like any other.
 */
import { performance } from 'node:perf_hooks';
import { LeaseLostError } from '../errors.ts';
import { decodeFrom, encodeTo } from '../protocol/codec.ts';
import { ToManager } from '../protocol/messages.ts';
import { Reader, type Writer } from '../protocol/wire.ts';
import type { Durations } from './durations.ts';
import { ItemLease } from './item-lease.ts';
import { tokenOf } from './lock-guard.ts';
import { Ignored } from './pending.ts';
import type { TakerRanges } from './taker-ranges.ts';

/** The clock is read after each input that takes longer than this (ms), else after so many. */
const TIMED = 0.005;
const UNTIMED = 16;
/** Outputs are sent at least this often (ms), or when they are so many bytes. */
const SEND_EVERY = 2;
const SEND_AT = 16_000;
/** An output of more bytes goes by itself. */
const LARGE = 32_000;
/** Inputs that mostly take so long (ms) are reported as they start, as is the first of a name. */
const SHORT = 5;
/** Longest time (ms) that the event loop is kept from turning by inputs that end at once. */
const TURN = 5;
/** Durations are kept as those of so many inputs: one of them may be less than can be told apart there. */
const SCALE = 16;
/** ns in a ms. */
const NS = 1e6;

/** How a range is leased and named: what TASK said of it. */
export interface RangeTask {
  readonly lease: number;
  readonly number: number;
  readonly name: string;
  readonly attempt: number;
  readonly flags: number;
  readonly count: number;
}

export class LeasedRange {
  readonly task: RangeTask;
  readonly lease: number;
  /** The helper sees it. */
  shared = false;
  /** Its place in the window that the helper sees; -1 once it is not there. */
  slot = -1;
  lost: Error | undefined;
  startedAt = 0;
  readonly #ranges: TakerRanges;
  readonly #reader: Reader;
  readonly #durations: Durations;
  #outbox: Writer | undefined;
  /** Leases up to here are this range's still. */
  #count: number;
  /** How many have begun, and of how many the manager has heard. */
  #begun = 0;
  #reported = 0;
  /** Outputs in the outbox. */
  #unsent = 0;
  /** The lease of the one that runs, once somebody has asked for it. */
  #running: ItemLease | undefined;
  /** Leases of those that were set apart. */
  #apart: Set<number> | undefined;
  /** The lease that LOST named, whose end is owed to the manager. */
  #owed: number | undefined;
  /** When the clock was last read, and how many inputs have ended since; when outputs were last sent. */
  #clock = 0;
  #ended = 0;
  #untilClock = 1;
  #sentAt = 0;
  #turn = 0;
  #sendsSoon = false;
  /** The one that has begun last has not ended. */
  #runs = false;

  constructor(ranges: TakerRanges, task: RangeTask, chunk: Buffer, from: number, to: number) {
    this.task = task;
    this.lease = task.lease;
    this.#ranges = ranges;
    this.#count = task.count;
    this.#reader = new Reader(chunk, from, to);
    this.#durations = ranges.durationsOf(task.name);
  }

  get name(): string {
    return this.task.name;
  }

  /** Whether that lease is one of its own, of inputs that were not set apart: the manager may not know yet which have ended. */
  has(lease: number): boolean {
    return lease >= this.lease && lease < this.lease + this.#count && this.#apart?.has(lease) !== true;
  }

  /** It begins, at `startedAt`. */
  open(): void {
    this.#clock = this.#sentAt = this.#turn = this.startedAt;
    this.#outbox = this.#ranges.outbox();
    this.#ranges.opened(this);
  }

  /** The next input begins. False where there is none: all have ended, or the others were given back or lost. */
  next(): boolean {
    this.#running = undefined;
    if (this.lost !== undefined || this.#begun === this.#count) return false;
    if (!this.#ranges.begins(this.slot, this.#begun)) {
      this.#count = this.#begun;
      return false;
    }
    this.#begun++;
    this.#runs = true;
    const { count, mean } = this.#durations;
    if (count === 0 || mean >= SHORT * SCALE) this.#ranges.notes.starts(this.current);
    return true;
  }

  /** The lease of the input that has begun last. */
  get current(): number {
    return this.lease + this.#begun - 1;
  }

  /** The id of the one under that lease. */
  idOf(lease: number): string {
    return `t${this.task.number + lease - this.lease}`;
  }

  tokenOf(lease: number): bigint {
    return tokenOf(this.#ranges.taker.connection, lease);
  }

  /** Its input. */
  input(): unknown {
    const reader = this.#reader;
    const { position, buffer, left } = reader;
    try {
      return decodeFrom(reader, this.#ranges.taker.connection.codec);
    } catch (error) {
      reader.reset(buffer, position, position + left);
      reader.skip();
      throw error;
    }
  }

  /** The input that began under that lease, which may have ended. */
  leased(begun: number): ItemLease {
    const runs = this.#runs && begun === this.current;
    if (runs && this.#running !== undefined) return this.#running;
    const { name, attempt, number, flags } = this.task;
    const at = begun - this.lease;
    const leased = new ItemLease(this.#ranges.taker, this, begun, number + at, name, attempt, flags);
    leased.startedAt = this.#ended === 0 ? this.#clock : performance.now();
    if (!runs) leased.lose(new LeaseLostError(`task '${this.idOf(begun)}' has been ended`));
    else if (this.lost !== undefined) leased.lose(this.lost);
    if (runs) this.#running = leased;
    return leased;
  }

  /** The input that runs, if one does. */
  running(): ItemLease | undefined {
    return this.#runs ? this.leased(this.current) : undefined;
  }

  /** The input that runs has ended with that output. False where it has to be completed by itself. */
  succeeded(output: unknown): boolean {
    if (this.#running?.isApart === true) return false;
    if (this.lost !== undefined) {
      this.#runs = false;
      return true;
    }
    const outbox = this.#outbox as Writer;
    const start = outbox.length;
    let alone = false;
    try {
      alone = encodeTo(outbox, output, this.#ranges.taker.connection.codec, 'output') || outbox.length - start > LARGE;
    } catch (error) {
      outbox.cut(start);
      throw error;
    }
    if (alone) {
      outbox.cut(start);
      return false;
    }
    this.#unsent++;
    this.#running?.endWith();
    this.#runs = false;
    this.#tick();
    if (outbox.length > SEND_AT) this.send();
    return true;
  }

  /** It has ended otherwise, by itself. */
  endedApart(): void {
    this.#runs = false;
    this.#tick();
  }

  /** The event loop should turn before the next one begins. */
  get turnIsOver(): boolean {
    if (this.#clock - this.#turn < TURN) return false;
    this.#turn = this.#clock;
    return true;
  }

  /** The input that runs has not ended when its handler returned. */
  waits(): void {
    this.#ranges.notes.startsSoon(this.current);
    if (this.#sendsSoon || this.#unsent === 0) return;
    this.#sendsSoon = true;
    setImmediate(() => {
      this.#sendsSoon = false;
      this.send();
    });
  }

  /** It goes on in another turn than it began in. */
  goesOn(): void {
    this.#turn = performance.now();
  }

  /** The input that runs is set apart: what ended before it is reported first. */
  setApart(): void {
    this.send();
    this.#ranges.notes.apart(this.current);
    (this.#apart ??= new Set()).add(this.current);
    this.#reported++;
  }

  /** Sends the outputs that are there. */
  send(): void {
    const { connection, handle } = this.#ranges.taker;
    const outbox = this.#outbox;
    if (this.#unsent === 0 || outbox === undefined) return;
    const outputs = outbox.take();
    const count = this.#unsent;
    this.#unsent = 0;
    if (this.lost !== undefined || connection.closed) return;
    const now = performance.now();
    const { link } = connection;
    const start = link.begin(ToManager.ITEMS);
    const { writer } = link;
    writer.u32(handle);
    writer.u48(this.lease + this.#reported);
    writer.u32(count);
    writer.u32(Math.round((now - this.startedAt) * 10));
    writer.u32(Math.min(0xffff_ffff, Math.ceil((this.#durations.upperQuartile / SCALE) * NS)));
    writer.raw(outputs);
    link.end(start);
    link.flush();
    this.#reported += count;
    this.#sentAt = now;
  }

  /** Those that have not begun go back. */
  giveBackRest(): void {
    if (this.lost !== undefined || this.#begun === this.#count) return;
    const mine = this.#ranges.ends(this.slot, this.#begun);
    this.#count = this.#begun;
    if (mine) this.giveBack(() => {});
  }

  /** Those from `begun` on go back, none of which has begun; `settled` runs before any later frame is read. */
  giveBack(settled: () => void): void {
    if (this.lost !== undefined) return settled();
    const { connection, handle } = this.#ranges.taker;
    const id = connection.begin(new Ignored(settled));
    const start = connection.link.beginCall(ToManager.RELEASE, id, handle);
    connection.link.writer.u48(this.lease + this.#begun);
    connection.finish(start, id);
  }

  /** Nobody runs it. */
  abandon(): void {
    this.giveBackRest();
    this.close();
  }

  /** The flow that ran it is through with it. */
  close(): void {
    this.send();
    this.#ranges.closed(this, this.#outbox as Writer);
    this.#outbox = undefined;
    if (this.#owed !== undefined) this.#ranges.notes.ended(this.#owed);
    const now = performance.now();
    // A few long ones among many short ones say nothing about the next range: the helper sees to what they hold up.
    const mostly = (this.#begun * this.#durations.upperQuartile) / SCALE;
    this.#ranges.taker.rangeEnded(Math.min(now - this.startedAt, mostly), now);
  }

  /** The manager, by LOST for that lease, or the end of the session, took away all that has not ended. */
  lose(reason: Error, lease?: number): void {
    if (this.lost !== undefined) return;
    this.lost = reason;
    this.#owed = lease;
    if (this.#running?.isApart !== true) this.#running?.lose(reason);
  }

  /** An input has ended: reads the clock now and then. */
  #tick(): void {
    this.#ended++;
    if (--this.#untilClock > 0) return;
    const now = performance.now();
    const each = (now - this.#clock) / this.#ended;
    this.#durations.add(each * SCALE);
    this.#untilClock = each > TIMED ? 1 : UNTIMED;
    this.#clock = now;
    this.#ended = 0;
    this.#ranges.busySince(now);
    if (this.#unsent > 0 && now - this.#sentAt > SEND_EVERY) this.send();
  }
}
