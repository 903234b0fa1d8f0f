/**
 * Inputs of `map`, from put to outcome. They come in bundles, become tasks that each stand for some of them, and are cut
 * as leases, failures and losses want it (queue/ranges.ts). Outputs go to whoever maps as they come; nobody keeps them.
 */
import { DeadlockError, FrameTooLargeError } from '../../errors.ts';
import { writeError } from '../../protocol/errors.ts';
import { Outcome, ToClient } from '../../protocol/messages.ts';
import { type Item, Packed, type Reader, type Writer } from '../../protocol/wire.ts';
import { Part } from '../../queue/part.ts';
import type { TaskQueue, TaskSpec } from '../../queue/queue.ts';
import { type Failure, State, type Task } from '../../queue/task.ts';
import type { Call } from '../call.ts';
import type { Session } from '../session.ts';
import { Bundle } from './bundle.ts';
import { cancelled, failureItem, unsent, writePayload } from './payload.ts';
import type { PutOptionItems } from './put-options.ts';
import type { Putters } from './putters.ts';
import { RangeSizes } from './range-sizes.ts';
import type { Taker } from './taker.ts';

/** ns in a ms. */
const NS = 1e6;

/** The board whose inputs they are. */
interface Board {
  readonly title: string;
  now(): number;
  shutError(): Error;
  specOf(name: string, input: unknown, bytesIn: number, options: PutOptionItems): TaskSpec;
  enter(session: Session, call: number, held: boolean, access: () => void): void;
}

export class Maps {
  readonly #board: Board;
  readonly #queue: TaskQueue;
  readonly #putters: Putters;
  readonly #sizes = new RangeSizes();
  /** Those whose calls have not been answered in full. */
  readonly #live = new Set<Bundle>();

  constructor(board: Board, queue: TaskQueue, putters: Putters) {
    this.#board = board;
    this.#queue = queue;
    this.#putters = putters;
  }

  /** How many inputs one of so many takers gets with one lease. */
  wanted(task: Task, takers: number): number {
    const bundle = task.rules?.part?.inputs as Bundle;
    if (bundle.chunk > 0) return bundle.chunk;
    return this.#sizes.of(task.name, this.#queue.count(State.ready), takers);
  }

  /** The inputs of a PUT, up to the end of its entry. */
  readPut(call: Call, name: string, options: PutOptionItems, reader: Reader, end: number): void {
    const bundle = new Bundle(call, name, options, reader, end);
    this.#board.enter(call.session, call.id, call.held, () => this.#put(bundle));
  }

