/**
 * The manager's side of one connection: the lifetime of everything its client holds.
 *
 * Frames of one client are handled in the order in which they came. What a call does to an object passes the object's
 * gate; what must wait is parked. When the session ends, one place (`end`) lets go of all of it: parked calls, holds,
 * guards, leases, references.
 */
import { DeadlockError, FrameTooLargeError, NotLockOwnerError, ProtocolError, UnknownMethodError } from '../errors.ts';
import { WireError, writeError } from '../protocol/errors.ts';
import { GUARDED, ToClient, ToManager } from '../protocol/messages.ts';
import { type Item, MAX_LISTS, Packed, type ProxyRef, type Reader } from '../protocol/wire.ts';
import type { Link } from '../transport/link.ts';
import { type Answer, answerFree, answerLater, answerNow, Call } from './call.ts';
import { Coalesced } from './coalesced.ts';
import type { ManagerCore } from './core.ts';
import { Feeds } from './feed.ts';
import { Hold } from './hold.ts';
import { Lock } from './objects/lock.ts';
import type { SharedObject } from './shared-object.ts';
import { readCompletes, readPuts, readTaskCall, readTaskNote } from './task-frames.ts';
import type { Taker } from './tasks/taker.ts';
import { Tasks } from './tasks/tasks.ts';

/** Who is at the other end, as they say. */
export interface Peer {
  readonly pid: number;
  readonly host: string;
  readonly name: string;
  /** Of a worker that a group of another session spawned and vouches for. */
  readonly ticket: string | undefined;
}

interface Handle {
  readonly object: SharedObject | undefined;
  /** Why there is no object: told at the first call. */
  readonly error: unknown;
  hold: Hold | undefined;
}

/** Above this many bytes waiting to be sent, nothing more is read from the session, and outcomes wait for it. */
const HIGH_WATER = 8 * 1024 * 1024;
/** Names of tasks that have a number at once: numbers are 16 bits. */
const NAMES = 0x1_0000;

export class Session {
  readonly id: number;
  readonly manager: ManagerCore;
  readonly link: Link;
  readonly peer: Peer;
  readonly handles = new Map<number, Handle>();
  readonly parked = new Map<number, Call>();
  readonly feeds = new Feeds();
  /** By the handle of their queue. */
  readonly takers = new Map<number, Taker>();
  /** What else ends with the session: guards. */
  readonly holdings = new Set<() => void>();
  /** Names of tasks by the client's index. */
  readonly taskNames: string[] = [];
  /** Names of tasks that the client has been told, with the index by which it knows each. */
  readonly #toldNames = new Map<string, number>();
  /** Sent with the welcome: who knows it is this session's own helper. */
  readonly secret: Buffer;
  /** The helper's link, while there is one. */
  helper: Link | undefined;
  ended = false;
  #done = new Coalesced(ToClient.DONE);
  #accepted = new Coalesced(ToClient.ACCEPTED);
  #outbox: (() => void)[] = [];
  readonly #lent: SharedObject[] = [];
  #paused = false;

  constructor(manager: ManagerCore, id: number, link: Link, peer: Peer, secret: Buffer) {
    this.manager = manager;
    this.id = id;
    this.link = link;
    this.peer = peer;
    this.secret = secret;
  }

  /** When the process was last heard, by either connection, on the monotonic clock (ms). */
  get lastHeard(): number {
    return Math.max(this.link.lastReceived, this.helper?.lastReceived ?? 0);
  }

  /** The client does not read its answers, so nothing is read from it. */
  get paused(): boolean {
    return this.#paused;
  }

  get congested(): boolean {
    return this.link.transport.pending > HIGH_WATER;
  }

  /** The helper gives back un-started tasks of this session. */
  giveBack(reader: Reader): void {
    const handle = reader.u32();
    const leases: number[] = [];
    for (let count = reader.u32(); count > 0; count--) leases.push(reader.u48());
    const taker = this.takers.get(handle);
    const object = this.handles.get(handle)?.object;
    if (taker !== undefined && object instanceof Tasks) object.takers.gaveBack(taker, leases);
  }

  frame(kind: number, reader: Reader): void {
    if (this.ended) return;
    switch (kind) {
      case ToManager.PUT:
        return readPuts(this, reader);
      case ToManager.COMPLETE:
        return readCompletes(this, reader);
      case ToManager.TAKE:
      case ToManager.FAIL:
      case ToManager.RELEASE:
      case ToManager.EXTEND:
      case ToManager.GRAPH:
        return readTaskCall(this, kind, reader);
      case ToManager.CALL:
        return this.#call(reader);
      case ToManager.STARTED:
      case ToManager.PROGRESS:
      case ToManager.WINDOW:
        return readTaskNote(this, kind, reader);
      case ToManager.NAME: {
        const index = reader.u16();
        this.taskNames[index] = this.manager.internName(reader.text());
        return;
      }
      case ToManager.OPEN:
        return this.#open(reader);
      case ToManager.DROP:
        return this.drop(reader.u32());
      case ToManager.CANCEL:
        return this.#cancel(reader.u32());
      case ToManager.HOLD:
        return this.#hold(reader);
      case ToManager.BEAT:
        return;
      case ToManager.READ:
        return this.feeds.read(reader.u32(), reader.u32());
      default:
        throw new ProtocolError(`a frame of unknown kind ${kind}`);
    }
  }

