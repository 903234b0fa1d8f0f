/**
 * What a manager is when nobody is connected yet: its objects by id and name, its sessions, its counters and its clock.
 * Transports, processes and files are elsewhere.
 */
import { randomBytes } from 'node:crypto';
import { ManagerGoneError, ProxyDisposedError, TypeMismatchError, UnknownMethodError } from '../errors.ts';
import { lazily } from '../protocol/lazily.ts';
import { GONE, methods } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { Link } from '../transport/link.ts';
import { textOf } from './arguments.ts';
import { Arenas } from './arenas.ts';
import type { Call } from './call.ts';
import { Collector } from './collector.ts';
import type { NewMutex } from './gate.ts';
import type { Pace } from './pace.ts';
import { Registry } from './registry.ts';
import { type Peer, Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';
import { Amounts } from '../queue/amounts.ts';
import type { TaskDefaults } from './tasks/options.ts';
import type { Tasks } from './tasks/tasks.ts';
import { Vouchers } from './vouchers.ts';

const inspections = lazily<typeof import('./inspect.ts')>(new URL('./inspect.js', import.meta.url));

export interface CoreOptions {
  readonly newMutex: NewMutex;
  readonly maxObjects: number;
  readonly tasks: TaskDefaults;
  /** Amounts of the host. */
  readonly resources: Readonly<Record<string, number>>;
  /** Most bytes that may wait to be sent to one session before nothing more is read from it. */
  readonly pendingBytes: number;
  /** Of a manager process: one in a program leaves the program's event loop alone. */
  readonly pace?: Pace | undefined;
  /** Called whenever tasks begin to be given out. */
  readonly leasing?: (() => void) | undefined;
}

/** How often (ms) a manager that drains looks whether it is done. */
const DRAIN_LOOK = 20;

export class ManagerCore {
  readonly registry = new Registry();
  /** By what custom types share of them. */
  readonly wrapped = new WeakMap<object, SharedObject>();
  readonly sessions = new Map<number, Session>();
  readonly vouchers = new Vouchers();
  readonly arenas = new Arenas();
  /** Ends unnamed objects that nobody can reach. */
  readonly collector: Collector;
  readonly newMutex: NewMutex;
  readonly taskDefaults: TaskDefaults;
  readonly pendingBytes: number;
  readonly pace: Pace | undefined;
  readonly #leasing: (() => void) | undefined;
  /** Changes at every start of a manager, upwards: the high part of every token. */
  readonly epoch = Date.now();
  readonly #maxObjects: number;
  readonly #objects = new Map<number, SharedObject>();
  readonly #named = new Map<string, SharedObject>();
  readonly #names = new Map<string, string>();
  readonly #started = performance.now();
  readonly #boards = new Set<Tasks>();
  #sessionIds = 0;
  #objectIds = 0;
  #leases = 0;
  #grants = 0;
  #beats: NodeJS.Timeout | undefined;
  #beatEvery = Infinity;
  #later: Set<() => void> = new Set();

  constructor(options: CoreOptions) {
    this.newMutex = options.newMutex;
    this.#maxObjects = options.maxObjects;
    this.taskDefaults = options.tasks;
    this.hostAmounts = new Amounts(options.resources);
    this.pendingBytes = options.pendingBytes;
    this.pace = options.pace;
    this.#leasing = options.leasing;
    this.collector = new Collector(
      (work) => this.later(work),
      (object) => {
        this.#objects.delete(object.id);
        object.dropped(new ProxyDisposedError(`${object.title} has been disposed of`));
      },
    );
  }

  /** Tenths of a millisecond since the start, monotonic. */
  now(): number {
    return this.at(performance.now());
  }

  /** The same of a reading of `performance.now()`. */
  at(reading: number): number {
    return Math.round((reading - this.#started) * 10);
  }

  /** The wall-clock time (ms since 1970) of a `now()`: for people only. */
  wallTime(at: number): number {
    return this.epoch + at / 10;
  }

  /** Amounts of the host, that all queues hold from. */
  readonly hostAmounts: Amounts;

  nextLease = (count = 1): number => {
    const first = this.#leases + 1;
    this.#leases += count;
    return first;
  };

  /** (epoch, sequence) as one number that grows across restarts. */
  tokenOf(sequence: number): bigint {
    return (BigInt(this.epoch) << 48n) | BigInt(sequence);
  }

  nextGrant(): number {
    return ++this.#grants;
  }

  /** Runs `work` once, after all that is being handled in this turn. */
  later(work: () => void): void {
    if (this.#later.size === 0) {
      process.nextTick(() => {
        const due = this.#later;
        this.#later = new Set();
        for (const each of due) each();
      });
    }
    this.#later.add(work);
  }

  /** One string for each name of a task, however often it comes. */
  internName(name: string): string {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    this.#names.set(name, name);
    return name;
  }

  join(link: Link, peer: Peer): Session {
    const session = new Session(this, ++this.#sessionIds, link, peer, randomBytes(16));
    this.sessions.set(session.id, session);
    if (peer.ticket !== undefined) this.vouchers.joined(peer.ticket, session);
    return session;
  }

  /** The connection has ended, and with it all that its session held. */
  left(session: Session): void {
    if (session.ended) return;
    this.sessions.delete(session.id);
    const boards = [...this.#boards];
    const losing = boards.flatMap((board) => board.sessionEnds(session));
    session.end();
    this.vouchers.left(session, (how) => {
      for (const lose of losing) lose(how);
    });
  }

  open(typeId: string, name: string | undefined, given: ReadonlyMap<string, Item>): SharedObject {
    const existing = name === undefined ? undefined : this.#named.get(name);
    if (existing !== undefined) {
      if (existing.type.typeId !== typeId) {
        throw new TypeMismatchError(`'${name}' is a ${existing.type.typeId}, not a ${typeId}; choose another name`);
      }
      existing.attach(given);
      return existing;
    }
    const { type, create } = this.registry.get(typeId);
    this.#checkRoom();
    return this.#add(create({ id: ++this.#objectIds, type, name, manager: this }, given));
  }

  /**
   * The shared object round something that a custom type's method returned: one, however often it is returned. It is on
   * loan to the borrower from here on, before the answer that names it is written.
   */
  wrap(value: object, make: (id: number) => SharedObject, borrower: Session): SharedObject {
    let object = this.wrapped.get(value);
    if (object === undefined) {
      this.#checkRoom();
      object = this.#add(make(++this.#objectIds));
    }
    borrower.lend(object);
    return object;
  }

  #checkRoom(): void {
    if (this.#objects.size < this.#maxObjects) return;
    this.collector.collect();
    if (this.#objects.size < this.#maxObjects) return;
    throw new RangeError(
      `the manager holds ${this.#objects.size} shared objects already; dispose of some, or raise limits.objects`,
    );
  }

  #add(object: SharedObject): SharedObject {
    this.#objects.set(object.id, object);
    if (object.name !== undefined) this.#named.set(object.name, object);
    return object;
  }

  objectById(id: number): SharedObject {
    const object = this.#objects.get(id);
    if (object === undefined) throw new ProxyDisposedError(`no shared object has the id ${id} any more`);
    return object;
  }

  /** Whatever is there at this moment, in the order in which it was made. */
  get objects(): ReadonlyMap<number, SharedObject> {
    return this.#objects;
  }

  /** One reference of a session less. */
  release(object: SharedObject): void {
    object.references--;
    this.collector.doubt(object);
  }

  /** Tells every session that has a handle on the object, once. */
  tellHolders(object: SharedObject, event: string, item: Item): void {
    for (const session of this.sessions.values()) {
      const handle = session.handleOn(object);
      if (handle !== undefined) session.whenWritable(() => session.event(handle, event, item));
    }
  }

  /** Calls on the manager itself. */
  answer(call: Call, method: number, args: readonly Item[]): void {
    try {
      switch (methods.manager[method]) {
        case 'inspectTasks':
          return call.answer(inspections().inspectTasks(this.#boards, args[0]));
        case 'inspectWorkers':
          return call.answer(inspections().inspectWorkers(this));
        case 'inspectLocks':
          return call.answer(
            inspections().inspectLocks(this.#objects.values(), this.sessions.values(), (grant) => this.tokenOf(grant)),
          );
        case 'vouch':
          return call.answer(
            this.vouchers.vouch(
              call.session,
              textOf(args[0], 'a ticket'),
              this.#sessionWith(textOf(args[0], 'a ticket')),
            ),
          );
        case 'workerGone':
          return call.answer(this.vouchers.gone(call.session, textOf(args[0], 'a ticket'), args[1], args[2], args[3]));
        case 'open': {
          call.session.attach(Number(args[0]), () => this.objectById(Number(args[1])));
          return call.answer();
        }
        case 'ping':
          return call.answer();
        case 'inspectObjects':
          return call.answer(inspections().inspectObjects(this, args[0]));
        default:
          throw new UnknownMethodError(`the manager has no method ${method}`);
      }
    } catch (error) {
      call.fail(error);
    }
  }

  #sessionWith(ticket: string): Session | undefined {
    for (const session of this.sessions.values()) if (session.peer.ticket === ticket) return session;
    return undefined;
  }

  /** Sessions that have asked for an arena. */
  sessionsWithArenas(): Session[] {
    return [...this.sessions.values()].filter(({ hasArenas }) => hasArenas);
  }

  /** No region of that arena will be named any more. */
  arenaGone(arena: number): void {
    for (const session of this.sessions.values()) session.arenaGone(arena);
  }

  addBoard(board: Tasks): void {
    this.#boards.add(board);
  }

  removeBoard(board: Tasks): void {
    this.#boards.delete(board);
  }

  get boards(): Iterable<Tasks> {
    return this.#boards;
  }

  /** Leases are out: watch over the silence of those who hold them. */
  watchLeases(every: number): void {
    if (this.#beats !== undefined && every >= this.#beatEvery) return;
    this.#leasing?.();
    clearInterval(this.#beats);
    this.#beatEvery = every;
    let looked = performance.now();
    this.#beats = setInterval(() => {
      const late = performance.now() - looked > 2 * every;
      looked = performance.now();
      // A manager that was itself held up has heard nobody: what they said meanwhile is read first.
      if (late) return;
      let leases = 0;
      for (const board of this.#boards) leases += board.takers.checkLeases();
      if (leases > 0) return;
      clearInterval(this.#beats);
      this.#beats = undefined;
    }, every).unref();
  }

  /** Resolves when no task is pending or running, or after `timeout` ms. */
  drained(timeout = Infinity): Promise<void> {
    const until = performance.now() + timeout;
    return new Promise((resolve) => {
      const look = (): void => {
        const busy = [...this.#boards].some((board) => board.unfinished > 0);
        if (!busy || performance.now() >= until) resolve();
        else setTimeout(look, DRAIN_LOOK);
      };
      look();
    });
  }

  /** Whoever waits for anything learns that the manager has gone. */
  close(): void {
    clearInterval(this.#beats);
    this.collector.close();
    const reason = new ManagerGoneError('the manager has been closed');
    for (const object of this.#objects.values()) object.dropped(reason);
    for (const session of [...this.sessions.values()]) {
      session.event(0, GONE, undefined);
      session.end();
    }
    this.sessions.clear();
    this.arenas.close();
    this.#objects.clear();
    this.#named.clear();
  }
}