  /** What is wrong with it is its answer. */
  #put(bundle: Bundle): void {
    const { call } = bundle;
    call.park(() => this.#left(bundle));
    this.#live.add(bundle);
    try {
      if (this.#queue.shut) throw this.#board.shutError();
      if ((call.held || this.#putters.size === 0) && this.admit(bundle)) return;
      if (call.held) throw new DeadlockError(`${this.#board.title} is full, and a held object must not wait`);
      bundle.leaveLine = this.#putters.addBundle(bundle);
    } catch (error) {
      call.refuse(error);
    }
  }

  /** As many of its inputs become tasks as there is room for. True where none is left. */
  admit(bundle: Bundle): boolean {
    const queue = this.#queue;
    const { name, options, count } = bundle;
    while (bundle.admitted < count) {
      const from = bundle.admitted;
      // What is given back may have left less than none.
      let many = Math.max(0, Math.min(count - from, queue.room));
      while (many > 0 && !queue.hasRoom(bundle.bytes(from, from + many))) many >>= 1;
      if (many === 0) return false;
      const to = from + many;
      const spec = this.#board.specOf(name, bundle.cut(from, to), bundle.bytes(from, to), options);
      // Counted first: it may end at once, by what it comes after.
      bundle.admitted = to;
      const part = new Part(bundle, from, many);
      queue.put({ ...spec, part }, this.#board.now());
    }
    return true;
  }

  /** Those of its inputs that wait for room will not be put. */
  refuse(bundle: Bundle, reason: Error): void {
    bundle.leaveLine?.();
    bundle.leaveLine = undefined;
    this.#send(bundle, bundle.admitted, bundle.count - bundle.admitted, Outcome.failed, (writer) =>
      writeError(writer, reason),
    );
  }

  /** ITEMS: outputs of the next inputs of a range, one after the other. What comes too late is ignored: LOST said so. */
  readItems(taker: Taker, reader: Reader, now: number): void {
    const lease = reader.u48();
    const count = reader.u32();
    const ranFor = reader.u32();
    const typical = reader.u32() / NS;
    const { position } = reader;
    for (let i = 0; i < count; i++) reader.skip();
    reader.end();
    taker.started = Math.max(taker.started, lease + count - 1);
    const found = this.#queue.mapped.succeeded(taker, lease, count, ranFor, now);
    if (found === undefined) return;
    taker.done += count;
    const { task, at } = found;
    this.#sizes.heard(task.name, typical);
    const part = task.rules?.part as Part;
    const bundle = part.inputs as Bundle;
    const outputs = reader.buffer.subarray(position, reader.position);
    const bytes = bundle.call.session.congested ? Buffer.from(outputs) : outputs;
    this.#send(bundle, part.from + at, count, Outcome.succeeded, (writer) => writer.raw(bytes));
  }

  /** APART: the next input of a range is a task like any other from here on. */
  apart(taker: Taker, lease: number): void {
    this.#queue.mapped.apart(taker, lease, this.#board.now());
  }

  /** A task that stands for inputs of a `map` has ended. */
  settled(task: Task, part: Part): void {
    const bundle = part.inputs as Bundle;
    const count = part.open;
    const { failure, output } = task;
    if (failure !== undefined) {
      // Several at once are no dead letter that anybody could want to run again.
      if (part.count > 1) task.input = undefined;
      const write = (writer: Writer, session: Session): void => writeFailure(writer, session, failure);
      this.#send(bundle, part.from + part.done, count, Outcome.failed, write, (tooLarge) => unsent(task, tooLarge));
    } else if (count > 0) {
      const write = (_: Writer, session: Session): void => {
        if (output instanceof Packed) session.lendNamed(output);
        writePayload(session, output);
      };
      this.#send(bundle, part.from, 1, Outcome.succeeded, write, (tooLarge) => unsent(task, tooLarge));
    }
  }

  /** There is no queue any more. */
  fail(reason: Error): void {
    for (const bundle of this.#live) bundle.call.fail(reason);
    this.#live.clear();
  }

  /** Whoever maps has left, or its session has ended. */
  #left(bundle: Bundle): void {
    bundle.leaveLine?.();
    bundle.leaveLine = undefined;
    this.#live.delete(bundle);
    this.#cancel(bundle, 'nobody reads its outcome');
  }

  #cancel(bundle: Bundle, reason: string): void {
    for (const task of [...bundle.tasks]) this.#queue.cancel(task, cancelled(task, reason), this.#board.now());
  }

  /** Outcomes of `count` inputs. `short`: what goes instead of one that is over the limit on messages. */
  #send(bundle: Bundle, at: number, count: number, outcome: number, write: Write, short?: Short): void {
    const { call } = bundle;
    const { session } = call;
    session.whenWritable(() => {
      if (call.over) return;
      try {
        writeItems(bundle, at, count, outcome, write);
      } catch (error) {
        if (short === undefined || !(error instanceof FrameTooLargeError)) throw error;
        writeItems(bundle, at, count, Outcome.failed, (writer) => writer.item(short(error)));
      }
      bundle.left -= count;
      if (bundle.left > 0) return;
      this.#live.delete(bundle);
      call.settled();
    });
  }
}

type Write = (writer: Writer, session: Session) => void;
type Short = (tooLarge: FrameTooLargeError) => Item;

function writeItems({ call }: Bundle, at: number, count: number, outcome: number, write: Write): void {
  const { link } = call.session;
  const { writer } = link;
  const start = link.begin(ToClient.ITEMS);
  writer.u32(call.id);
  writer.u32(at);
  writer.u32(count);
  writer.u8(outcome);
  write(writer, call.session);
  link.end(start);
}

function writeFailure(writer: Writer, session: Session, failure: Failure): void {
  const item = failureItem(failure);
  session.lendNamed(item);
  writer.item(item);
}
