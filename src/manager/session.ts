/**
 * The manager's side of one connection: the lifetime of everything its client holds.
 *
 * Frames of one client are handled in the order in which they came. What a call does to an object passes the object's
 * gate; what must wait is parked. When the session ends, one place (`end`) lets go of all of it: parked calls, holds,
 * guards, leases, references.
 */
import { FrameTooLargeError, LeaseLostError, ProtocolError } from '../errors.ts';
import { WireError, writeError } from '../protocol/errors.ts';
import { lazily } from '../protocol/lazily.ts';
import { ToClient, ToManager } from '../protocol/messages.ts';
import { orderToClient } from '../protocol/order.ts';
import { type Item, MAX_LISTS, Packed, type Reader } from '../protocol/wire.ts';
import type { OfferSpec } from '../queue/demands.ts';
import type { Link } from '../transport/link.ts';
import type { Side } from '../transport/long-frames.ts';
import { optionMap } from './arguments.ts';
import type { Call } from './call.ts';
import { readCall, readHold } from './call-frames.ts';
import { Coalesced } from './coalesced.ts';
import type { ManagerCore } from './core.ts';
import { Feeds } from './feed.ts';
import type { Hold } from './hold.ts';
import { Loans } from './loans.ts';
import { SessionArenas } from './session-arenas.ts';
import { eachNamed, mayName, ObjectRef } from './references.ts';
import type { SharedObject } from './shared-object.ts';
import { isTasks } from './tasks/is-tasks.ts';
import type { Taker } from './tasks/taker.ts';

/** Task queues are the larger half of a manager's code; it is loaded when one is asked for. */
const taskFrames = lazily<typeof import('./task-frames.ts')>(new URL('./task-frames.js', import.meta.url));

/** Who is at the other end, as they say. */
export interface Peer {
  readonly pid: number;
  readonly host: string;
  readonly name: string;
  /** Of a worker that a group of another session spawned and vouches for. */
  readonly ticket: string | undefined;
}

/** What a client has opened under a number. */
export interface Handle {
  readonly object: SharedObject | undefined;
  /** Why there is no object: told at the first call. */
  readonly error: unknown;
  hold: Hold | undefined;
}

