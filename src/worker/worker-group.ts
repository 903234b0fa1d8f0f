/**
 * Worker processes that are kept alive: spawned together, replaced when they end, stopped with the group. The group's
 * client vouches for them, so that the manager gives a task of a lost worker to another one only after the group has
 * seen the process end, or has ended it.
 *
 *     wanted = size (between its bounds) + one while a worker is recycled
 *     spawn ──▶ starting ──ready──▶ working ──told to leave, or retired──▶ ending ──▶ ended ──▶ are there fewer than
 *                   └──fails──▶ restarts.ts says when to try again                            wanted? spawn
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { BrokenPoolError, ManagerGoneError } from '../errors.ts';
import { methods } from '../protocol/messages.ts';
import { type Client, connectionOf } from '../proxy/client.ts';
import type { Connection } from '../proxy/connection.ts';
import { watchDemand } from './demand.ts';
import { type Bounds, checkWhole } from './group-options.ts';
import type { LateError, WorkerOrders } from './orders.ts';
import { Restarts } from './restarts.ts';
import type { Spares } from './spares.ts';
import { type ChildSettings, WorkerChild } from './worker-child.ts';

/** One process of a group. */
export interface WorkerProcess {
  readonly name: string;
  readonly pid: number;
}

/** What a group tells, by `on()` and `once()`. */
export interface WorkerGroupEvents {
  workerStarted: [WorkerProcess];
  /** It ended without having been told to. */
  workerLost: [
    WorkerProcess & {
      readonly exitCode: number | undefined;
      readonly signal: string | undefined;
      /** Why it ended, where it or its group could say so. */
      readonly reason: string | undefined;
    },
  ];
  /**
   * Workers could not be started, again and again: the error says why. The group goes on with those that it has, and
   * tries one start every 30 s; `workerStarted` says that one has succeeded. Who waits in `resize()` or `recycle()` is
   * rejected. Told once more where the last of those that it had ends before one could be started.
   */
  broken: [BrokenPoolError];
  /** A task that had its outcome already has left something behind that failed: a timer, a promise. */
  lateError: [WorkerProcess & LateError];
}

/** What the group's parts need of its options. */
export interface GroupPlan {
  readonly orders: Omit<WorkerOrders, 'name' | 'ticket'>;
  readonly settings: ChildSettings;
  readonly bounds: Bounds;
  readonly maxMemory: number | undefined;
  /** Processes that are there already. */
  readonly spares?: Spares | undefined;
}

