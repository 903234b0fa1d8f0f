/**
 * The task board under a task dict and queue. It reads the frames of tasks, tells the queue's core what happened, and
 * has carried out what the core decides: outcomes.ts tells whoever put a task, takers.ts gives to whoever takes.
 */
import { DeadlockError, ProtocolError, QueueFullError, QueueShutdownError } from '../../errors.ts';
import { FailFlags, PayloadFlags, PutFlags } from '../../protocol/messages.ts';
import { getU48, type Item, Packed, type Reader } from '../../protocol/wire.ts';
import type { Demand } from '../../queue/demands.ts';
import { type Decisions, type LeaseAnswer, TaskQueue, type TaskSpec } from '../../queue/queue.ts';
import type { Failure, Holder, Task } from '../../queue/task.ts';
import { StoredPayload } from '../arenas.ts';
import { Call } from '../call.ts';
import type { ManagerCore } from '../core.ts';
import type { Session } from '../session.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import type { ProcessEnd } from '../vouchers.ts';
import { WaitList } from '../wait-list.ts';
import { Alarm } from './alarm.ts';
import { Broadcasts } from './broadcasts.ts';
import { Children } from './children.ts';
import { checkSameOptions, limitsOf, queueOptions, type TaskDefaults, unknownTask } from './options.ts';
import { readGraph, runId } from './graph-frame.ts';
import { Maps } from './maps.ts';
import { Outcomes } from './outcomes.ts';
import { causeOf, checkSame, discardPayload, readFailure, readPayload, restPayload } from './payload.ts';
import { putOptions, type PutOptionItems, type PutSpec, readRunRules } from './put-options.ts';
import { Putters } from './putters.ts';
import { Runs, type SpecOf } from './runs.ts';
import { refuseLease, type Taker } from './taker.ts';
import { Takers } from './takers.ts';
import { jobSpec, plainSpec, taskSpec } from './task-spec.ts';

const noOptions: PutOptionItems = {};