/** How long frames go from a manager. */
export const sideOfManager: Side = { sends: ToClient, takes: ToManager, order: orderToClient };

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
  /** By handle of a task queue: what is offered by whoever takes through it, where that is more than a name. */
  readonly offers = new Map<number, OfferSpec>();
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
  /** Its process has ended, as its group says: what it sent before is read to its end, and it is given no more tasks. */
  processEnded = false;
  ended = false;
  #done = new Coalesced(ToClient.DONE);
  #accepted = new Coalesced(ToClient.ACCEPTED);
  #outbox: (() => void)[] = [];
  #loans: Loans | undefined;
  #arenas: SessionArenas | undefined;
  #paused = false;
  /** Of the chunk in hand: frames, and those of them that are calls of a proxy. */
  #frames = 0;
  #calls = 0;

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

  /** More waits to be sent than may: nothing more is read from the client, and outcomes wait for it. */
  get congested(): boolean {
    return this.link.pending > this.manager.pendingBytes;
  }

  /** The helper gives back un-started tasks of this session. */
  giveBack(reader: Reader): void {
    const handle = reader.u32();
    const leases: number[] = [];
    for (let count = reader.u32(); count > 0; count--) leases.push(reader.u48());
    const taker = this.takers.get(handle);
    const object = this.handles.get(handle)?.object;
    if (taker !== undefined && isTasks(object)) object.takers.gaveBack(taker, leases);
  }

  frame(kind: number, reader: Reader): void {
    if (this.ended) return;
    this.#frames++;
    switch (kind) {
      case ToManager.PUT:
        return taskFrames().readPuts(this, reader);
      case ToManager.COMPLETE:
        return taskFrames().readCompletes(this, reader);
      case ToManager.TAKE:
      case ToManager.FAIL:
      case ToManager.RELEASE:
      case ToManager.EXTEND:
      case ToManager.GRAPH:
        return taskFrames().readTaskCall(this, kind, reader);
      case ToManager.CALL:
        this.#calls++;
        return readCall(this, reader);
      case ToManager.STARTED:
      case ToManager.PROGRESS:
      case ToManager.WINDOW:
      case ToManager.LEND:
      case ToManager.RECLAIM:
      case ToManager.LOOP:
      case ToManager.ENDED:
      case ToManager.ITEMS:
      case ToManager.APART:
        return taskFrames().readTaskNote(this, kind, reader);
      case ToManager.NAME: {
        const index = reader.u16();
        this.taskNames[index] = this.manager.internName(reader.text());
        return;
      }
      case ToManager.OPEN:
        return this.#open(reader);
      case ToManager.DROP:
        return this.drop(reader.u32());
      case ToManager.ABANDON:
        return this.#abandon(reader.u32());
      case ToManager.CANCEL:
        return this.#cancel(reader.u32());
      case ToManager.HOLD:
        return readHold(this, reader);
      case ToManager.BEAT:
        return;
      case ToManager.RETURNED:
        return this.#lending.returned();
      case ToManager.WANT_ARENA:
      case ToManager.OPENED:
      case ToManager.COPIED:
        return this.arenas.frame(kind, reader);
      case ToManager.READ:
        return this.feeds.read(reader.u32(), reader.u32());
      default:
        throw new ProtocolError(`a frame of unknown kind ${kind}`);
    }
  }

  /** The chunk has been handled: stop reading where the client does not read its answers. */
  turnEnded(): void {
    const alone = this.#frames === 1 && this.#calls === 1;
    this.#frames = this.#calls = 0;
    this.manager.pace?.turn(this, alone);
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
    if (error instanceof WireError) this.lendNamed(error.item);
    const start = this.link.begin(ToClient.FAILED);
    this.link.writer.u32(call);
    writeError(this.link.writer, error);
    this.link.end(start);
  }

  event(handle: number, event: string, item: Item): void {
    this.lendNamed(item);
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

  /** The value is on its way to the client: what it names lives until the client has had time to open handles. */
  lendNamed(value: Item): void {
    if (mayName(value)) eachNamed(value, (object) => this.lend(object));
  }

  /** A proxy of the object is on its way to the client. */
  lend(object: SharedObject): void {
    if (this.ended) this.manager.collector.doubt(object);
    else this.#lending.lend(object);
  }

  get #lending(): Loans {
    return (this.#loans ??= new Loans(this));
  }

  /** What the client has of arenas: made for the first large value. */
  get arenas(): SessionArenas {
    return (this.#arenas ??= new SessionArenas(this));
  }

  get hasArenas(): boolean {
    return this.#arenas !== undefined;
  }

  /** No region of that arena will be named any more. */
  arenaGone(arena: number): void {
    this.#arenas?.gone(arena);
  }

  drop(handle: number): void {
    const entry = this.handles.get(handle);
    if (entry === undefined) return;
    this.handles.delete(handle);
    entry.hold?.end();
    if (entry.object !== undefined) this.manager.release(entry.object);
    const taker = this.takers.get(handle);
    this.offers.delete(handle);
    if (taker !== undefined && isTasks(entry.object)) entry.object.takers.leave(taker);
  }

  /** The client has lost sight of the proxy: whoever waits on the object through it does not. */
  #abandon(handle: number): void {
    const object = this.handles.get(handle)?.object;
    for (const call of this.parked.values()) if (call.object === object) return;
    this.drop(handle);
  }

  /** Everything that the session held goes, in this turn. */
  end(): void {
    if (this.ended) return;
    this.ended = true;
    // Last come, first gone: one that leaves may let through whoever came after it, and that must be none of these.
    for (const call of [...this.parked.values()].reverse()) call.cancelled();
    for (const entry of this.handles.values()) entry.hold?.end();
    for (const release of [...this.holdings]) release();
    this.holdings.clear();
    const objects = [...this.handles.values()];
    this.handles.clear();
    for (const { object } of objects) if (object !== undefined) this.manager.release(object);
    this.#loans?.end();
    this.#arenas?.end();
    this.#outbox = [];
  }

  /** What the value names by this session's handles it names by the objects themselves from here on. */
  adopt(item: Item, depth = 0): Item {
    if (Array.isArray(item)) {
      if (depth === MAX_LISTS) throw new ProtocolError(`a message nests lists deeper than ${MAX_LISTS}`);
      return item.map((part: Item) => this.adopt(part, depth + 1));
    }
    if (!(item instanceof Packed) || item.proxies.length === 0) return item;
    const proxies = item.proxies.map(
      (ref) => new ObjectRef(ref.local ? this.#objectOf(ref.id) : this.manager.objectById(ref.id)),
    );
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
    this.attach(number, () => {
      const given = optionMap(this.adopt(options));
      const offer = typeId === 'tasks' ? given.get('offer') : undefined;
      if (offer !== undefined) this.offers.set(number, taskFrames().offerOf(offer, this.peer.name));
      given.delete('offer');
      return this.manager.open(typeId, typeof name === 'string' ? name : undefined, given);
    });
  }

  /**
   * `end` is called when the lease ends before the function returned is; of one that `waits` before others.
   * @throws LeaseLostError
   */
  bind(lease: number, end: () => void, waits: boolean): () => void {
    for (const taker of this.takers.values()) if (taker.leases.has(lease)) return taker.bind(lease, end, waits);
    throw new LeaseLostError(`lease ${lease} has ended: what is taken for its attempt would outlive it`);
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
}
