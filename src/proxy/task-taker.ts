/**
 * The taking side of a task queue in one client: `get()` and `getNowait()`, and the window under them.
 *
 * The window is a handful of leased tasks that wait here, so that the next one is there when one ends. Its size is
 * measured in time: as many tasks as make two milliseconds of work by the durations seen here, so that one is left when
 * the ends of the first have been sent and more comes; one to begin with. It grows past one only with a helper thread,
 * which can give un-started tasks back while a handler keeps the main thread busy (a client of a manager in its own
 * process needs none: they share the thread).
 */
import { errorFrom } from '../protocol/errors.ts';
import { methods, TaskFlags, ToClient, ToManager } from '../protocol/messages.ts';
import type { Item, Reader } from '../protocol/wire.ts';
import { Deque } from '../queue/deque.ts';
import type { LeasedTask } from '../tasks.ts';
import { checkTimeout, type WaitOptions } from '../waiting.ts';
import type { Connection } from './connection.ts';
import { Durations } from './durations.ts';
import type { Helper } from './helper.ts';
import type { Leased } from './leased-task.ts';
import { MAX_WINDOW, SharedWindow } from './shared-window.ts';
import { TakerNotes } from './taker-notes.ts';
import { PendingTake, readTask, unrunnableFrom } from './task-arrival.ts';

/** How much work a window holds (ms). */
const WINDOW_TIME = 2;
/** Of tasks of up to this duration (ms) one waits behind the one that runs: a round trip would cost some percent. */
const AHEAD = 5;
/** Durations seen before the window grows. */
const SEEN = 8;
/** A window below this is fitted after every task, a larger one when ends leave. */
const FEW = 8;
/** Un-started tasks that nobody asks for are given back after so long (ms): the loop has stopped. */
const IDLE_GIVE_BACK = 5;
/**
 * Below this mean duration (ms), starts are reported once a turn, not one by one, and what was said before a start need
 * not leave before it: should the handler block this thread, it waits for as long as that takes, on average the mean.
 */
const SHORT = 5;
/** Tasks of whose start the manager must hear before they start. */
const FIRST = TaskFlags.once | TaskFlags.timed;

export class TaskTaker {
  readonly connection: Connection;
  readonly handle: number;
  /** Starts the helper thread of this client, once; undefined where none is needed or possible. */
  readonly #startHelper: () => Helper | undefined;
  readonly #needsHelper: boolean;
  #loops = 0;
  /** Leased, handed to nobody yet. */
  readonly #window = new Deque<Leased>();
  /** Handed out, not ended. */
  readonly #running = new Map<number, Leased>();
  /** Likewise, of the worker loop, whose handler has not returned yet: nearly all have ended when it has. */
  #current: Leased | undefined = undefined;
  #shared: SharedWindow | undefined;
  #size = 1;
  /** The manager may have sent more than was asked for: it must be told what has started. */
  #windowed = false;
  readonly #durations = new Durations();
  readonly #notes: TakerNotes;
  /** Ends have left since tasks last came: more of them are on their way. */
  #refills = false;
  /** When a task last ended here. */
  #active = 0;
  /** Calls that ask for a task, and whom they are for. */
  readonly #asking = new Map<number, (task: LeasedTask | Promise<LeasedTask>) => void>();
  #serving = false;
  /** Tasks on their way back. */
  #returning = 0;
  /** Called once nothing that was taken here is left: the proxy has been disposed of. */
  #done: (() => void) | undefined;
  #idle: NodeJS.Timeout | undefined;
  #beats: NodeJS.Timeout | undefined;
  #leaseTimeout: number;

  constructor(connection: Connection, handle: number, helper: { start: () => Helper | undefined; needed: boolean }) {
    this.connection = connection;
    this.handle = handle;
    this.#startHelper = helper.start;
    this.#needsHelper = helper.needed;
    this.#notes = new TakerNotes(connection, handle, () => this.#runs);
    this.#leaseTimeout = connection.welcome.leaseTimeout;
  }

