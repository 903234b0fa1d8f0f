/**
 * The taking side of a task queue in one client: `get()` and `getNowait()`, and the window under them.
 *
 * The window is a handful of leased tasks that wait here, so that the next one is there when one ends. Its size is
 * measured in time: as many tasks as make four milliseconds of work by the durations seen here, so that half are left
 * when the ends of the others have been sent and more comes; one to begin with. It grows past one only with a helper thread,
 * which can give un-started tasks back while a handler keeps the main thread busy (a client of a manager in its own
 * process needs none: they share the thread).
 */
import { errorFrom } from '../protocol/errors.ts';
import { methods, TaskFlags, ToClient } from '../protocol/messages.ts';
import type { Item, Reader } from '../protocol/wire.ts';
import { Deque } from '../queue/deque.ts';
import type { LeasedTask } from '../tasks.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import { Asks } from './asks.ts';
import type { Connection } from './connection.ts';
import { Durations } from './durations.ts';
import type { Helper } from './helper.ts';
import { HandlerTimes } from './handler-times.ts';
import { LeasedRange } from './leased-range.ts';
import type { Leased } from './leased-task.ts';
import { OwnBeats } from './own-beats.ts';
import { SharedWindow } from './shared-window.ts';
import { TakerNotes } from './taker-notes.ts';
import { TakerRanges } from './taker-ranges.ts';
import { readTask, type Taken, unrunnableFrom } from './task-arrival.ts';
import { isHalf, runsShort, windowFor } from './window-size.ts';

/** A window below this is fitted after every task, a larger one when ends leave and when it has run dry. */
const FEW = 8;
/** Tasks after which it is worth while to be fast at them: see `onMany`. */
const MANY = 256;
/** Un-started tasks that nobody asks for are given back after so long (ms): the loop has stopped. */
const IDLE_GIVE_BACK = 5;
/**
 * Below this mean duration (ms), starts are reported once a turn, not one by one, and what was said before a start need
 * not leave before it: should the handler block this thread, it waits for as long as that takes, on average the mean.
 */
const SHORT = 5;
/** Tasks of whose start the manager must hear before they start. */
const FIRST = TaskFlags.once | TaskFlags.timed | TaskFlags.careful;

export class TaskTaker {
  readonly connection: Connection;
  readonly handle: number;
  /** Starts the helper thread of this client, once; undefined where none is needed or possible. */
  readonly #startHelper: () => Helper | undefined;
  readonly #needsHelper: boolean;
  #loops = 0;
  /** Leased, handed to nobody yet. */
  readonly #window = new Deque<Taken>();
  /** Handed out, not ended. */
  readonly #running = new Map<number, Leased>();
  /** Likewise, of the worker loop, whose handler has not returned yet: nearly all have ended when it has. */
  #current: Leased | undefined = undefined;
  #shared: SharedWindow | undefined;
  #size = 1;
  /** The manager may have sent more than was asked for: it must be told what has started. */
  #windowed = false;
  readonly #durations = new Durations();
  readonly handlerTimes = new HandlerTimes();
  readonly #notes: TakerNotes;
  readonly ranges: TakerRanges;
  /** With what came last less than half of the window was filled: the manager had no more. */
  #scarce = false;
  /** Ends have left since tasks last came: more of them are on their way. */
  #refills = false;
  /** When a task last ended here. */
  #active = 0;
  /** Calls that ask for a task. */
  readonly #asks: Asks;
  /** Tasks on their way back. */
  #returning = 0;
  /** Of a spawned worker: called once it has run so many tasks that speed matters. */
  onMany: (() => void) | undefined;
  /** Called once nothing that was taken here is left: the proxy has been disposed of. */
  #done: (() => void) | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #beats: OwnBeats;