  /** The chunk has been handled: stop reading where the client does not read its answers. */
  turnEnded(): void {
    if (!this.#paused && this.congested) {
      this.#paused = true;
      this.link.transport.pause();
    }
  }

  drained(): void {
    const waiting = this.#outbox;
    this.#outbox = [];
    for (const send of waiting) this.whenWritable(send);
    for (const board of this.manager.boards) board.takers.sessionWritable(this);
    if (this.#paused && !this.congested) {
      this.#paused = false;
      this.link.lastReceived = performance.now(); // it has read: it is there
      this.link.transport.resume();
    }
  }

  /** Sends what nobody waits for right now: at once, or when the client has read what is on its way to it. */
  whenWritable(send: () => void): void {
    if (this.congested) this.#outbox.push(send);
    else send();
  }

  /** A call succeeded with nothing to say: calls that follow each other share a frame. */
  done(call: number): void {
    this.#done.add(this.link, call, 0);
  }

  /** A put was accepted: puts that follow each other, numbers too, share a frame. */
  accepted(call: number, number: number): void {
    this.#accepted.add(this.link, call, number);
  }

  /** The index by which the client knows that name of a task; told with its first use, and again when all are taken. */
  announce(name: string): number {
    let index = this.#toldNames.get(name);
    if (index === undefined) {
      if (this.#toldNames.size === NAMES) this.#toldNames.clear();
      index = this.#toldNames.size;
      this.#toldNames.set(name, index);
      const start = this.link.begin(ToClient.NAME);
      this.link.writer.u16(index);
      this.link.writer.text(name);
      this.link.end(start);
    }
    return index;
  }

  failed(call: number, error: unknown): void {
    try {
      this.#writeFailure(call, error);
    } catch (tooLarge) {
      if (!(tooLarge instanceof FrameTooLargeError)) throw tooLarge;
      const short = error instanceof WireError ? error.inShort?.(tooLarge) : undefined;
      this.#writeFailure(call, short === undefined ? tooLarge : new WireError(short));
    }
  }

  #writeFailure(call: number, error: unknown): void {
    const start = this.link.begin(ToClient.FAILED);
    this.link.writer.u32(call);
    writeError(this.link.writer, error);
    this.link.end(start);
  }

  event(handle: number, event: string, item: Item): void {
    const start = this.link.begin(ToClient.EVENT);
    this.link.writer.u32(handle);
    this.link.writer.text(event);
    this.link.writer.item(item);
    this.link.end(start);
  }

  /** One of this session's handles on that object, if it has any. */
  handleOn(object: SharedObject): number | undefined {
    for (const [number, handle] of this.handles) if (handle.object === object && !handle.hold) return number;
    return undefined;
  }

  /** Opens a handle; what is wrong with the object is kept for the first call. */
  attach(number: number, find: () => SharedObject): void {
    if (number === 0 || this.handles.has(number)) throw new ProtocolError(`handle ${number} is open already`);
    try {
      const object = find();
      object.references++;
      this.handles.set(number, { object, error: undefined, hold: undefined });
    } catch (error) {
      this.handles.set(number, { object: undefined, error, hold: undefined });
    }
  }

  /** A proxy of the object is on its way to the client, which keeps it alive until a handle on it is opened. */
  lend(object: SharedObject): void {
    object.references++;
    if (this.ended) this.manager.release(object);
    else this.#lent.push(object);
  }

  takeBack(id: number): void {
    const at = this.#lent.findIndex((object) => object.id === id);
    if (at !== -1) for (const object of this.#lent.splice(at, 1)) this.manager.release(object);
  }

  drop(handle: number): void {
    const entry = this.handles.get(handle);
    if (entry === undefined) return;
    this.handles.delete(handle);
    if (entry.hold !== undefined) entry.hold.end();
    else if (entry.object !== undefined) this.manager.release(entry.object);
    const taker = this.takers.get(handle);
    if (taker !== undefined && entry.object instanceof Tasks) entry.object.takers.leave(taker);
  }

  /** Everything that the session held goes, in this turn. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    for (const call of [...this.parked.values()]) call.cancelled();
    for (const entry of this.handles.values()) entry.hold?.end();
    for (const release of [...this.holdings]) release();
    this.holdings.clear();
    const objects = [...this.handles.values()];
    this.handles.clear();
    for (const entry of objects) if (!entry.hold && entry.object) this.manager.release(entry.object);
    for (const object of this.#lent.splice(0)) this.manager.release(object);
    this.#outbox = [];
  }

  /** What the value names by this session's handles it names by the manager's ids from here on. */
  adopt(item: Item, depth = 0): Item {
    if (Array.isArray(item)) {
      if (depth === MAX_LISTS) throw new ProtocolError(`a message nests lists deeper than ${MAX_LISTS}`);
      return item.map((part: Item) => this.adopt(part, depth + 1));
    }
    if (!(item instanceof Packed) || item.proxies.length === 0) return item;
    const proxies = item.proxies.map((ref): ProxyRef => {
      const object = ref.local ? this.#objectOf(ref.id) : this.manager.objectById(ref.id);
      object.pinned = true;
      return { id: object.id, local: false, typeId: object.type.typeId, name: object.name };
    });
    return new Packed(item.bytes, proxies, item.jobs);
  }

  #objectOf(handle: number): SharedObject {
    const entry = this.entry(handle);
    if (entry.object === undefined) throw entry.error;
    return entry.object;
  }