  /** `through`: the queue's handle, or that of a hold on it. */
  getNowait(through: number): Promise<LeasedTask | undefined> {
    const task = this.next();
    if (task !== undefined) return Promise.resolve(this.#hand(task));
    return this.#refills ? this.#readThenAsk(through) : this.#ask(through, true, undefined);
  }

  /** What has been sent since some tasks ended lies in the socket, most likely: no need to ask. */
  async #readThenAsk(through: number): Promise<LeasedTask | undefined> {
    this.#refills = false;
    // The first one still comes before the sockets are read again.
    for (let turn = 0; turn < 2 && this.#window.size === 0; turn++) await new Promise(setImmediate);
    const task = this.next();
    return task === undefined ? this.#ask(through, true, undefined) : this.#hand(task);
  }

  async get(through: number, wait?: WaitOptions): Promise<LeasedTask> {
    checkTimeout(wait?.timeout);
    wait?.signal?.throwIfAborted();
    const task = this.next();
    return task === undefined ? ((await this.#ask(through, false, wait)) as LeasedTask) : this.#hand(task);
  }

  /** To whoever asked; one that was taken away while its start was not heard tells so itself. */
  #hand(task: Leased): Leased | Promise<Leased> {
    return task.unheard ? this.heard(task).then(() => task) : task;
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
    const running = [...this.#running.values()];
    return this.#current === undefined ? running : [...running, this.#current];
  }

  /** For how long nothing has run here (ms). */
  get idleFor(): number {
    return this.#running.size > 0 ? 0 : performance.now() - this.#active;
  }

  /** Starts the helper now: this is a worker. */
  prepare(): void {
    this.#share();
  }

  /** One worker loop more takes here, or one less: with any, this is a worker that a broadcast goes to. */
  loops(by: 1 | -1): void {
    const before = this.#loops;
    this.#loops += by;
    if ((before === 0 || this.#loops === 0) && !this.connection.closed) this.#notes.loops(this.#loops > 0);
  }

  /** Gives back what nobody has started. */
  giveBack(): void {
    this.#rest();
    this.#resize(1);
    for (let task = this.next(); task !== undefined; task = this.next()) this.#return(task);
  }

  #return(task: Leased): void {
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
    return this.#current !== undefined || this.#running.size > 0;
  }

  #checkDone(): void {
    if (this.#done === undefined || this.#runs || this.#asking.size + this.#window.size > 0) return;
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
    for (const waiting of this.#window) if (waiting.lease === lease) waiting.lose(error);
    // It never begins, or has ended meanwhile.
    this.#notes.ended(lease);
  }

  /** The manager tells this queue's own lease timeout, or asks for what has not been started. */
  event(event: string, item: Item): void {
    if (event === 'unrunnable') return void this.connection.emit('unrunnable', unrunnableFrom(item));
    if (event !== 'leaseTimeout' || typeof item !== 'number') return;
    this.#leaseTimeout = item;
    this.#startHelper()?.beatEvery(item / 5);
    if (this.#beats !== undefined) {
      clearInterval(this.#beats);
      this.#beats = undefined;
      this.#beat();
    }
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
    const { running } = this;
    this.#running.clear();
    this.#current = undefined;
    this.#restBeats();
    for (const task of running) task.lose(reason);
    if (this.#loops > 0 && !this.connection.closed) this.#notes.loops(true);
    this.#checkDone();
  }

  /** A task has been completed or failed here, at `now`, after `ran` ms. */
  ended(task: Leased, ran: number, now: number): void {
    this.returned(task);
    this.#durations.add(ran);
    this.#active = now;
    // Ends leave while the other half of the window runs, so that more is here when it has.
    const half = this.#window.size > 0 && this.#window.size === this.#size >> 1;
    const due = this.#notes.mustSend(now) || half;
    if (due || this.#size < FEW) this.#fit();
    if (due) {
      this.connection.link.flush();
      this.#refills = this.#size > 1;
    }
    if (this.#idle === undefined && this.#window.size > 0) this.#watchIdle();
  }

  /** A task is no longer run here. */
  returned(task: Leased): void {
    if (task === this.#current) this.#current = undefined;
    else this.#running.delete(task.lease);
    if (this.#beats !== undefined && !this.#runs) this.#restBeats();
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
    if (task !== this.#current) return;
    this.#current = undefined;
    this.#running.set(task.lease, task);
  }

  #arrived(reader: Reader): void {
    while (reader.left > 0) {
      const task = readTask(this, reader);
      const shared = this.#shared;
      // While the window goes back, what was sent before the manager heard of it follows: earlier tasks are in front.
      if (this.#returning > 0 || (shared !== undefined && !(task.shared = shared.add(task.lease)))) {
        this.#return(task);
        continue;
      }
      this.#window.push(task);
      this.#refills = false;
      if (this.#asking.size > 0) this.#serveSoon();
      else if (this.#idle === undefined) this.#watchIdle();
      if (shared === undefined && this.#beats === undefined) this.#beat();
    }
  }

  /**
   * A task for the window may cross with a call that asks for one, which the manager then parks: whoever still waits
   * when the chunk has been read is served from here.
   */
  #serveSoon(): void {
    if (this.#serving) return;
    this.#serving = true;
    process.nextTick(() => {
      this.#serving = false;
      for (const [id, resolve] of this.#asking) {
        const task = this.#window.size === 0 ? undefined : this.next();
        if (task === undefined) return;
        this.#asking.delete(id);
        this.connection.cancel(id);
        resolve(this.#hand(task));
      }
    });
  }

  /** The next task of the window that is still ours, now the caller's. */
  next(): Leased | undefined {
    const task = this.#take(undefined);
    if (task !== undefined) this.#running.set(task.lease, task);
    return task;
  }

  /** The same for the worker loop, at `now`: it runs one task in this turn, until that has ended or is kept. */
  start(now: number | undefined): Leased | undefined {
    const task = this.#take(now);
    if (this.#current !== undefined) this.keep(this.#current);
    this.#current = task;
    return task;
  }

  #take(at: number | undefined): Leased | undefined {
    for (let task = this.#window.shift(); task !== undefined; task = this.#window.shift()) {
      const now = at ?? performance.now();
      if (task.shared && this.#shared?.start(now) === false) {
        // Given back, and nothing more was sent: this thread had been busy for too long, which is over.
        this.#size = 1;
        this.#fit();
        continue;
      }
      if (task.lost !== undefined) continue;
      task.startedAt = now;
      if (this.#windowed || task.flags & TaskFlags.timed) this.#tellStart(task);
      return task;
    }
    this.#shared?.touch();
    return undefined;
  }

  #ask(through: number, nowait: boolean, wait: WaitOptions | undefined): Promise<LeasedTask | undefined> {
    return new Promise((resolve, reject) => {
      this.connection.handles.check(through);
      let id = 0;
      const ask = (): void => {
        id = this.connection.begin(new PendingTake(answered, failed));
        this.#asking.set(id, resolve);
        const { link } = this.connection;
        const start = link.beginCall(ToManager.TAKE, id, through);
        link.writer.u8(nowait ? 1 : 0);
        link.writer.u16(this.#size);
        this.connection.finish(start, id);
        if (wait !== undefined) this.connection.watch(id, wait, failed, 'waiting for a task');
      };
      const failed = (error: unknown): void => {
        this.#asking.delete(id);
        if (this.#window.size > 0) this.#watchIdle();
        this.#checkDone();
        reject(error);
      };
      const answered = (count: number): void => {
        this.#asking.delete(id);
        const task = this.next();
        this.#checkDone();
        if (task !== undefined) resolve(this.#hand(task));
        else if (count === 0) resolve(undefined);
        // Another flow of this client, or the helper, was faster; whoever has left meanwhile is not heard of again.
        else if (wait?.signal?.aborted === true) failed(wait.signal.reason);
        else ask();
      };
      ask();
    });
  }

  /** As many as fit into the window's time, by durations that do not move it for a stroke of bad luck. */
  #fit(): void {
    const duration = this.#durations.upperQuartile;
    const fits = Math.max(duration <= AHEAD ? 2 : 1, Math.min(MAX_WINDOW, Math.floor(WINDOW_TIME / duration)));
    if (fits === this.#size || (this.#size > 1 && fits > this.#size / 1.5 && fits < this.#size * 1.5)) return;
    if (fits > 1 && this.#durations.count < SEEN) return;
    this.#resize(fits);
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
    return true;
  }

  /** The manager must know what has started, should this process end: before a long task, soon for short ones. */
  #tellStart(task: Leased): void {
    const { lease, flags } = task;
    if ((flags & FIRST) !== 0) task.unheard = !this.#notes.starts(lease);
    else if (this.#durations.mean >= SHORT) this.#notes.starts(lease);
    else this.#notes.startsSoon(lease);
  }

  /** Un-started tasks must not wait for a loop that has stopped. */
  #watchIdle(): void {
    this.#idle ??= setTimeout(() => {
      this.#idle = undefined;
      if (this.#window.size === 0) return;
      const busy = this.#runs || this.#asking.size > 0;
      if (busy || performance.now() - this.#active < IDLE_GIVE_BACK) this.#watchIdle();
      else this.giveBack();
    }, IDLE_GIVE_BACK).unref();
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
  }

  /** While tasks are leased and no helper beats, the main thread does. */
  #beat(): void {
    if (this.#beats !== undefined || this.#shared !== undefined) return;
    this.#beats = setInterval(() => {
      if (!this.connection.closed) this.connection.beat();
    }, this.#leaseTimeout / 5).unref();
  }

  #restBeats(): void {
    if (this.#window.size > 0) return;
    clearInterval(this.#beats);
    this.#beats = undefined;
  }
}