  constructor(connection: Connection, handle: number, helper: { start: () => Helper | undefined; needed: boolean }) {
    this.connection = connection;
    this.handle = handle;
    this.#startHelper = helper.start;
    this.#needsHelper = helper.needed;
    this.#notes = new TakerNotes(connection, handle, () => this.#runs);
    this.ranges = new TakerRanges(this, this.#notes, () => this.#shared);
    this.#beats = new OwnBeats(connection);
    this.#asks = new Asks(connection, this.#window, {
      size: () => this.#size,
      next: (ranges) => this.#nextFor(ranges),
      hand: (taken) => this.#hand(taken),
      watchIdle: () => this.#watchIdle(),
      checkDone: () => this.#checkDone(),
    });
  }

  /** `through`: the queue's handle, or that of a hold on it. */
  getNowait(through: number): Promise<LeasedTask | undefined> {
    const task = this.next();
    return task === undefined ? (this.#nowait(through, false) as Promise<Leased>) : Promise.resolve(this.#hand(task));
  }

  /** The same for the worker loop. */
  loopNowait(): Promise<Taken | undefined> {
    const taken = this.#nextFor(true);
    return taken === undefined ? this.#nowait(this.handle, true) : Promise.resolve(this.#hand(taken));
  }

  #nowait(through: number, ranges: boolean): Promise<Taken | undefined> {
    return this.#refills ? this.#readThenAsk(through, ranges) : this.#asks.ask(through, true, undefined, ranges);
  }

  /** What has been sent since some tasks ended lies in the socket, most likely: no need to ask. */
  async #readThenAsk(through: number, ranges: boolean): Promise<Taken | undefined> {
    this.#refills = false;
    // The first one still comes before the sockets are read again.
    for (let turn = 0; turn < 2 && this.#window.size === 0; turn++) await new Promise(setImmediate);
    const taken = this.#nextFor(ranges);
    return taken === undefined ? this.#asks.ask(through, true, undefined, ranges) : this.#hand(taken);
  }

  async get(through: number, wait?: WaitOptions): Promise<LeasedTask> {
    checkTimeout(wait?.timeout);
    wait?.signal?.throwIfAborted();
    const task = this.next();
    return task === undefined ? ((await this.#asks.ask(through, false, wait, false)) as Leased) : this.#hand(task);
  }

  /** The same for the worker loop. */
  async loopGet(wait?: WaitOptions): Promise<Taken> {
    const taken = this.#nextFor(true);
    return taken === undefined ? ((await this.#asks.ask(this.handle, false, wait, true)) as Taken) : this.#hand(taken);
  }

  /** To whoever asked; one that was taken away while its start was not heard tells so itself. */
  #hand<T extends Taken>(taken: T): T | Promise<T> {
    if (taken instanceof LeasedRange || !taken.unheard) return taken;
    return this.heard(taken).then(() => taken);
  }

  /** Waits until the manager has heard that the task starts. False where it was taken away meanwhile. */
  async heard(task: Leased): Promise<boolean> {
    await this.settled();
    task.unheard = false;
    task.startedAt = performance.now();
    if (task.lost === undefined) return true;
    task.release().catch(() => {});
    return false;
  }

  /** Handed out, and not ended. */
  get running(): readonly Leased[] {
    this.ranges.apart();
    const running = [...this.#running.values()];
    return this.#current === undefined ? running : [...running, this.#current];
  }

  /** For how long nothing has run here (ms). */
  get idleFor(): number {
    return this.#running.size > 0 || this.ranges.any ? 0 : performance.now() - this.#active;
  }

  /** Starts the helper now: this is a worker. */
  prepare(): void {
    this.#share();
  }

  /** One worker loop more takes here, or one less: with any, this is a worker that a broadcast goes to. */
  loops(by: 1 | -1): void {
    const before = this.#loops;
    this.#loops += by;
    if ((before === 0 || this.#loops === 0) && !this.connection.closed) this.#sayLoops();
  }

  #sayLoops(): void {
    this.#notes.loops(this.#loops > 0, this.#shared !== undefined);
  }

  /** Gives back what nobody has started. */
  giveBack(): void {
    this.#rest();
    this.#resize(1);
    for (let task = this.#take(undefined); task !== undefined; task = this.#take(undefined)) this.#return(task);
  }

  #return(task: Taken): void {
    this.#returning++;
    const settled = (): void => {
      this.#returning--;
    };
    try {
      task.giveBack(settled);
    } catch {
      // The connection has gone, and the lease with it.
      settled();
    }
  }

  /** Nobody takes any more: calls `done` when no task that was taken here, or asked for, is left. */
  whenDone(done: () => void): void {
    this.giveBack();
    this.#done = done;
    this.#checkDone();
  }

  /** A task has been handed out and has not ended. */
  get #runs(): boolean {
    return this.#current !== undefined || this.#running.size > 0 || this.ranges.any;
  }

  #checkDone(): void {
    if (this.#done === undefined || this.#runs || this.#asks.any || this.#window.size > 0) return;
    this.#rest();
    this.#done();
    this.#done = undefined;
  }

  /** Resolves when the manager has heard all that was said here, or nobody can hear it any more. */
  async settled(): Promise<void> {
    await this.connection.call(0, methods.manager.indexOf('ping'), []).catch(() => {});
  }

  /** TASK, STOP and LOST frames. */
  frame(kind: number, reader: Reader): void {
    if (kind === ToClient.TASK) return this.#arrived(reader);
    const lease = reader.u48();
    const error = errorFrom(reader.item(), this.connection.codec);
    const task = this.#running.get(lease) ?? (this.#current?.lease === lease ? this.#current : undefined);
    if (kind === ToClient.STOP) return task?.stop(error);
    if (task !== undefined) return task.lose(error, true);
    if (this.ranges.lose(lease, error)) return;
    for (const waiting of this.#window) if (waiting.lease === lease) waiting.lose(error);
    // It never begins, or has ended meanwhile.
    this.#notes.ended(lease);
  }

  /** The manager tells this queue's own lease timeout, or asks for what has not been started. */
  event(event: string, item: Item): void {
    if (event === 'unrunnable') return void this.connection.emit('unrunnable', unrunnableFrom(item));
    if (event !== 'leaseTimeout' || typeof item !== 'number') return;
    this.#startHelper()?.beatEvery(item / 5);
    this.#beats.within(item);
  }

  sessionEnded(reason: Error): void {
    this.#rest();
    this.#window.clear();
    this.#shared = undefined;
    this.#size = 1;
    this.#windowed = false;
    this.#returning = 0;
    this.#refills = false;
    this.#notes.sessionEnded();
    const running = [...this.#running.values(), ...(this.#current === undefined ? [] : [this.#current])];
    this.#running.clear();
    this.#current = undefined;
    this.#restBeats();
    for (const task of running) task.lose(reason);
    this.ranges.sessionEnded(reason);
    if (this.#loops > 0 && !this.connection.closed) this.#sayLoops();
    this.#checkDone();
  }

  /** A task has been completed or failed here, at `now`, after `ran` ms. */
  ended(task: Leased, ran: number, now: number): void {
    this.returned(task);
    if (!task.ofRange) this.#hasRun(ran, now);
  }

  /** A range has ended here, likewise, and its outputs have left: more is on its way. */
  rangeEnded(ran: number, now: number): void {
    this.#hasRun(ran, now);
    this.#fit();
    this.#refills = this.#size > 1;
    if (this.#done !== undefined) this.#checkDone();
  }

  #hasRun(ran: number, now: number): void {
    this.#durations.add(ran);
    this.#active = now;
    const left = this.#window.size;
    const early = this.#scarce && runsShort(left, this.#size);
    const due = this.#notes.mustSend(now) || early || isHalf(this.#size, left, this.#notes.ends);
    if (due || left === 0 || this.#size < FEW) this.#fit();
    if (due) {
      this.connection.link.flush();
      this.#refills = this.#size > 1 && !this.#asks.oneByOne;
    }
    if (this.#idle === undefined && this.#window.size > 0) this.#watchIdle();
  }

  /** A task is no longer run here. */
  returned(task: Leased): void {
    if (task === this.#current) this.#current = undefined;
    else this.#running.delete(task.lease);
    if (this.#beats.on && !this.#runs) this.#restBeats();
    if (this.#done !== undefined) this.#checkDone();
  }

  /** A task whose lease the manager took has ended here. */
  endedLate(task: Leased): void {
    this.#notes.ended(task.lease);
    this.returned(task);
  }

  /** For the worker loop: when the task ended, at this very moment; undefined where it has not. */
  endOf(task: Leased): number | undefined {
    return task.lost === undefined && task !== this.#current ? this.#active : undefined;
  }

  /** For the worker loop: the task goes on after its handler has returned. */
  keep(task: Leased): void {
    if (task === this.#current) this.#current = undefined;
    this.#running.set(task.lease, task);
  }

  #arrived(reader: Reader): void {
    while (reader.left > 0) {
      const taken = readTask(this, reader);
      // While the window goes back, what was sent before the manager heard of it follows: earlier tasks are in front.
      if (this.#returning > 0 || !this.#shows(taken)) {
        this.#return(taken);
        continue;
      }
      this.#window.push(taken);
      this.#refills = false;
      if (this.#asks.any) this.#asks.serveSoon();
      else if (this.#idle === undefined) this.#watchIdle();
      // While tasks are leased and no helper beats, the main thread does.
      if (this.#shared === undefined && !this.#beats.on) this.#beats.begin();
    }
    this.#scarce = 2 * this.#window.size < this.#size;
  }

  /** Where the helper looks at the window, it sees it there. False where there is no place for it. */
  #shows(taken: Taken): boolean {
    const shared = this.#shared;
    if (shared === undefined) return true;
    if (this.ranges.any) this.ranges.makeRoom(shared);
    return (taken.shared = shared.add(taken.lease, taken instanceof LeasedRange));
  }

  /** The next task of the window that is still ours, now the caller's. */
  next(): Leased | undefined {
    let task = this.#take(undefined);
    for (; task instanceof LeasedRange; task = this.#take(undefined)) this.#return(task);
    if (task !== undefined) this.#running.set(task.lease, task);
    return task;
  }

  #nextFor(ranges: boolean): Taken | undefined {
    return ranges ? this.start(undefined, true) : this.next();
  }

  /** The same for the worker loop, at `now`: it runs one task in this turn, until that has ended or is kept. */
  start(now: number | undefined, later = false): Taken | undefined {
    const task = this.#take(now);
    if (this.#current !== undefined) this.keep(this.#current);
    if (task instanceof LeasedRange) task.open();
    else if (task !== undefined && later) this.#running.set(task.lease, task);
    else this.#current = task;
    return task;
  }

  #take(at: number | undefined): Taken | undefined {
    for (let task = this.#window.shift(); task !== undefined; task = this.#window.shift()) {
      const now = at ?? performance.now();
      if (task.shared && !this.#isOurs(task, now)) {
        // Given back, and nothing more was sent: this thread had been busy for too long, which is over.
        this.#size = 1;
        this.#fit();
        continue;
      }
      if (task.lost !== undefined) continue;
      task.startedAt = now;
      if (task instanceof LeasedRange) return task;
      if (this.#windowed || task.flags & FIRST) this.#tellStart(task);
      return task;
    }
    this.#shared?.touch();
    return undefined;
  }

  /** The first of the window that the helper sees, at `now`: false where it has been given back. */
  #isOurs(task: Taken, now: number): boolean {
    if (!(task instanceof LeasedRange)) return this.#shared?.start(now) !== false;
    task.slot = this.#shared?.open(now) ?? -1;
    return task.slot >= 0;
  }

  /** As many as fit into the window's time. */
  #fit(): void {
    if (this.onMany !== undefined && this.#durations.count >= MANY) {
      this.onMany();
      this.onMany = undefined;
    }
    if (this.#shared?.tookBack() === true) this.#durations.doubt();
    this.#resize(windowFor(this.#durations, this.handlerTimes, this.#size));
  }

  #resize(size: number): void {
    if (size === this.#size) return;
    if (size > 1 && this.#needsHelper && !this.#share()) return;
    this.#size = size;
    if (size > 1) this.#windowed = true;
    this.#notes.window(size);
  }

  /** A window that the helper sees; false where there is no helper. */
  #share(): boolean {
    if (this.#shared !== undefined) return true;
    if (this.#window.size > 0) return false;
    const helper = this.#startHelper();
    if (helper === undefined) return false;
    this.#shared = new SharedWindow();
    helper.watch(this.handle, this.#shared);
    if (this.#loops > 0) this.#sayLoops();
    return true;
  }

  /** The manager must know what has started, should this process end: before a long or new one, soon for short ones. */
  #tellStart(task: Leased): void {
    const { lease, flags, name } = task;
    if ((flags & FIRST) !== 0) task.unheard = !this.#notes.starts(lease);
    else if (this.#notes.isNew(name) || this.#durations.mean >= SHORT) this.#notes.starts(lease);
    else this.#notes.startsSoon(lease);
  }

  /** Un-started tasks must not wait for a loop that has stopped. */
  #watchIdle(): void {
    this.#idle ??= setTimeout(() => {
      this.#idle = undefined;
      if (this.#window.size === 0) return;
      const busy = this.#runs || this.#asks.any;
      if (busy || performance.now() - this.#active < IDLE_GIVE_BACK) this.#watchIdle();
      else this.giveBack();
    }, IDLE_GIVE_BACK).unref();
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
  }

  #restBeats(): void {
    if (this.#window.size === 0) this.#beats.end();
  }
}