/** How often (ms) the memory of the workers is looked at, and how far above `maxMemory` one is killed. */
const MEMORY_LOOK = 250;
const FAR_ABOVE = 1.5;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Worker processes of one tasks module. Made by `startWorkers()`. A process that ends is replaced. */
export class WorkerGroup extends EventEmitter<WorkerGroupEvents> implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #plan: GroupPlan;
  readonly #children = new Map<string, WorkerChild>();
  readonly #restarts = new Restarts(performance.now());
  #bounds: Bounds;
  #size: number;
  /** One while the replacement of a worker starts beside it. */
  #extra = 0;
  #names = 0;
  #restart: NodeJS.Timeout | undefined;
  #broken: BrokenPoolError | undefined;
  /** Who waits until as many workers as wanted are ready. */
  readonly #waiters: Waiter[] = [];
  /** `resize` and `recycle`, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #unwatch: (() => void)[] = [];

  /** For the parts of this library. */
  constructor(client: Client, plan: GroupPlan) {
    super();
    this.#connection = client[connectionOf];
    this.#plan = plan;
    this.#bounds = plan.bounds;
    this.#size = plan.bounds.min;
    const listeners: Record<string, (told: unknown) => void> = {
      // The manager has lost the worker, or has not heard it for too long.
      'manager:workerSilent': (ticket) => this.#children.get(String(ticket))?.kill(),
      // What it runs must end, and does not end by itself.
      'manager:workerKill': (order) => this.#terminate(order),
      // The new session of the group knows nothing of its workers yet.
      reconnected: () => {
        for (const ticket of this.#children.keys()) void this.#call('vouch', [ticket]);
      },
      // Its workers have nobody left to work for; one that is busy would not even notice.
      closed: (reason) => {
        if (reason instanceof ManagerGoneError) this.#killAll();
        this.#look();
      },
    };
    for (const [event, listener] of Object.entries(listeners)) {
      this.#connection.on(event, listener);
      this.#unwatch.push(() => this.#connection.off(event, listener));
    }
    const cleanUp = (): void => this.#killAll();
    process.once('exit', cleanUp);
    this.#unwatch.push(() => process.off('exit', cleanUp));
    if (plan.bounds.idle !== undefined) {
      this.#unwatch.push(watchDemand(client, plan.orders.queue, (tasks) => this.#grow(tasks)));
    }
    if (plan.maxMemory !== undefined) this.#watchMemory(plan.maxMemory * FAR_ABOVE);
  }

  /** For the parts of this library: spawns all and waits until each loops on the queue. */
  async start(): Promise<this> {
    const children = Array.from({ length: this.#size }, () => this.#spawn());
    try {
      await Promise.all(children.map((child) => child.ready));
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  /** For the parts of this library: `end` is called when the group has ended. */
  whenEnded(end: () => void): void {
    this.#unwatch.push(end);
  }

  /** The processes that are there now, also those that are still starting, or are ending. */
  workers(): WorkerProcess[] {
    return Array.from(this.#children.values(), ({ name, pid }) => ({ name, pid }));
  }

  /** For the parts of this library: how many loop on the queue. */
  get ready(): number {
    return this.#staying().filter(({ isReady }) => isReady).length;
  }

  /**
   * Makes it `size` processes, from now on and with no bounds. Resolves when new ones loop on the queue, or those that
   * are too many have finished what they run and ended.
   * @throws BrokenPoolError where they cannot be started, or the group ends
   */
  resize(size: number): Promise<void> {
    checkWhole('size', size);
    return this.#inTurn(async () => {
      const more = size - this.#staying().length;
      this.#bounds = { min: size, max: size, idle: undefined };
      this.#size = size;
      if (more > 0) this.#grant(more);
      const leaving = this.#shrink();
      await Promise.all([this.#full(), ...leaving.map((child) => child.ended)]);
    });
  }

  /**
   * Replaces every process by a new one, which loads the tasks module anew: one after the other, each only when its
   * replacement is ready and it has finished what it runs.
   * @throws BrokenPoolError where one cannot be started (the old ones go on), or the group ends
   */
  recycle(): Promise<void> {
    return this.#inTurn(async () => {
      for (const old of this.#staying()) {
        if (!this.#children.has(old.ticket) || old.leaving) continue;
        this.#extra = 1;
        try {
          this.#grant(1);
          await this.#full();
          this.#leave(old);
        } finally {
          this.#extra = 0;
        }
        await old.ended;
      }
    });
  }

  /**
   * Lets every worker finish what it runs, and ends them; what they finished is known here when it resolves. After
   * `grace` ms what still runs is ended all the same, and runs again elsewhere. Default: as long as it takes.
   */
  async drain(options: { grace?: number | undefined } = {}): Promise<void> {
    const { grace } = options;
    if (grace !== undefined && !(grace >= 0)) throw new RangeError(`grace must be a time in ms, not ${String(grace)}`);
    const force = grace === undefined ? undefined : setTimeout(() => this.#killAll(), Math.min(grace, 0x7fff_ffff));
    await this.#end((child) => child.drain());
    clearTimeout(force);
    // The manager heard of it all before they ended: what it says of it comes before an answer.
    await this.#call('ping', []);
  }

  /** Ends every worker now; what they were running is run again elsewhere. */
  close(): Promise<void> {
    return this.#end((child) => child.kill());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(how: (child: WorkerChild) => void): Promise<void> {
    for (const child of this.#children.values()) how(child);
    return (this.#closing ??= this.#allEnded());
  }

  async #allEnded(): Promise<void> {
    clearTimeout(this.#restart);
    await Promise.all(
      Array.from(this.#children.values(), (child) => {
        child.ref();
        return child.ended;
      }),
    );
    for (const unwatch of this.#unwatch) unwatch();
    this.#unwatch = [];
    this.#look();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Those that are to go on working. */
  #staying(): WorkerChild[] {
    return [...this.#children.values()].filter(({ leaving, retired }) => !leaving && !retired);
  }

  /** So many more are wanted, now, whatever has failed before. */
  #grant(more: number): void {
    this.#broken = undefined;
    this.#restarts.grant(more);
    this.#restarts.retry(performance.now());
    this.#fill();
  }

  /** Starts what is missing, as far as it may be started now. */
  #fill(): void {
    clearTimeout(this.#restart);
    if (this.#closing !== undefined || this.#connection.closed) return;
    const staying = [...this.#children.values()].filter(({ leaving }) => !leaving);
    const starting = staying.filter(({ isReady }) => !isReady).length;
    const missing = this.#size + this.#extra - staying.length;
    const { starts, again } = this.#restarts.allow(missing, starting, performance.now());
    for (let i = 0; i < starts; i++) this.#spawn();
    if (again !== undefined) this.#restart = setTimeout(() => this.#fill(), again).unref();
  }

  /** Tells those that are too many to end: first what has not begun, then the newest. */
  #shrink(): WorkerChild[] {
    const staying = this.#staying().toSorted((a, b) => Number(b.isReady) - Number(a.isReady));
    const leaving = staying.slice(this.#size + this.#extra);
    for (const child of leaving) this.#leave(child);
    return leaving;
  }

  #leave(child: WorkerChild): void {
    child.leaving = true;
    child.drain();
  }

  #grow(tasks: number): void {
    if (this.#closing !== undefined || this.#broken !== undefined) return;
    const { max, idle } = this.#bounds;
    const starting = this.#staying().filter(({ isReady }) => !isReady).length;
    const more = Math.min(max - this.#size, Math.ceil(tasks / this.#plan.orders.concurrency) - starting);
    if (idle === undefined || more <= 0) return;
    this.#size += more;
    this.#restarts.grant(more);
    this.#fill();
  }

  #idle(child: WorkerChild): void {
    if (this.#bounds.idle === undefined || this.#size <= this.#bounds.min || child.leaving) return;
    this.#size--;
    this.#leave(child);
  }

  /** Resolves when as many as wanted are ready. */
  #full(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.#look();
    });
  }

  /** Settles those who wait, where it is known how. */
  #look(): void {
    if (this.#waiters.length === 0) return;
    let error = this.#broken;
    if (this.#closing !== undefined || this.#connection.closed) error = new BrokenPoolError('the group has ended');
    if (error === undefined && this.ready < this.#size + this.#extra) return;
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (error === undefined) resolve();
      else reject(error);
    }
  }

  #spawn(): WorkerChild {
    const orders = { ...this.#plan.orders, name: `worker-${++this.#names}`, ticket: randomUUID() };
    // Before the process can connect: both go the same way, so the manager knows the ticket first.
    void this.#call('vouch', [orders.ticket]);
    const child = new WorkerChild(
      orders,
      this.#restarts.round,
      this.#plan.settings,
      {
        idle: (idle) => this.#idle(idle),
        late: ({ name, pid }, late) => this.emit('lateError', { name, pid, ...late }),
      },
      this.#plan.spares?.take(),
    );
    this.#children.set(child.ticket, child);
    void this.#watch(child);
    return child;
  }

  async #watch(child: WorkerChild): Promise<void> {
    const { name, pid } = child;
    let failure: BrokenPoolError | undefined;
    void child.ready.then(
      () => {
        child.unref();
        this.#restarts.succeeded();
        this.#broken = undefined;
        this.emit('workerStarted', { name, pid });
        this.#fill();
        this.#look();
      },
      (error: BrokenPoolError) => (failure = error),
    );
    const { exitCode, signal, reason } = await child.ended;
    await child.ready.catch(() => {});
    void this.#call('workerGone', [child.ticket, exitCode, signal, reason]);
    // Now, and not after its replacement has been forked: its tasks wait for it.
    this.#connection.link.flush();
    this.#children.delete(child.ticket);
    if (this.#closing !== undefined) return;
    const orderly = exitCode === 0 && (child.retired || child.leaving);
    const unborn = child.leaving && failure !== undefined;
    if (!orderly && !unborn) this.emit('workerLost', { name, pid, exitCode, signal, reason });
    if (failure !== undefined && !child.leaving) this.#failed(child, failure);
    else if (orderly && !child.leaving) this.#restarts.grant(1);
    // What nobody else can start leaves nobody to go on.
    if (failure === undefined && this.#broken !== undefined && this.ready === 0) this.emit('broken', this.#broken);
    this.#fill();
    this.#look();
  }

  #failed(child: WorkerChild, failure: BrokenPoolError): void {
    this.#restarts.failed(child.round, performance.now());
    if (!this.#restarts.open || this.#broken !== undefined) return;
    this.#broken = failure;
    this.emit('broken', failure);
  }

  /** `order`: [ticket, why]. */
  #terminate(order: unknown): void {
    const [ticket, why] = Array.isArray(order) ? (order as readonly unknown[]) : [order];
    this.#children.get(String(ticket))?.terminate(typeof why === 'string' ? why : 'its task had to end');
  }

  #watchMemory(most: number): void {
    const looks = setInterval(() => {
      for (const child of this.#children.values()) {
        const { memory } = child;
        if (memory === undefined || memory <= most) continue;
        child.kill(`out of memory: it had ${mebibytes(memory)} MiB, and ${mebibytes(most)} is the most`);
      }
    }, MEMORY_LOOK).unref();
    this.#unwatch.push(() => clearInterval(looks));
  }

  async #call(method: 'vouch' | 'workerGone' | 'ping', args: readonly (string | number | undefined)[]): Promise<void> {
    if (this.#connection.closed) return;
    await this.#connection.call(0, methods.manager.indexOf(method), args).catch(() => {});
  }

  #killAll(): void {
    for (const child of this.#children.values()) child.kill();
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
