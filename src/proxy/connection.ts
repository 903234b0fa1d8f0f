/**
 * A client's connection: calls out, answers in, and what becomes of both when it ends.
 *
 * Calls are numbered; each waits in `#calls` until a frame answers it. A call or wait that is outstanding keeps the
 * process alive, an idle connection does not. When the socket is lost, the connection asks whether the manager is still
 * there: where it is, calls whose effect is unknown reject with ConnectionLostError and named objects are opened anew;
 * where it has gone, everything rejects with ManagerGoneError, for good.
 */
import { EventEmitter } from 'node:events';
import { ConnectionLostError, ProtocolError } from '../errors.ts';
import type { CodecContext } from '../protocol/codec.ts';
import { errorFrom } from '../protocol/errors.ts';
import { GONE, GUARDED, HOLDING, ToClient, ToManager } from '../protocol/messages.ts';
import type { Item, Reader } from '../protocol/wire.ts';
import { Numbered } from '../queue/numbered.ts';
import type { HotPolling } from '../transport/hot-polling.ts';
import type { Link } from '../transport/link.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';
import { Arenas } from './arenas.ts';
import { type Body, writeHeld } from './bodies.ts';
import { Handles, type Opening } from './handles.ts';
import { KeepAlive } from './keep-alive.ts';
import type { Welcome } from './enter.ts';
import { Departed, type Pending, PendingCall, readFeed, readOutcomes, type Undo } from './pending.ts';
import { type Enter, type Entered, managerGone, reconnect } from './reconnect.ts';
import { ToldNames } from './told-names.ts';
import { sideOfClient } from './tracks.ts';

/** A guard as calls carry it. */
export interface Grant {
  readonly handle: number;
  readonly number: number;
}

/** How long (ms) a manager may take to say which came first: a caller's giving up, or what was waited for. */
const PATIENCE = 1000;

export class Connection extends EventEmitter {
  readonly address: string;
  link: Link;
  welcome: Welcome;
  /** Names of tasks by the manager's index. */
  readonly names: string[] = [];
  readonly handles = new Handles();
  arenas: Arenas;
  /** What proxies and handles inside values are on this side. */
  codec: CodecContext = {};
  /** Of a client that asked for it: waits for the answer to a single call without sleeping. */
  polling: HotPolling | undefined = undefined;
  readonly #enter: Enter | undefined;
  readonly #comesBack: boolean;
  readonly #calls = new Numbered<Pending>();
  readonly #told = new ToldNames();
  #callIds = 0;
  readonly #alive = new KeepAlive();
  /** Why no call can be made (now). */
  #down: Error | undefined;
  #closed = false;
  /** Calls of a lost connection, while it is not known what has become of the manager. */
  #inDoubt: Pending[] = [];
  #returning: { readonly over: Promise<void>; readonly giveUp: AbortController } | undefined;

  /**
   * `enter` is undefined where there is nothing to come back to: a manager in this process, whose end this is. Without
   * `comesBack` the connection ends when it is lost.
   */
  constructor(address: string, entered: Entered, enter: Enter | undefined, comesBack = true) {
    super();
    // As many as there are groups and pools of this client.
    this.setMaxListeners(0);
    this.address = address;
    this.link = entered.link;
    this.welcome = entered.welcome;
    this.arenas = new Arenas(this.link, this.welcome.pid);
    this.#enter = enter;
    this.#comesBack = comesBack;
    this.#start();
  }

  /** Nobody can call any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the connection is there (again), or has ended for good. */
  async returned(): Promise<void> {
    await this.#returning?.over;
  }

