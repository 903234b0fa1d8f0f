/**
 * The task board: a task dict and queue shared with everybody. It reads the frames of tasks, tells the queue's core
 * what happened, and carries out what the core decides: outcomes to whoever put a task, tasks to whoever takes them.
 */
import {
  DeadlockError,
  DuplicateTaskError,
  FrameTooLargeError,
  LeaseLostError,
  ProtocolError,
  QueueFullError,
  TimeoutError,
  TypeMismatchError,
  UnknownTaskError,
} from '../../errors.ts';
import { encode } from '../../protocol/codec.ts';
import { errorItem, WireError } from '../../protocol/errors.ts';
import { FailFlags, Outcome, PayloadFlags, PutFlags, TaskFlags, ToClient } from '../../protocol/messages.ts';
import { type Item, Packed, Reader, Verbatim, Writer } from '../../protocol/wire.ts';
import { type Decisions, type LeaseAnswer, TaskQueue } from '../../queue/queue.ts';
import { type Failure, type Holder, NEVER, State, stateNames, type Task } from '../../queue/task.ts';
import type { TaskFilter, TaskRecord, TaskState } from '../../tasks.ts';
import { checkOptions, countOf, numberOf, same } from '../arguments.ts';
import { type Answer, Call } from '../call.ts';
import type { Session } from '../session.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import type { ProcessEnd } from '../vouchers.ts';
import { WaitList } from '../wait-list.ts';
import { type GraphJob, putOptions, type PutSpec, readGraphJobs } from './put-options.ts';
import { filterFrom, recordOf, recordsOf } from './record.ts';
import { Runs } from './runs.ts';
import { Taker, type WorkerInfo } from './taker.ts';

/** What a queue is made with where its own options do not say. */
export interface TaskDefaults {
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly retries: number;
  readonly poisonAfter: number;
  /** ms */
  readonly leaseTimeout: number;
  readonly keepCount: number;
  /** ms */
  readonly keepAge: number;
}

interface Wait {
  readonly call: Call;
  readonly taker: Taker;
}

interface Putter {
  readonly call: Call;
  readonly put: PutSpec;
}

/** Somebody beside its putter who waits for a task's outcome. */
type Watcher = (task: Task) => void;

const optionNames = ['maxSize', 'maxBytes', 'retries', 'poisonAfter', 'leaseTimeout', 'keepCount', 'keepAge'];