export abstract class TaskBoard extends SharedObject implements Decisions {
  readonly takers: Takers;
  protected readonly core: ManagerCore;
  #options: TaskDefaults;
  /** Somebody has asked for it with options: they hold from then on. */
  #configured: boolean;
  protected readonly queue: TaskQueue;
  protected readonly outcomes: Outcomes;
  protected readonly broadcasts: Broadcasts;
  readonly maps: Maps;
  readonly #putters: Putters;
  readonly #children: Children;
  protected readonly runs: Runs;
  readonly #alarm = new Alarm(
    () => this.now(),
    () => this.queue.tick(this.now()),
  );
  /** Who waits until nothing is unfinished. */
  protected readonly joining = new WaitList<Call>();
  #wakeScheduled = false;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.core = made.manager;
    this.#options = queueOptions(made.manager.taskDefaults, options);
    this.#configured = options.size > 0;
    const { nextLease, hostAmounts: host } = made.manager;
    this.queue = new TaskQueue(limitsOf(this.#options), nextLease, this, { random: Math.random, host });
    this.outcomes = new Outcomes(this.queue.records);
    this.#putters = new Putters(
      this.queue,
      (put) => this.#accept(put),
      (bundle) => this.maps.admit(bundle),
    );
    this.#children = new Children(this.queue);
    const taken = (): void => {
      if (this.#putters.size > 0) this.ready();
    };
    this.broadcasts = new Broadcasts(this.outcomes, (task, failure) => this.queue.cancel(task, failure, this.now()));
    const left = (taker: Taker, how?: ProcessEnd): void => this.broadcasts.left(taker, how);
    this.maps = new Maps(this, this.queue, this.#putters);
    const wanted = (task: Task, takers: number): number => this.maps.wanted(task, takers);
    const spare = (): void => this.ready();
    this.takers = new Takers(this, made.manager, this.queue, () => this.#options, taken, left, spare, wanted);
    this.runs = new Runs(made.manager, this.queue, this.name ?? '');
  }

  attach(options: ReadonlyMap<string, Item>): void {
    if (options.size === 0) return;
    const asked = queueOptions(this.core.taskDefaults, options);
    if (this.#configured) return checkSameOptions(this.title, this.#options, asked);
    this.#configured = true;
    this.#options = asked;
    this.queue.configure(limitsOf(asked), this.now());
    this.takers.tellLeaseTimeout();
  }

  // --- frames of producers ---

  readPut(session: Session, call: number, held: boolean, reader: Reader, end: number): void {
    const flags = reader.u8();
    const name = session.taskNames[reader.u16()];
    if (name === undefined) throw new ProtocolError('a put names a task that was not announced');
    const options = flags & PutFlags.options ? putOptions(reader.item()) : noOptions;
    if (flags & PutFlags.items) return this.maps.readPut(new Call(session, call, held), name, options, reader, end);
    const from = reader.position;
    const input = readPayload(session, reader, end, (flags & PutFlags.refs) !== 0);
    const bytesIn = input instanceof StoredPayload ? input.itemBytes : end - from;
    if (held || (this.holder === undefined && this.gate.free)) {
      if (options === noOptions && typeof input === 'string' && this.#open(bytesIn)) {
        this.#putPlain(session, call, name, input, bytesIn, flags);
      } else {
        this.#put({ session, call, name, input, bytesIn, flags, options }, held);
      }
    } else {
      const put = { session, call, name, input, bytesIn, flags, options };
      this.inTurn(new Call(session, call, false), () => this.#put(put, false), input);
    }
  }

  readGraph(session: Session, call: number, held: boolean, reader: Reader): void {
    const id = runId(reader.item());
    const rules = readRunRules(reader.item());
    const graph = readGraph(session, reader);
    const specOf: SpecOf = (checked, place, after, job) => {
      const input = checked.inputs[place];
      if (input instanceof Packed) this.keep(input);
      return jobSpec(this.#options, checked, place, after, job);
    };
    const submit = (): void => {
      let kept = false;
      try {
        if (this.queue.shut) throw this.shutError();
        kept = this.runs.submit(session, id, rules, graph, specOf, this.now());
        session.done(call);
      } catch (error) {
        session.failed(call, error);
      }
      if (!kept) for (const input of graph.inputs) discardPayload(input);
    };
    const named = graph.inputs.filter((input) => input instanceof Packed);
    this.enter(session, call, held, submit, named);
  }

  /** Now, or, where others are in the way, in its turn; `held`: the call came through the hold that is there. */
  enter(session: Session, call: number, held: boolean, access: () => void, named?: unknown): void {
    if (held || (this.holder === undefined && this.gate.free)) access();
    else this.inTurn(new Call(session, call, false), access, named);
  }

  // --- frames of takers ---

  readTake(session: Session, call: number, taker: Taker, held: boolean, reader: Reader): void {
    const how = reader.u8();
    const [nowait, ranges] = [(how & 1) !== 0, (how & 2) === 0];
    this.takers.wants(taker, reader.u16());
    this.enter(session, call, held, () => this.takers.take(taker, call, nowait, held, ranges));
  }

  /** `call` is 0 where its sender wants no answer. */
  readComplete(session: Session, call: number, taker: Taker, reader: Reader, end: number): void {
    const at = reader.claim(17);
    const { data } = reader;
    const lease = getU48(data, at);
    const number = getU48(data, at + 6);
    const ranFor = data.getUint32(at + 12, true);
    const refs = (data.getUint8(at + 16) & PayloadFlags.refs) !== 0;
    const from = reader.position;
    const output = readPayload(session, reader, end, refs);
    const bytesOut = output instanceof StoredPayload ? output.itemBytes : end - from;
    if (taker.endings !== undefined && this.takers.ladder.tooLate(taker, call, lease)) return discardPayload(output);
    const answer = this.queue.complete(
      { holder: taker, lease, number, ranFor },
      output,
      bytesOut,
      this.arrival(session),
    );
    if (answer !== 'lost') {
      this.#leaseEnded(taker, lease, answer);
      if (call !== 0) session.done(call);
    } else {
      discardPayload(output);
      if (call !== 0) refuseLease(session, call, lease);
    }
  }

  /** All completions of a frame have been read. */
  completed(taker: Taker): void {
    this.takers.feed(taker, this.arrival(taker.session));
    if (this.#putters.size > 0) this.#admit();
  }

  readFail(session: Session, call: number, taker: Taker, reader: Reader): void {
    const lease = reader.u48();
    const number = reader.u48();
    const ranFor = reader.u32();
    const final = (reader.u8() & FailFlags.final) !== 0;
    const told = readFailure(session, reader, taker.leases.get(lease));
    const failure = this.takers.ladder.overran(taker, lease) ?? told;
    const answer = this.queue.fail({ holder: taker, lease, number, ranFor }, failure, final, this.arrival(session));
    if (taker.endings !== undefined) this.takers.ladder.ended(taker, lease);
    if (answer === 'lost') return refuseLease(session, call, lease);
    this.#leaseEnded(taker, lease, answer);
    session.done(call);
    this.completed(taker);
  }

  readRelease(session: Session, call: number, taker: Taker, reader: Reader): void {
    const lease = reader.u48();
    if (taker.endings !== undefined && this.takers.ladder.tooLate(taker, call, lease)) return;
    const answer = this.queue.giveBack(taker, lease, this.now());
    if (answer === 'lost') refuseLease(session, call, lease);
    else session.done(call);
  }

  readExtend(session: Session, call: number, taker: Taker, reader: Reader): void {
    const lease = reader.u48();
    const until = this.now() + reader.f64() * 10;
    if (!taker.leases.has(lease)) return refuseLease(session, call, lease);
    taker.extended.set(lease, until);
    session.done(call);
  }

  readProgress(session: Session, taker: Taker, reader: Reader): void {
    const task = taker.leases.get(reader.u48());
    const value = session.adopt(reader.item());
    if (task !== undefined) this.outcomes.progressed(task, value);
  }

  sessionEnds(session: Session): ((how: ProcessEnd) => void)[] {
    return this.takers.sessionEnds(session);
  }

  /** Tasks that wait or run. */
  get unfinished(): number {
    return this.queue.unfinished;
  }

  /** For tests: throws where the queue's state contradicts itself. */
  validate(): void {
    this.queue.validate();
  }

  override served(): void {
    this.#wake();
  }

  override dropped(reason: Error): void {
    this.#alarm.stop();
    this.queue.dispose();
    this.takers.dropped(reason);
    this.#putters.fail(reason, () => {});
    this.maps.fail(reason);
    this.#children.clear();
    for (const wait of [...this.joining]) wait.fail(reason);
  }

  // --- decisions of the core ---

  ready(): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    this.core.later(() => this.#wake());
  }

  settled(task: Task): void {
    // The record has them until it is forgotten.
    if (task.output instanceof Packed) this.keep(task.output);
    else if (task.failure !== undefined) this.keep(causeOf(task));
    restPayload(task.output);
    restPayload(task.input);
    if (task.job !== undefined) this.runs.settled(task);
    const part = task.rules?.part;
    if (part !== undefined) this.maps.settled(task, part);
    this.outcomes.settled(task);
    if (this.#children.size > 0) this.#children.ended(task);
    if (this.#putters.size > 0) this.ready();
    if (this.joining.size > 0 || this.queue.shut) this.#allDone();
  }

  moved(task: Task): void {
    this.runs.moved(task);
  }

  revoked(_task: Task, lease: number, holder: Holder, failure: Failure): void {
    (holder as Taker).lost(lease, failure);
    if (failure.code === 'QM_TASK_CANCELLED') this.takers.ladder.cancelled(holder as Taker, lease, failure);
  }

  discarded(input: object): void {
    this.#discard(input);
  }

  forgotten(task: Task): void {
    for (const item of [task.input, task.output, causeOf(task)]) this.#discard(item);
  }

  revived(task: Task): void {
    for (const item of [task.output, causeOf(task)]) this.#discard(item);
    if (task.job !== undefined) this.runs.revived(task);
  }

  #discard(payload: unknown): void {
    if (payload instanceof Packed) this.letGo(payload);
    else discardPayload(payload);
  }

  wake(at: number): void {
    this.#alarm.set(at);
  }

  unrunnable(demand: Demand): void {
    this.takers.tellUnrunnable(demand);
  }

  /** The last task has ended: whoever waits for that is told, and where no more can come, whoever waits for one. */
  #allDone(): void {
    if (this.unfinished > 0) return;
    this.core.later(() => {
      if (this.unfinished > 0) return;
      for (let wait = this.joining.shift(); wait !== undefined; wait = this.joining.shift()) wait.answer(undefined);
      if (this.queue.shut) this.takers.shutDown();
    });
  }

  /** No more is put: those who wait to are refused. */
  protected shutPuts(): void {
    this.queue.shutdown();
    this.#putters.fail(this.shutError(), (bundle, reason) => this.maps.refuse(bundle, reason));
    this.#allDone();
  }

  shutError(): Error {
    return new QueueShutdownError(`${this.title} has been shut down: nothing can be put any more`);
  }

  // --- putting ---

  /** There is room, and nobody waits for it. */
  #open(bytes: number): boolean {
    return this.#putters.size === 0 && !this.queue.shut && this.queue.hasRoom(bytes);
  }

  /** The way of nearly every put: nothing but a name and an input. */
  #putPlain(session: Session, call: number, name: string, input: string, bytesIn: number, flags: number): void {
    const { retries, poisonAfter } = this.#options;
    const spec = plainSpec(name, input, bytesIn, retries, poisonAfter);
    const task = this.queue.put(spec, this.arrival(session), session, call);
    if ((flags & PutFlags.run) === 0) session.accepted(call, task.number);
  }

  /** `held`: through a hold, which comes before those who were parked, and must not wait. */
  #put(put: PutSpec, held: boolean): void {
    const { session, call } = put;
    try {
      const id = this.#children.idOf(put);
      if (id !== undefined && this.#repeated(put, id)) return discardPayload(put.input);
      if (this.queue.shut) throw this.shutError();
      if (held ? this.queue.hasRoom(put.bytesIn) : this.#open(put.bytesIn)) {
        this.#accept(put);
      } else if (put.flags & PutFlags.nowait) {
        throw new QueueFullError(`${this.title} is full: ${this.queue.pending} tasks wait in it`);
      } else if (held) {
        throw new DeadlockError(`${this.title} is full, and a held object must not wait`);
      } else {
        this.#putters.add(put, () => this.#admit());
      }
    } catch (error) {
      discardPayload(put.input);
      session.failed(call, error);
    }
  }

  #accept(put: PutSpec): void {
    const { session, call, name, input, bytesIn, flags, options } = put;
    const asked = this.specOf(name, input, bytesIn, options);
    const child = options.parent === undefined ? asked : this.#children.specOf(put, options.parent, asked);
    const job = child.parent === undefined ? undefined : this.runs.childOf(child.parent, options.onFailure);
    const spec = job === undefined ? child : { ...child, job };
    if (input instanceof Packed) this.keep(input);
    try {
      this.outcomes.before(() => {
        const task = this.queue.put(spec, this.now(), session, call);
        if (spec.parent !== undefined) this.#children.add(spec.parent, task);
        if (job !== undefined) this.runs.joined(task);
        if ((flags & PutFlags.run) === 0) session.accepted(call, task.number);
      });
    } catch (error) {
      if (input instanceof Packed) this.letGo(input);
      if (job !== undefined) this.runs.refused(job);
      throw error;
    }
  }

  specOf(name: string, input: unknown, bytesIn: number, options: PutOptionItems): TaskSpec {
    return taskSpec(this, this.#options, name, input, bytesIn, options);
  }

  /** A task, and of one that is part of a run also what it has put, and that again. */
  protected family(task: Task): readonly Task[] {
    return task.job === undefined ? [task] : this.#children.family(task);
  }

  /** A task of that id is there: the same task answers for both, another one is refused. */
  #repeated({ session, call, name, input, flags, options: { parent } }: PutSpec, id: string): boolean {
    const task = this.lookUp(id);
    if (task === undefined) return false;
    checkSame(task, name, input, this.title);
    if (parent !== undefined) {
      const { lease, place } = parent;
      this.#children.again(this.#children.parentOf(session, lease), task, place !== undefined, this.now());
    }
    if ((flags & PutFlags.run) === 0) session.accepted(call, task.number);
    this.outcomes.sendWhenEnded(task, session, call);
    return true;
  }

  /** Puts that waited for room, in their order. */
  #admit(): void {
    if (this.holder === undefined) this.#putters.admit();
  }

  #leaseEnded(taker: Taker, lease: number, answer: LeaseAnswer): void {
    if (answer === 'done') taker.done++;
    if (taker.extended.size > 0) taker.extended.delete(lease);
  }

  #wake(): void {
    this.#wakeScheduled = false;
    if (this.#putters.size > 0) this.#admit();
    this.takers.dispatch();
    if (this.#putters.size > 0) this.#admit();
  }

  /** When the frame that is being handled came: one reading of the clock for the whole chunk. */
  arrival(session: Session): number {
    return this.core.at(session.link.lastReceived);
  }

  now(): number {
    return this.core.now();
  }

  protected lookUp(id: string): Task | undefined {
    this.queue.records.prune(this.now());
    return this.queue.records.get(id);
  }

  find(id: string): Task {
    const task = this.lookUp(id);
    if (task === undefined) throw unknownTask(this.title, id, this.#options);
    return task;
  }
}