  /** What the client has opened under that number. */
  entry(handle: number): Handle {
    const entry = this.handles.get(handle);
    if (entry === undefined) throw new ProtocolError(`no handle ${handle} is open`);
    return entry;
  }

  #open(reader: Reader): void {
    const number = reader.u32();
    const typeId = reader.text();
    const name = reader.scalar();
    const options = reader.item();
    this.attach(number, () =>
      this.manager.open(typeId, typeof name === 'string' ? name : undefined, this.adopt(options)),
    );
  }

  #call(reader: Reader): void {
    const id = reader.u32();
    const handle = reader.u32();
    const method = reader.u8();
    const guard = method & GUARDED ? { lock: reader.u32(), grant: reader.u48() } : undefined;
    const args: Item[] = [];
    while (reader.left > 0) args.push(reader.item());
    if (handle === 0) {
      this.manager.answer(new Call(this, id, false), method & ~GUARDED, args);
      return;
    }
    const entry = this.handles.get(handle);
    if (entry === undefined) throw new ProtocolError(`no handle ${handle} is open`);
    const { object, hold } = entry;
    const call = new Call(this, id, hold !== undefined);
    if (object === undefined) return call.fail(entry.error);
    const number = method & ~GUARDED;
    if (guard !== undefined) call.guard = () => this.#checkGuard(guard.lock, guard.grant);
    const invoke = (): Answer | Promise<Answer> => {
      hold?.check();
      call.guard?.();
      const implementation = object.type.methods[number];
      if (implementation === undefined) throw new UnknownMethodError(`${object.title} has no method ${number}`);
      return implementation.call(
        object,
        call,
        args.map((arg) => this.adopt(arg)),
      );
    };
    if (object.type.awaits) {
      const gate = hold?.gate ?? object.gate;
      call.hold = hold;
      if (gate.free) return answerFree(call, invoke, gate);
      call.park(() => {});
      void gate.acquire().then((release) => answerLater(call, invoke).finally(release));
    } else if (hold !== undefined || object.gate.free || object.type.ungated.has(number)) {
      answerNow(call, invoke);
    } else {
      call.park(() => {});
      object.gate.enter(
        () => answerNow(call, invoke),
        () => !call.over,
      );
    }
  }

  #checkGuard(lock: number, grant: number): void {
    const object = this.handles.get(lock)?.object;
    if (!(object instanceof Lock) || !object.holds(grant, this)) {
      throw new NotLockOwnerError(`the guard given with this call no longer holds ${object?.title ?? 'its lock'}`);
    }
  }

  /** Whoever gives up is told which came first, so that nothing is given to somebody who has left. */
  #cancel(id: number): void {
    const call = this.parked.get(id);
    if (call === undefined) return;
    call.cancelled();
    const start = this.link.begin(ToClient.CANCELLED);
    this.link.writer.u32(id);
    this.link.end(start);
  }

  #hold(reader: Reader): void {
    const call = new Call(this, reader.u32(), false);
    const handle = reader.u32();
    const { object, error, hold: outer } = this.entry(handle);
    const alias = reader.u32();
    const timeout = reader.f64();
    if (alias === 0 || this.handles.has(alias)) throw new ProtocolError(`handle ${alias} is open already`);
    if (object === undefined) return call.fail(error);
    if (outer !== undefined) {
      return call.fail(new DeadlockError(`${object.title} is held already, and a held object must not wait`));
    }
    const begin = (release: () => void): void => {
      if (this.handles.has(alias)) {
        release();
        return this.link.close(new ProtocolError(`handle ${alias} is open already`));
      }
      const hold = new Hold(object, this, handle, release, timeout);
      this.handles.set(alias, { object, error: undefined, hold });
      call.answer();
    };
    const release = object.gate.tryAcquire();
    if (release !== undefined) return begin(release);
    call.park(() => {});
    void object.gate.acquire().then((release) => {
      if (call.over) release();
      else begin(release);
    });
  }
}
