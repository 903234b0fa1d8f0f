/** What a connection keeps of a call until its answer has come. Each kind of call listens to the frames that can answer it. */
import { ProtocolError } from '../errors.ts';
import { Outcome, ToClient } from '../protocol/messages.ts';
import { type Item, Reader } from '../protocol/wire.ts';
import type { Arenas } from './arenas.ts';

/** Length and kind (bytes). */
const FRAME_HEADER = 5;

/** Of a call whose caller may leave early. */
interface Leaving {
  /** Ends the watch over its signal and timeout, if it has one. */
  endWatch?: () => void;
  /** Its caller has given up, and why; it is still to be heard whether the manager had answered before. */
  givenUp?: { readonly reason: unknown };
  /** Gives back what comes when the caller has left without having heard from the manager. */
  undo?: Undo | undefined;
}

/** There may be a million of them: fields that few need are apart. */
export abstract class Pending {
  leaving: Leaving | undefined = undefined;

  /** Whether it keeps the process alive. */
  get waits(): boolean {
    return true;
  }

  /** The task queue of whose tasks it brings an outcome. */
  get queue(): string | undefined {
    return undefined;
  }

  /** That queue has ended for this client: as `failed`, and so it stays. */
  ended(error: Error): void {
    this.failed(error);
  }

  /** Each returns whether the call is over with it. */
  result(_item: Item): boolean {
    throw unexpected('a result');
  }
  done(): boolean {
    throw unexpected('an empty answer');
  }
  accepted(_number: number): boolean {
    throw unexpected('an acceptance');
  }
  outcome(_succeeded: boolean, _reader: Reader): boolean {
    throw unexpected('an outcome');
  }
  taken(_count: number): boolean {
    throw unexpected('the end of a take');
  }
  report(_item: Item): void {}
  /** Outcomes of inputs that were put by it. */
  items(_reader: Reader): boolean {
    throw unexpected('outcomes of inputs');
  }
  /** What answers it is a feed. */
  feed(): void {
    throw unexpected('a feed');
  }
  /** The next value of its feed, in a frame of `size` bytes, after so many that were dropped. */
  item(_item: Item, _missed: number, _size: number): void {
    throw unexpected('a value of a feed');
  }
  abstract failed(error: Error): void;
}

/** Takes the answer of a call whose caller has left. */
export type Undo = (item: Item) => Promise<unknown>;

/** In the place of a call whose caller has left: whatever comes of it is given back. */
export class Departed extends Pending {
  readonly #undo: Undo | undefined;

  constructor(undo: Undo | undefined) {
    super();
    this.#undo = undo;
  }

  override get waits(): boolean {
    return false;
  }

  override result(item: Item): boolean {
    // Where that fails, the session has ended, and what it held has gone with it.
    this.#undo?.(item).catch(() => {});
    return true;
  }
  override done(): boolean {
    return this.result(undefined);
  }
  override feed(): void {}
  override item(): void {}
  override accepted(): boolean {
    return true;
  }
  override taken(): boolean {
    return true;
  }
  override failed(): void {}
}

/** Nobody waits for what is said to it; `over` is called before any later frame is read. */
export class Ignored extends Pending {
  readonly #over: () => void;

  constructor(over: () => void) {
    super();
    this.#over = over;
  }

  override get waits(): boolean {
    return false;
  }

  override done(): boolean {
    this.#over();
    return true;
  }

  override failed(): void {
    this.#over();
  }
}

/** Calls that are not answered, by their numbers. */
interface Calls {
  get(id: number): Pending | undefined;
}

/** OUTCOME: how tasks ended, each for whoever waits for it; `connection` has what lies in arenas. */
export function readOutcomes(
  connection: { readonly arenas: Arenas; forget(id: number): void },
  calls: Calls,
  reader: Reader,
): void {
  reader.u32();
  while (reader.left > 0) {
    const end = reader.entry();
    const id = reader.u32();
    const pending = calls.get(id);
    const succeeded = reader.u8() === Outcome.succeeded;
    const region = reader.regionUntil(end);
    if (region === undefined) {
      if (pending?.outcome(succeeded, reader)) connection.forget(id);
    } else if (pending === undefined) {
      connection.arenas.skip(region);
    } else {
      const item = connection.arenas.copy(region);
      if (pending.outcome(succeeded, new Reader(item, 0, item.length, true))) connection.forget(id);
    }
    reader.skipTo(end);
  }
}

/** FEED and ITEM: what a feed begins with, and what it gives. */
export function readFeed(kind: number, calls: Calls, reader: Reader): void {
  const size = reader.left + FRAME_HEADER;
  const pending = calls.get(reader.u32());
  if (kind === ToClient.FEED) {
    pending?.feed();
  } else {
    const missed = reader.u32();
    pending?.item(reader.item(), missed, size);
  }
}

function unexpected(what: string): ProtocolError {
  return new ProtocolError(`the manager answered a call with ${what}, which is none of its answers`);
}

/** A call that resolves with what the manager says. */
export class PendingCall extends Pending {
  readonly #resolve: (item: Item) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (item: Item) => void, reject: (error: unknown) => void) {
    super();
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override result(item: Item): boolean {
    this.#resolve(item);
    return true;
  }

  override done(): boolean {
    this.#resolve(undefined);
    return true;
  }

  override failed(error: Error): void {
    this.#reject(error);
  }
}