export class Tasks extends SharedObject implements Decisions {
  readonly #made: Made;
  readonly #options: TaskDefaults;
  readonly #queue: TaskQueue;
  readonly #takers = new Map<Session, Taker>();
  readonly #hungry = new Set<Taker>();
  readonly #waits = new WaitList<Wait>();
  readonly #putters = new WaitList<Putter>();
  readonly #watchers = new Map<Task, WaitList<Watcher>>();
  readonly #progress = new Map<Task, WaitList<Call>>();
  readonly #runs: Runs;
  #woken = false;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.#made = made;
    this.#options = merged(made.manager.taskDefaults, options);
    const { maxSize, maxBytes, keepCount, keepAge } = this.#options;
    this.#queue = new TaskQueue(
      { maxSize, maxBytes, keepRecords: { count: keepCount, age: keepAge } },
      made.manager.nextLease,
      this,
    );
    this.#runs = new Runs(made.manager, this.#queue);
    made.manager.addBoard(this);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    if (options.size === 0) return;
    const asked = merged(this.#made.manager.taskDefaults, options) as unknown as Record<string, unknown>;
    const are = this.#options as unknown as Record<string, unknown>;
    for (const name of optionNames) {
      if (asked[name] !== are[name]) {
        throw new TypeMismatchError(
          `${this.title} exists with ${name} ${String(are[name])}, not ${String(asked[name])}; ask for it with the same options, or with none`,
        );
      }
    }
  }

  // --- frames of producers ---

  readPut(session: Session, call: number, handle: number, reader: Reader): void {
    const flags = reader.u8();
    const name = session.taskNames[reader.u16()];
    if (name === undefined) throw new ProtocolError('a put names a task that was not announced');
    const options = flags & PutFlags.options ? reader.item() : undefined;
    const refs = (flags & PutFlags.refs) !== 0;
    const from = reader.left;
    const input = refs ? session.adopt(reader.item()) : reader.rest();
    const put: PutSpec = {
      session,
      call,
      name,
      input,
      bytesIn: from,
      run: (flags & PutFlags.run) !== 0,
      ...(options === undefined ? undefined : putOptions(options)),
    };
    if (this.#open) this.#tryPut(put, flags, false);
    else this.#enter(session, call, handle, (held) => this.#tryPut(put, flags, held));
  }

  /** Nobody holds the queue, and nobody waits to. */
  get #open(): boolean {
    return this.holder === undefined && this.gate.free;
  }

  /** Runs `access` now if the holder makes it, otherwise at its turn if its caller still waits. */
  #enter(session: Session, call: number, handle: number, access: (held: boolean) => void): void {
    const held = this.holder === session && session.handles.get(handle)?.hold !== undefined;
    if (held) return access(true);
    const waiting = new Call(session, call, false);
    waiting.park(() => this.#withdrawn(session, call));
    this.gate.enter(
      () => {
        waiting.settled();
        access(false);
      },
      () => !waiting.over,
    );
  }

  /** A put that waited was cancelled: its client hears that nothing was inserted. */
  #withdrawn(session: Session, call: number): void {
    if (!session.ended) session.failed(call, new TimeoutError('its caller no longer waits'));
  }

  #tryPut(put: PutSpec, flags: number, held: boolean): void {
    const { session, call } = put;
    try {
      if (put.id !== undefined && this.#repeated(put)) return;
      if ((held || this.#putters.size === 0) && this.#queue.hasRoom(put.bytesIn)) {
        this.#put(put);
      } else if (flags & PutFlags.nowait) {
        throw new QueueFullError(`${this.title} is full: ${this.#queue.pending} tasks wait in it`);
      } else if (held) {
        throw new DeadlockError(`${this.title} is full, and a held object must not wait`);
      } else {
        const waiting = new Call(session, call, false);
        const leave = this.#putters.add({ call: waiting, put });
        waiting.park(() => {
          if (!leave()) return;
          this.#withdrawn(session, call);
          this.#admit();
        });
      }
    } catch (error) {
      session.failed(call, error);
    }
  }

  #put(put: PutSpec): void {
    const { session, call } = put;
    const task = this.#queue.put(this.#specOf(put), this.#now(), session, call);
    if (!put.run) session.accepted(call, task.number);
  }

  #specOf(put: PutSpec) {
    const after = put.after?.map((id) => this.#find(id)) ?? [];
    if (put.input instanceof Packed) {
      for (const ref of put.input.jobs) {
        if (ref.queue !== (this.name ?? '')) {
          throw new UnknownTaskError(`task '${ref.id}' is in queue '${ref.queue}', not in ${this.title}`);
        }
        after.push(this.#find(ref.id));
      }
    }
    return {
      id: put.id,
      name: put.name,
      priority: put.priority ?? 0,
      input: put.input,
      bytesIn: put.bytesIn,
      retries: put.retries ?? this.#options.retries,
      poisonAfter: put.atMostOnce === true ? 1 : this.#options.poisonAfter,
      after: after.length === 0 ? undefined : [...new Set(after)],
    };
  }

  /** A task of that id is there: the same task answers for both, another one is refused. */
  #repeated(put: PutSpec): boolean {
    this.#prune();
    const task = this.#queue.records.get(put.id as string);
    if (task === undefined) return false;
    const { session, call } = put;
    const name = `task '${put.id}' exists in ${this.title}`;
    if (task.name !== put.name) throw new DuplicateTaskError(`${name} with the name '${task.name}', not '${put.name}'`);
    if (!sameInput(task.input, put.input)) {
      // Bytes differ, but its keys may only stand in another order: the caller decodes, and decides.
      const error = errorItem('QM_DUPLICATE_TASK', `${name} with another input`, ['existing', payloadItem(task.input)]);
      throw new WireError(error);
    }
    if (!put.run) session.accepted(call, task.number);
    if (task.finished) {
      this.#sendOutcome(task, session, call);
    } else {
      const leave = this.#watch(task, (ended) => {
        session.holdings.delete(leave);
        this.#sendOutcome(ended, session, call);
      });
      session.holdings.add(leave);
    }
    return true;
  }

  /** Puts that waited for room, in their order. */
  #admit(): void {
    while (this.holder === undefined) {
      const putter = this.#putters.peek();
      if (putter === undefined || !this.#queue.hasRoom(putter.put.bytesIn)) return;
      this.#putters.shift();
      if (!putter.call.over) this.#admitOne(putter);
    }
  }

  #admitOne({ call, put }: Putter): void {
    call.settled();
    try {
      this.#put(put);
    } catch (error) {
      put.session.failed(put.call, error);
    }
  }

  readGraph(session: Session, call: number, reader: Reader): void {
    const id = reader.string();
    const jobs = readGraphJobs(session.adopt(reader.item()));
    const specOf = (job: GraphJob, after: readonly string[]) =>
      this.#specOf({ ...job.options, session, call, name: job.name, after, run: false, ...payloadFrom(job.input) });
    this.#runs.submit(session, id, jobs, specOf, this.#now());
    session.done(call);
  }

  // --- frames of workers ---

  readTake(session: Session, call: number, handle: number, reader: Reader): void {
    const nowait = reader.u8() === 1;
    const window = reader.u16();
    const taker = this.#takerOf(session, handle);
    taker.window = Math.max(1, window);
    if (this.#open) this.#take(taker, call, nowait, false);
    else this.#enter(session, call, handle, (held) => this.#take(taker, call, nowait, held));
  }

  #take(taker: Taker, call: number, nowait: boolean, held: boolean): void {
    if (this.#waits.size > 0) this.#dispatch();
    if (this.#queue.ready > 0) {
      this.#give(taker, true);
      taker.taken(call, 1);
      this.#feed(taker);
    } else if (nowait) {
      taker.taken(call, 0);
      this.#feed(taker);
    } else if (held) {
      taker.session.failed(call, new DeadlockError(`${this.title} has no ready task, and a held object must not wait`));
    } else {
      const waiting = new Call(taker.session, call, false);
      waiting.park(this.#waits.add({ call: waiting, taker }));
      this.#hungry.delete(taker);
      this.#recall();
    }
  }

  readWindow(session: Session, handle: number, reader: Reader): void {
    const taker = this.#takerOf(session, handle);
    taker.window = Math.max(1, reader.u16());
    this.#feed(taker);
  }

  readComplete(session: Session, call: number, reader: Reader): void {
    const taker = this.#takers.get(session);
    const lease = reader.u48();
    const number = reader.u48();
    const ranFor = reader.u32();
    const refs = (reader.u8() & PayloadFlags.refs) !== 0;
    const bytesOut = reader.left;
    const output = refs ? session.adopt(reader.item()) : reader.rest();
    if (taker === undefined) return this.#refuseLease(session, call, lease);
    const answer = this.#queue.complete({ holder: taker, lease, number, ranFor }, output, bytesOut, this.#now());
    this.#answerLease(taker, call, lease, answer);
  }

  readFail(session: Session, call: number, reader: Reader): void {
    const taker = this.#takers.get(session);
    const lease = reader.u48();
    const number = reader.u48();
    const ranFor = reader.u32();
    const final = (reader.u8() & FailFlags.final) !== 0;
    const summary = reader.string();
    const cause = session.adopt(reader.item());
    if (taker === undefined) return this.#refuseLease(session, call, lease);
    const task = taker.leases.get(lease);
    const failure: Failure = {
      code: 'QM_TASK_FAILED',
      message: task === undefined ? summary : `task '${task.key}' (${task.name}) failed: ${summary}`,
      fields: [],
      cause,
    };
    const answer = this.#queue.fail({ holder: taker, lease, number, ranFor }, failure, final, this.#now());
    this.#answerLease(taker, call, lease, answer);
  }

  #answerLease(taker: Taker, call: number, lease: number, answer: LeaseAnswer): void {
    if (answer === 'lost') return this.#refuseLease(taker.session, call, lease);
    if (answer === 'done') taker.done++;
    if (taker.extended.size > 0) taker.extended.delete(lease);
    taker.session.done(call);
    this.#feed(taker);
  }

  #refuseLease(session: Session, call: number, lease: number): void {
    const error = `lease ${lease} has ended: the task was given to another worker, cancelled, or its record has gone`;
    session.failed(call, new LeaseLostError(error));
  }

  readRelease(session: Session, call: number, reader: Reader): void {
    const taker = this.#takers.get(session);
    const lease = reader.u48();
    if (taker === undefined) return this.#refuseLease(session, call, lease);
    const answer = this.#queue.giveBack(taker, lease, this.#now());
    if (answer === 'lost') this.#refuseLease(session, call, lease);
    else session.done(call);
  }

  readExtend(session: Session, call: number, reader: Reader): void {
    const taker = this.#takers.get(session);
    const lease = reader.u48();
    const until = this.#now() + reader.f64() * 10;
    if (taker === undefined || !taker.leases.has(lease)) return this.#refuseLease(session, call, lease);
    taker.extended.set(lease, until);
    session.done(call);
  }

  readStarted(session: Session, reader: Reader): void {
    const lease = reader.u48();
    const taker = this.#takers.get(session);
    if (taker !== undefined && lease > taker.started) taker.started = lease;
  }

  readProgress(session: Session, reader: Reader): void {
    const lease = reader.u48();
    const value = session.adopt(reader.item());
    const task = this.#takers.get(session)?.leases.get(lease);
    const calls = task === undefined ? undefined : this.#progress.get(task);
    if (calls === undefined) return;
    for (const call of calls) if (!call.session.congested) call.report(value);
  }

  /** Un-started tasks that the helper took back from the window, in their order. */
  readGiveBack(session: Session, reader: Reader): void {
    const taker = this.#takers.get(session);
    const now = this.#now();
    for (let count = reader.u32(); count > 0; count--) {
      const lease = reader.u48();
      if (taker !== undefined) this.#queue.giveBack(taker, lease, now);
    }
    if (taker === undefined) return;
    taker.recalled = false;
    taker.window = 1;
    this.#hungry.delete(taker);
  }

  // --- the end of sessions and leases ---

  /** The session has ended: its waits go now, its leases when the function returned is told how the process ended. */
  sessionEnds(session: Session): ((how: ProcessEnd) => void) | undefined {
    const taker = this.#takers.get(session);
    if (taker === undefined) return undefined;
    this.#takers.delete(session);
    this.#hungry.delete(taker);
    return (how) => this.#lose(taker, how);
  }

  #lose(taker: Taker, how: ProcessEnd): void {
    const now = this.#now();
    let position = 0;
    for (const [lease, task] of [...taker.leases]) {
      this.#queue.lose(taker, lease, taker.hasStarted(task, position++), lost(task, taker.worker, how), now);
    }
  }

  /** Ends the leases of those who have been silent for too long. Returns how many leases are out. */
  checkLeases(): number {
    const silentSince = performance.now() - this.#options.leaseTimeout;
    const now = this.#now();
    let leases = 0;
    for (const taker of this.#takers.values()) {
      leases += taker.leases.size;
      if (taker.leases.size === 0 || taker.session.lastHeard >= silentSince) continue;
      if (this.#made.manager.vouchers.owned(taker.session)) {
        this.#made.manager.vouchers.silent(taker.session);
        continue;
      }
      for (const [lease, task] of [...taker.leases]) {
        if ((taker.extended.get(lease) ?? 0) > now) continue;
        this.#queue.expire(taker, lease, silent(task, taker.worker, this.#options.leaseTimeout), now);
      }
    }
    return leases;
  }

  // --- calls ---

  record(_call: Call, [id]: readonly Item[]): Answer {
    this.#prune();
    const task = this.#queue.records.get(String(id));
    return task === undefined ? undefined : encode(recordOf(task, this.#made.manager));
  }

  has(_call: Call, [id]: readonly Item[]): Answer {
    this.#prune();
    return this.#queue.records.get(String(id)) !== undefined;
  }

  size(): Answer {
    this.#prune();
    return this.#queue.records.size;
  }

  entries(_call: Call, [filter]: readonly Item[]): Answer {
    const records = this.recordsFor(filterFrom(filter));
    return encode(records.map((record) => [record.id, record]));
  }

  counts(): Answer {
    return encode(this.countsByState());
  }

  snapshot(): Answer {
    return this.counts();
  }

  /** Resolves with [outcome, output | error] once the task has one. */
  outcome(call: Call, [id]: readonly Item[]): Answer {
    const task = this.#find(String(id));
    if (task.finished) return outcomeItem(task);
    return call.park(this.#watch(task, (ended) => call.answer(outcomeItem(ended))));
  }

  cancel(_call: Call, [id, reason]: readonly Item[]): Answer {
    const task = this.#find(String(id));
    return this.#queue.cancel(task, cancelled(task, reason), this.#now());
  }

  /** Sends the task's progress from now on; answers when the task has ended. */
  progress(call: Call, [id]: readonly Item[]): Answer {
    const task = this.#find(String(id));
    if (task.finished) return undefined;
    const list = this.#progress.get(task) ?? new WaitList<Call>();
    this.#progress.set(task, list);
    const leave = list.add(call);
    const unwatch = this.#watch(task, () => {
      leave();
      this.#progress.delete(task);
      call.answer();
    });
    return call.park(() => {
      leave();
      unwatch();
    });
  }

  watchRun(call: Call, [id, events]: readonly Item[]): Answer {
    return this.#runs.watch(call, String(id), events === true);
  }

  closeRun(_call: Call, [id]: readonly Item[]): Answer {
    this.#runs.close(String(id));
  }

  cancelRun(_call: Call, [id, reason]: readonly Item[]): Answer {
    for (const task of this.#runs.tasksOf(String(id))) this.#queue.cancel(task, cancelled(task, reason), this.#now());
  }

  countsByState(): Record<TaskState, number> {
    this.#prune();
    return Object.fromEntries(
      stateNames.map((name, state) => [name, this.#queue.count(state as State)]),
    ) as Record<TaskState, number>;
  }

  /** Tasks that wait or run. */
  get unfinished(): number {
    return this.#queue.pending + this.#queue.count(State.leased);
  }

  recordsFor(filter: TaskFilter): TaskRecord[] {
    this.#prune();
    return recordsOf(this.#queue.records.values(), filter, this.#made.manager);
  }

  /** The session reads again: its window may be filled. */
  sessionWritable(session: Session): void {
    const taker = this.#takers.get(session);
    if (taker !== undefined && taker.hungry) {
      this.#hungry.add(taker);
      this.ready();
    }
  }

  takers(): IterableIterator<Taker> {
    return this.#takers.values();
  }

  validate(): void {
    this.#queue.validate();
  }

  override served(): void {
    this.#wake();
  }

  override dropped(reason: Error): void {
    for (const wait of [...this.#waits]) wait.call.fail(reason);
    for (const putter of [...this.#putters]) putter.call.fail(reason);
  }

  // --- decisions of the core ---

  ready(): void {
    if (this.#woken) return;
    this.#woken = true;
    this.#made.manager.later(() => this.#wake());
  }

  settled(task: Task): void {
    // A task that waited has made room by ending.
    if (this.#putters.size > 0) this.ready();
    if (task.run !== undefined) this.#runs.changed(task);
    const watchers = this.#watchers.get(task);
    if (task.origin !== undefined) {
      const session = task.origin as Session;
      session.whenWritable(() => {
        this.#sendOutcome(task, session, task.call);
        this.#queue.records.unpin(task);
      });
      task.origin = undefined;
    }
    if (watchers === undefined) return;
    this.#watchers.delete(task);
    for (let tell = watchers.shift(); tell; tell = watchers.shift()) tell(task);
  }

  moved(task: Task): void {
    this.#runs.changed(task);
  }

  revoked(task: Task, lease: number, holder: Holder, failure: Failure): void {
    const { session, handle } = holder as Taker;
    if (session.ended) return;
    const { writer } = session.link;
    const start = session.link.begin(ToClient.LOST);
    writer.u32(handle);
    writer.u48(lease);
    writer.item(task.state === State.cancelled || failure.code === 'QM_TASK_CANCELLED' ? failureItem(failure) : errorItem('QM_LEASE_LOST', failure.message));
    session.link.end(start);
  }

  // --- who gets what ---

  #now(): number {
    return this.#made.manager.now();
  }

  /** No timer lets go of records whose age has come; whoever asks does. */
  #prune(): void {
    this.#queue.records.prune(this.#now());
  }

  #find(id: string): Task {
    this.#prune();
    const task = this.#queue.records.get(id);
    if (task !== undefined) return task;
    throw new UnknownTaskError(
      `${this.title} has no task '${id}': it was never put, or its record has gone (keepRecords: ${this.#options.keepCount} records, ${this.#options.keepAge} ms)`,
    );
  }

  #takerOf(session: Session, handle: number): Taker {
    let taker = this.#takers.get(session);
    if (taker === undefined) {
      taker = new Taker(session, handle);
      this.#takers.set(session, taker);
      const { leaseTimeout } = this.#options;
      if (leaseTimeout !== this.#made.manager.taskDefaults.leaseTimeout) session.event(handle, 'leaseTimeout', leaseTimeout);
    }
    return taker;
  }

  #wake(): void {
    this.#woken = false;
    this.#dispatch();
    this.#admit();
  }

  /** Those who wait come first, in their order; then whoever has room in its window, in turn. */
  #dispatch(): void {
    if (this.holder !== undefined) return;
    while (this.#queue.ready > 0) {
      const wait = this.#waits.shift();
      if (wait === undefined) break;
      wait.call.settled();
      this.#give(wait.taker, true);
      wait.taker.taken(wait.call.id, 1);
      if (wait.taker.hungry) this.#hungry.add(wait.taker);
    }
    while (this.#queue.ready > 0 && this.#hungry.size > 0) {
      for (const taker of this.#hungry) {
        if (this.#queue.ready === 0) break;
        if (taker.hungry) this.#give(taker, false);
        if (!taker.hungry) this.#hungry.delete(taker);
      }
    }
  }

  /** Fills the taker's window, unless somebody waits who has nothing at all. */
  #feed(taker: Taker): void {
    if (this.holder === undefined && this.#waits.size === 0) {
      while (taker.hungry && this.#queue.ready > 0) this.#give(taker, false);
    }
    if (taker.hungry) this.#hungry.add(taker);
    else this.#hungry.delete(taker);
    if (this.#putters.size > 0) this.#admit();
  }

  #give(taker: Taker, asked: boolean): void {
    const task = this.#queue.take(taker, taker.worker, this.#now());
    if (task === undefined) return;
    // With a window of one, a task goes straight to the caller who asked for it.
    if (asked && taker.window === 1) taker.started = task.lease;
    this.#made.manager.watchLeases(this.#options.leaseTimeout / 5);
    const { link } = taker.session;
    const { writer } = link;
    const jobs = task.input instanceof Packed && task.input.jobs.length > 0 ? task.input.jobs : undefined;
    const name = taker.session.announce(task.name);
    const start = link.begin(ToClient.TASK);
    writer.u32(taker.handle);
    writer.u48(task.lease);
    writer.u48(task.number);
    const once = task.poisonAfter === 1 ? TaskFlags.once : 0;
    writer.u8((task.id === undefined ? 0 : TaskFlags.id) | (jobs === undefined ? 0 : TaskFlags.outputs) | once);
    writer.u16(name);
    writer.u16(Math.min(0xffff, task.attempt + 1));
    if (task.id !== undefined) writer.item(task.id);
    if (jobs !== undefined) writer.item(jobs.flatMap(({ id }) => [id, payloadItem(this.#queue.records.get(id)?.output)]));
    writePayload(writer, task.input);
    try {
      link.end(start);
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error;
      this.#refuseInput(task, taker, error);
    }
  }

  /** The input and the outputs that it names do not go into one message. */
  #refuseInput(task: Task, taker: Taker, error: FrameTooLargeError): void {
    const { lease, number } = task;
    const failure: Failure = {
      code: 'QM_TASK_FAILED',
      message: `task '${task.key}' (${task.name}) failed: its input is too large: ${error.message}`,
      fields: [],
      cause: errorItem(error.code, error.message),
    };
    this.#queue.fail({ holder: taker, lease, number, ranFor: NEVER }, failure, true, this.#now());
  }

  /** Somebody waits with nothing to do: ask those who hold un-started tasks for them. */
  #recall(): void {
    for (const taker of this.#takers.values()) {
      if (taker.window > 1 && taker.leases.size > 1) taker.recall();
    }
  }

  #watch(task: Task, tell: Watcher): () => void {
    if (task.finished) {
      tell(task);
      return () => {};
    }
    const list = this.#watchers.get(task) ?? new WaitList<Watcher>();
    this.#watchers.set(task, list);
    this.#queue.records.pin(task);
    const leave = list.add((ended) => {
      tell(ended);
      this.#queue.records.unpin(ended);
    });
    return () => {
      if (!leave()) return;
      this.#queue.records.unpin(task);
      if (list.size === 0) this.#watchers.delete(task);
    };
  }

  #sendOutcome(task: Task, session: Session, call: number): void {
    if (session.ended) return;
    const { link } = session;
    const start = link.begin(ToClient.OUTCOME);
    link.writer.u32(call);
    if (task.state === State.succeeded) {
      link.writer.u8(Outcome.succeeded);
      writePayload(link.writer, task.output);
    } else {
      link.writer.u8(Outcome.failed);
      link.writer.item(failureItem(task.failure as Failure));
    }
    link.end(start);
  }
}

function merged(defaults: TaskDefaults, options: ReadonlyMap<string, Item>): TaskDefaults {
  checkOptions('a task queue', options, optionNames);
  const size = (name: string, fallback: number): number => {
    const value = options.get(name) ?? fallback;
    return value === Infinity ? Infinity : countOf(value, name, name === 'retries' ? 0 : 1);
  };
  const time = (name: string, fallback: number): number => {
    const value = numberOf(options.get(name) ?? fallback, name);
    if (!(value > 0)) throw new RangeError(`${name} must be more than 0 ms`);
    return value;
  };
  return {
    maxSize: size('maxSize', defaults.maxSize),
    maxBytes: size('maxBytes', defaults.maxBytes),
    retries: size('retries', defaults.retries),
    poisonAfter: size('poisonAfter', defaults.poisonAfter),
    leaseTimeout: time('leaseTimeout', defaults.leaseTimeout),
    keepCount: size('keepCount', defaults.keepCount),
    keepAge: time('keepAge', defaults.keepAge),
  };
}

function sameInput(a: unknown, b: unknown): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return a instanceof Packed && b instanceof Packed && same(a, b);
}

function writePayload(writer: Writer, payload: unknown): void {
  if (payload instanceof Packed) writer.item(payload);
  else writer.verbatim(payload as string | Uint8Array);
}

/** What a task keeps of an item: its bytes, or itself where proxies or jobs are named in it. */
function payloadFrom(item: Item): { input: unknown; bytesIn: number } {
  if (item instanceof Packed && item.proxies.length + item.jobs.length > 0) {
    return { input: item, bytesIn: item.bytes.length };
  }
  const writer = new Writer();
  writer.item(item);
  const bytes = writer.take();
  return { input: new Reader(bytes).rest(), bytesIn: bytes.length };
}

function payloadItem(payload: unknown): Item {
  if (payload === undefined) return undefined;
  return payload instanceof Packed ? payload : new Verbatim(payload as string | Uint8Array);
}

function failureItem(failure: Failure): Item {
  const cause = failure.ancestor === undefined ? (failure.cause as Item) : failureItem(failure.ancestor);
  return errorItem(failure.code, failure.message, failure.fields, cause);
}

function outcomeItem(task: Task): Item {
  return task.state === State.succeeded
    ? [Outcome.succeeded, payloadItem(task.output)]
    : [Outcome.failed, failureItem(task.failure as Failure)];
}

function lost(task: Task, worker: WorkerInfo, how: ProcessEnd): Failure {
  const ending = how.signal !== undefined ? ` by ${how.signal}` : how.exitCode !== undefined ? ` with exit code ${how.exitCode}` : '';
  const reason = how.reason === undefined ? '' : `: ${how.reason}`;
  return {
    code: 'QM_WORKER_LOST',
    message: `worker ${worker.name} (pid ${worker.pid}) ended${ending} while it ran task '${task.key}' (${task.name})${reason}`,
    fields: ['pid', worker.pid, 'exitCode', how.exitCode, 'signal', how.signal],
    cause: undefined,
  };
}

function silent(task: Task, worker: WorkerInfo, timeout: number): Failure {
  return {
    code: 'QM_WORKER_LOST',
    message: `worker ${worker.name} (pid ${worker.pid}) was silent for more than ${timeout} ms while it held task '${task.key}'`,
    fields: ['pid', worker.pid],
    cause: undefined,
  };
}

function cancelled(task: Task, reason: Item): Failure {
  const why = typeof reason === 'string' ? `: ${reason}` : '';
  return { code: 'QM_TASK_CANCELLED', message: `task '${task.key}' was cancelled${why}`, fields: [], cause: undefined };
}