  /** Opens an object: the frame leaves ahead of the first call on it. */
  open(typeId: string, name: string | undefined, options: readonly Item[]): number {
    const handle = this.handles.next();
    this.handles.adopt(handle, { typeId, name, options });
    if (this.#down === undefined) this.#sendOpen(handle, { typeId, name, options });
    return handle;
  }

  /** Gives up the handle. */
  drop(handle: number): void {
    this.handles.forget(handle);
    if (this.#down === undefined) this.#send(ToManager.DROP, handle);
  }

  /** Nobody has the handle any more; what is under way on it goes on. */
  abandon(handle: number): void {
    if (this.#down !== undefined || !this.handles.abandon(handle)) return;
    this.#send(ToManager.ABANDON, handle);
  }

  /** `undo`: gives back what the call was given when its caller had left already. `held`: what its flow holds. */
  call(
    handle: number,
    method: number,
    args: readonly Item[],
    wait?: WaitOptions,
    guard?: Grant,
    undo?: Undo,
    held: readonly Body[] = [],
  ): Promise<Item> {
    return new Promise((resolve, reject) => {
      checkTimeout(wait?.timeout);
      wait?.signal?.throwIfAborted();
      this.handles.check(handle);
      const pending = new PendingCall(resolve, reject);
      if (undo !== undefined) pending.leaving = { undo };
      const id = this.begin(pending);
      const start = this.link.beginCall(ToManager.CALL, id, handle);
      const { writer } = this.link;
      writer.u8(method | (guard === undefined ? 0 : GUARDED) | (held.length === 0 ? 0 : HOLDING));
      if (guard !== undefined) {
        writer.u32(guard.handle);
        writer.u48(guard.number);
      }
      if (held.length > 0) writeHeld(writer, held);
      try {
        for (const arg of args) writer.item(arg);
      } catch (error) {
        writer.abandonFrame(start);
        this.forget(id);
        throw error;
      }
      this.finish(start, id);
      if (wait !== undefined) this.watch(id, wait, reject, 'the call');
    });
  }

  /** Numbers a call and waits for its answer. The caller writes the frame that carries the number. */
  begin(pending: Pending): number {
    if (this.#down !== undefined) throw this.#down;
    const id = this.#nextCall();
    this.#calls.set(id, pending);
    if (pending.waits) this.#alive.count++;
    if (this.polling !== undefined && pending.waits && this.#calls.size === 1) this.polling.expects();
    return id;
  }

  /** The number of a call that is not answered. */
  unanswered(): number {
    if (this.#down !== undefined) throw this.#down;
    return 0;
  }

  /** Ends the frame that carries call `id`; a frame that is too long takes its call with it. */
  finish(start: number, id: number): void {
    try {
      this.link.end(start);
    } catch (error) {
      this.forget(id);
      throw error;
    }
  }

  /** Ends the entry that carries call `id`, likewise. */
  finishEntry(id: number): void {
    try {
      this.link.endEntry();
    } catch (error) {
      this.forget(id);
      throw error;
    }
  }

  /** The entry that was begun, and its call, were not to be. */
  dropEntry(id: number): void {
    this.link.dropEntry();
    this.forget(id);
  }

  /**
   * Lets a call end early by its caller's signal or timeout. The manager decides which came first, this or what the call
   * waited for, and the call settles as it says: an item or a grant is never given to somebody who has left. Where it
   * says nothing, because it has stopped, the call ends all the same, and what comes of it later is given back.
   */
  watch(id: number, wait: WaitOptions, reject: (error: unknown) => void, what: string): void {
    if (wait.signal === undefined && wait.timeout === undefined) return;
    const pending = this.#calls.get(id);
    if (pending === undefined) return;
    const leaving = (pending.leaving ??= {});
    leaving.endWatch = watchWait(wait, what, (reason) => {
      if (this.#down !== undefined) return reject(reason);
      leaving.givenUp = { reason };
      this.#send(ToManager.CANCEL, id);
      const timer = setTimeout(() => {
        this.forget(id);
        this.#alive.settle(this.link.transport);
        this.#calls.set(id, new Departed(leaving.undo));
        pending.failed(reason as Error);
      }, PATIENCE);
      leaving.endWatch = () => clearTimeout(timer);
    });
  }

  /** The caller of `id` no longer waits. */
  cancel(id: number): void {
    if (this.forget(id) && this.#down === undefined) this.#send(ToManager.CANCEL, id);
  }

  forget(id: number): Pending | undefined {
    const pending = this.#calls.get(id);
    if (pending === undefined) return undefined;
    this.#calls.delete(id);
    pending.leaving?.endWatch?.();
    if (pending.waits) this.#alive.count--;
    return pending;
  }

  /** Outcomes of tasks of that queue are on their way. */
  awaits(queue: string): boolean {
    for (const pending of this.#calls.values()) if (pending.queue === queue) return true;
    return false;
  }

  /** Nobody waits for outcomes of that queue any more, because of `reason`. */
  endQueue(queue: string, reason: Error): void {
    const ending = [...this.#calls.entries()].filter(([, pending]) => pending.queue === queue);
    for (const [id] of ending) this.forget(id)?.ended(reason);
    this.#alive.settle(this.link.transport);
  }

  /** Something is outstanding that keeps the process alive. */
  hold(): void {
    this.#alive.count++;
    this.#alive.settle(this.link.transport);
  }

  letGo(): void {
    this.#alive.count--;
    this.#alive.settle(this.link.transport);
  }

  /** Says that this process is alive. */
  beat(): void {
    if (this.#down === undefined) this.#send(ToManager.BEAT);
  }

  /** The index by which the manager knows a task's name; told with its first use. */
  nameIndex(name: string): number {
    if (this.#down !== undefined) throw this.#down;
    return this.#told.index(name, this.link);
  }

  /** Ends the connection: outstanding calls reject, and nothing keeps the process alive. */
  close(reason: Error = new ConnectionLostError('the client has been closed')): void {
    if (this.#closed) return;
    this.link.close();
    this.#fall(reason);
    this.#returning?.giveUp.abort(reason);
  }

  #start(): void {
    this.link.carryLong(sideOfClient(this.handles.openings));
    this.link.writer.storeIn(this.arenas);
    this.link.handOver({
      frame: (kind, reader) => this.#frame(kind, reader),
      flushed: () => this.#alive.settle(this.link.transport),
      closed: (error) => this.#lost(error),
    });
    this.#alive.begin(this.link.transport);
    // In the manager's own process there is nobody to be ahead of.
    if (this.#enter !== undefined) this.arenas.prepare();
  }

  #nextCall(): number {
    do this.#callIds = (this.#callIds + 1) >>> 0;
    while (this.#callIds === 0 || this.#calls.has(this.#callIds));
    return this.#callIds;
  }

  /** A frame of a number at most. */
  #send(kind: number, number?: number): void {
    const start = this.link.begin(kind);
    if (number !== undefined) this.link.writer.u32(number);
    this.link.end(start);
  }

  #sendOpen(handle: number, { typeId, name, options }: Opening): void {
    const start = this.link.begin(ToManager.OPEN);
    this.link.writer.u32(handle);
    this.link.writer.text(typeId);
    this.link.writer.item(name);
    this.link.writer.item(options);
    this.link.end(start);
  }

  #frame(kind: number, reader: Reader): void {
    this.polling?.arrived();
    switch (kind) {
      case ToClient.OUTCOME:
        return readOutcomes(this, this.#calls, reader);
      case ToClient.TASK:
      case ToClient.LOST:
      case ToClient.STOP: {
        const listener = this.handles.listener(reader.u32());
        if (listener?.frame !== undefined) return listener.frame(kind, reader);
        if (kind === ToClient.TASK) this.arenas.skipTasks(reader);
        return;
      }
      case ToClient.DONE: {
        const first = reader.u32();
        const end = first + reader.u32();
        for (let id = first; id < end; id++) if (this.#calls.get(id)?.done()) this.forget(id);
        return;
      }
      case ToClient.RESULT: {
        const id = reader.u32();
        if (this.#calls.get(id)?.result(reader.item())) this.forget(id);
        return;
      }
      case ToClient.ACCEPTED: {
        const first = reader.u32();
        const count = reader.u32();
        const number = reader.u48();
        for (let i = 0; i < count; i++) if (this.#calls.get(first + i)?.accepted(number + i)) this.forget(first + i);
        return;
      }
      case ToClient.TAKEN: {
        const id = reader.u32();
        if (this.#calls.get(id)?.taken(reader.u16())) this.forget(id);
        return;
      }
      case ToClient.ITEMS: {
        const id = reader.u32();
        const pending = this.#calls.get(id);
        if (pending === undefined) this.arenas.skipItems(reader);
        else if (pending.items(reader)) this.forget(id);
        return;
      }
      case ToClient.FAILED:
        return this.forget(reader.u32())?.failed(errorFrom(reader.item(), this.codec));
      case ToClient.CANCELLED: {
        const pending = this.forget(reader.u32());
        const givenUp = pending?.leaving?.givenUp;
        if (givenUp !== undefined) pending?.failed(givenUp.reason as Error);
        return;
      }
      case ToClient.PROGRESS:
        return this.#calls.get(reader.u32())?.report(reader.item());
      case ToClient.LENT: {
        const { link } = this;
        // Whoever was given a value by an earlier frame has read it when this turn is over.
        setImmediate(() => this.link === link && this.#down === undefined && this.#send(ToManager.RETURNED));
        return;
      }
      case ToClient.FEED:
      case ToClient.ITEM:
        return readFeed(kind, this.#calls, reader);
      case ToClient.ARENA:
      case ToClient.FREED:
      case ToClient.ARENA_GONE:
        return this.arenas.frame(kind, reader);
      case ToClient.NAME:
        this.names[reader.u16()] = reader.text();
        return;
      case ToClient.EVENT: {
        const handle = reader.u32();
        const event = reader.text();
        const item = reader.item();
        if (handle === 0 && event === GONE)
          return this.close(managerGone(this.address, this.welcome, ': it was closed'));
        if (handle === 0) this.emit(`manager:${event}`, item);
        else this.handles.listener(handle)?.event?.(event, item);
        return;
      }
      default:
        throw new ProtocolError(`the manager sent a frame of unknown kind ${kind}`);
    }
  }

  /** The socket has gone. */
  #lost(error: Error | undefined): void {
    if (this.#closed) return;
    const lost = new ConnectionLostError(`the connection to the manager at ${this.address} was lost`, { cause: error });
    if (!this.#comesBack) return this.#fall(lost);
    if (this.#enter === undefined) return this.#fall(managerGone(this.address, this.welcome, ''));
    this.#down = lost;
    this.#inDoubt = [...this.#calls.values()];
    this.#calls.clear();
    const giveUp = new AbortController();
    const over = this.#return(this.#enter, lost, giveUp.signal).finally(() => (this.#returning = undefined));
    this.#returning = { over, giveUp };
  }

  /** Goes on with the manager if it is still there. Never rejects. */
  async #return(enter: Enter, lost: Error, signal: AbortSignal): Promise<void> {
    const found = await reconnect(enter, this.address, this.welcome, signal);
    if (found === undefined || found instanceof Error) return found && this.#fall(found);
    if (this.#closed) return found.link.close();
    this.link = found.link;
    this.welcome = found.welcome;
    this.#endSession(lost);
  }

  /** Settles what the session held, then, if there is a new one, goes on with it. */
  #endSession(reason: Error): void {
    this.arenas.close();
    const calls = [...this.#inDoubt, ...this.#calls.values()];
    this.#inDoubt = [];
    this.#calls.clear();
    for (const pending of calls) {
      pending.leaving?.endWatch?.();
      if (pending.waits) this.#alive.count--;
    }
    const { listeners } = this.handles;
    if (!this.#closed) {
      this.#down = undefined;
      this.#told.clear();
      this.names.length = 0;
      this.handles.forgetUnnamed();
      this.arenas = new Arenas(this.link, this.welcome.pid);
      this.#start();
      for (const [handle, opening] of this.handles.openings) this.#sendOpen(handle, opening);
    }
    for (const pending of calls)
      pending.failed(pending.leaving?.givenUp === undefined ? reason : (pending.leaving.givenUp.reason as Error));
    for (const listener of listeners) listener.sessionEnded?.(reason);
    if (this.#closed) this.emit('closed', reason);
    else this.emit('reconnected');
  }

  /** No call can be made any more. */
  #fall(reason: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#down = reason;
    this.#endSession(reason);
  }
}
