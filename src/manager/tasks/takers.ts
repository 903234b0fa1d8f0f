/**
 * Who gets what: tasks to those who ask, windows filled, leases watched, and all of it taken back when a session ends.
 *
 * Those who wait in `get()` come first, in their order; then whoever has room in its window, in turn.
 */
import { DeadlockError, FrameTooLargeError, QueueShutdownError } from '../../errors.ts';
import { errorItem } from '../../protocol/errors.ts';
import { TaskFlags, ToClient } from '../../protocol/messages.ts';
import { Packed, setU48 } from '../../protocol/wire.ts';
import type { Demand } from '../../queue/demands.ts';
import type { Part } from '../../queue/part.ts';
import type { TaskQueue } from '../../queue/queue.ts';
import { type Failure, NEVER, State, type Task } from '../../queue/task.ts';
import { Call } from '../call.ts';
import type { ManagerCore } from '../core.ts';
import type { Session } from '../session.ts';
import type { SharedObject } from '../shared-object.ts';
import type { ProcessEnd } from '../vouchers.ts';
import { Busiest } from './busiest.ts';
import { type Answer, Kinds } from './kinds.ts';
import { Ladder, type RunLimits } from './ladder.ts';
import { lost, payloadItem, silent, writePayload } from './payload.ts';
import { Taker } from './taker.ts';

interface TakerLimits extends RunLimits {
  /** ms */
  readonly leaseTimeout: number;
}

/** A window of more tasks than this holds some that take less than 30 µs each. */
const FINE = 128;

export class Takers {
  readonly #board: SharedObject;
  readonly #manager: ManagerCore;
  readonly #queue: TaskQueue;
  /** ms */
  readonly #leaseTimeout: () => number;
  /** A task has been taken: there is room for another to wait. */
  readonly #taken: () => void;
  /** A worker takes no more. */
  readonly #left: (taker: Taker, how?: ProcessEnd) => void;
  /** More is ready than one taker is to have: all that have room are to be asked. */
  readonly #spare: () => void;
  /** How many inputs of a `map` one of so many takers gets at once. */
  readonly #wanted: (task: Task, takers: number) => number;
  readonly #all = new Set<Taker>();
  readonly #kinds = new Kinds();
  readonly #busiest: Busiest;
  /** Ends what must not go on. */
  readonly ladder: Ladder;

  constructor(
    board: SharedObject,
    manager: ManagerCore,
    queue: TaskQueue,
    limits: () => TakerLimits,
    taken: () => void,
    left: (taker: Taker, how?: ProcessEnd) => void,
    spare: () => void,
    wanted: (task: Task, takers: number) => number,
  ) {
    this.#board = board;
    this.#manager = manager;
    this.#queue = queue;
    this.#leaseTimeout = () => limits().leaseTimeout;
    this.#taken = taken;
    this.#left = left;
    this.#spare = spare;
    this.#wanted = wanted;
    this.#busiest = new Busiest(queue, this.#kinds, this.#all, (taker, now) => this.#fill(taker, now), spare);
    this.ladder = new Ladder(manager, queue, limits, () => queue.ready > 0 && this.dispatch());
  }

  values(): IterableIterator<Taker> {
    return this.#all.values();
  }

  /** The taker behind a handle of the session, made at its first take. */
  of(session: Session, handle: number): Taker {
    let taker = session.takers.get(handle);
    if (taker === undefined) {
      taker = new Taker(session, handle, (offered) => this.#queue.enrol(offered));
      const made = taker;
      made.wants = (task) => (asRange(made, task, this.ladder.limitOf(task)) ? this.#wanted(task, this.#all.size) : 1);
      session.takers.set(handle, taker);
      this.#all.add(taker);
      this.#kinds.join(taker);
      if (this.#leaseTimeout() !== this.#manager.taskDefaults.leaseTimeout) this.#tell(taker);
    }
    return taker;
  }

  /** The lease timeout has been set: who beats must know. */
  tellLeaseTimeout(): void {
    for (const taker of this.#all) this.#tell(taker);
  }

  #tell({ session, handle }: Taker): void {
    session.event(handle, 'leaseTimeout', this.#leaseTimeout());
  }

  /** A call for one task. `held`: through a hold on the board, so it must not wait. */
  take(taker: Taker, call: number, nowait: boolean, held: boolean, ranges: boolean): void {
    if (this.#kinds.waiting > 0) this.dispatch();
    const now = this.#manager.now();
    const left = this.#busiest.keepUp(now, taker);
    if (!left && this.#queue.ready > 0 && this.#give(taker, true, now, ranges)) {
      this.#gave();
      taker.taken(call, 1);
      this.feed(taker);
    } else if (this.#queue.shut && this.#queue.unfinished === 0) {
      taker.session.failed(call, this.#over());
    } else if (nowait) {
      taker.taken(call, 0);
      this.feed(taker);
    } else if (held) {
      const why = `${this.#board.title} has no ready task, and a held object must not wait`;
      taker.session.failed(call, new DeadlockError(why));
    } else {
      const waiting = new Call(taker.session, call, false);
      const { leave } = this.#kinds.wait(waiting, taker);
      waiting.park(() => {
        leave();
        // It has what was on its way to its window when it asked: there is room for more.
        if (this.#all.has(taker) && taker.hungry) taker.hungryPeers.add(taker);
      });
      taker.hungryPeers.delete(taker);
      if (left) this.#busiest.watch();
      else this.#recall(taker);
    }
  }

  dispatch(): void {
    if (this.#board.holder !== undefined || this.#queue.ready === 0 || !this.#kinds.want) return;
    const now = this.#manager.now();
    if (this.#busiest.keepUp(now)) return;
    let gave = false;
    this.#kinds.askWaits(({ call, taker, leave }) => {
      if (this.#queue.ready === 0) return 'nothing left';
      if (!this.#give(taker, true, now)) return this.#refused(taker);
      gave = true;
      leave();
      call.settled();
      taker.taken(call.id, 1);
      if (taker.hungry) taker.hungryPeers.add(taker);
      return 'given';
    });
    const share = this.#share();
    const give = (taker: Taker, most: number): Answer => {
      if (this.#queue.ready === 0) return 'nothing left';
      if (taker.leases.size >= most && taker.window <= FINE) return 'refused';
      const given = taker.hungry && this.#give(taker, false, now);
      gave ||= given;
      const answer = given ? 'given' : taker.hungry ? this.#refused(taker) : 'refused';
      if (!taker.hungry) taker.hungryPeers.delete(taker);
      return answer;
    };
    this.#kinds.askHungry((taker) => give(taker, share));
    // What others cannot run, or have no room for.
    this.#kinds.askHungry((taker) => give(taker, Infinity));
    // Who waits to put hears of nothing: it would have this be asked again, for ever.
    if (gave) this.#gave();
  }

  /** Answers its calls, and fills its window. */
  #fill(taker: Taker, now: number): void {
    let gave = false;
    for (const { call, leave } of taker.waits) {
      if (this.#queue.ready === 0 || !this.#give(taker, true, now)) break;
      gave = true;
      leave();
      call.settled();
      taker.taken(call.id, 1);
    }
    while (this.#queue.ready > 0 && taker.hungry && this.#give(taker, false, now)) gave = true;
    if (!taker.hungry) taker.hungryPeers.delete(taker);
    if (!gave) return;
    this.#gave();
    if (this.#kinds.waiting > 0) this.#busiest.watch();
  }

  /** What is ready is not for this one: whoever is asked after it may get it. */
  #refused({ offer, doomed }: Taker): Answer {
    return !doomed && this.#queue.speaksForKind(offer) ? 'refused for its kind' : 'refused';
  }

  /** Fills the taker's window, unless somebody waits who has nothing at all. */
  feed(taker: Taker, now = this.#manager.now()): void {
    if (taker.window === 1) return;
    const some = this.#queue.ready > 0 && this.#board.holder === undefined;
    if (some && !this.#busiest.keepUp(now) && this.#kinds.waiting === 0 && taker.hungry) {
      let gave = false;
      const share = taker.window <= FINE ? this.#share() : Infinity;
      while (taker.leases.size < share && this.#give(taker, false, now)) {
        gave = true;
        if (this.#queue.ready === 0 || !taker.hungry) break;
      }
      if (gave) this.#gave();
      if (this.#queue.ready > 0 && taker.hungry) this.#spare();
    }
    if (taker.hungry) taker.hungryPeers.add(taker);
    else taker.hungryPeers.delete(taker);
  }

  /**
   * As many tasks as each would hold if all that is ready, and all that is leased, were dealt out evenly: of few tasks,
   * such as a layer of a graph, nobody's window takes more, or the others would have to get them back from it. Not of the
   * shortest ones, which are done in the time that a message takes.
   */
  #share(): number {
    return Math.ceil((this.#queue.ready + this.#queue.count(State.leased)) / this.#all.size);
  }

  /** How many tasks it wants to hold. */
  wants(taker: Taker, window: number): void {
    taker.window = Math.max(1, window);
    this.#busiest.note(taker);
  }

  resize(taker: Taker, window: number): void {
    this.wants(taker, window);
    if (taker.window === 1) taker.hungryPeers.delete(taker);
    else this.feed(taker);
  }

  /** A worker loop begins to take through a handle of the session, or takes no more. */
  loops(session: Session, handle: number, loops: boolean, ranges: boolean): void {
    const taker = this.of(session, handle);
    taker.loops = loops;
    taker.ranges = ranges;
    this.#busiest.note(taker);
    if (!loops) this.#left(taker);
  }

  /** The handler of one of its tasks waits for others. */
  lend(taker: Taker, lease: number): void {
    if (taker.lent.has(lease) || !taker.leases.has(lease)) return;
    taker.lend(lease);
    this.#queue.lend(taker, lease, this.#manager.now());
    this.feed(taker);
  }

  /** It goes on. */
  reclaim(taker: Taker, lease: number): void {
    if (taker.reclaim(lease)) this.#queue.reclaim(taker, lease);
  }

  /** The taker has started that lease and all before. */
  started(taker: Taker, lease: number): void {
    taker.started = Math.max(taker.started, lease);
    if (taker.limits !== undefined) this.ladder.started(taker, lease);
  }

  /** Un-started tasks that the helper took back from the window, in their order. */
  gaveBack(taker: Taker, leases: readonly number[]): void {
    const now = this.#manager.now();
    // First of all: it is busy, and would be given its tasks again. One that holds none has just nothing to do.
    if (taker.leases.size > 0) this.resize(taker, 1);
    taker.answered();
    for (const lease of leases) this.#queue.giveBack(taker, lease, now);
    this.ladder.gaveBack(taker, leases);
    // What it has been given since it was asked.
    if (taker.recalls === 0 && this.#kinds.waiting > 0 && taker.spare > 0) taker.recall();
  }

  /** Its handle has been given up; leases that are left end with the session. */
  leave(taker: Taker): void {
    if (taker.leases.size > 0 || !this.#all.delete(taker)) return;
    this.#busiest.delete(taker);
    this.#kinds.leave(taker);
    this.#queue.leave(taker.offer);
    taker.session.takers.delete(taker.handle);
  }

  /** The session has ended: its leases go when the functions returned are told how its process ended. */
  sessionEnds(session: Session): ((how: ProcessEnd) => void)[] {
    const losing: ((how: ProcessEnd) => void)[] = [];
    for (const taker of session.takers.values()) {
      if (!this.#all.delete(taker)) continue;
      this.#busiest.delete(taker);
      this.#kinds.leave(taker);
      this.#queue.leave(taker.offer);
      losing.push((how) => this.#lose(taker, how));
    }
    if (losing.length > 0) this.ladder.clear();
    return losing;
  }

  /** Ends the leases of those who have been silent for too long. Returns how many leases are out. */
  checkLeases(): number {
    const silentSince = performance.now() - this.#leaseTimeout();
    const now = this.#manager.now();
    let leases = 0;
    for (const taker of this.#all) {
      leases += taker.leases.size;
      if (taker.leases.size === 0 || taker.session.lastHeard >= silentSince) continue;
      if (this.#manager.vouchers.owned(taker.session)) {
        this.#manager.vouchers.silent(taker.session);
        continue;
      }
      this.#breakUp(taker, now);
      const { culprit } = taker;
      for (const [lease, task] of [...taker.leases]) {
        if ((taker.extended.get(lease) ?? 0) > now) continue;
        if (this.ladder.overran(taker, lease) !== undefined) continue;
        const alone = lease === culprit;
        this.#queue.expire(taker, lease, silent(task, taker.worker, this.#leaseTimeout()), now, alone);
      }
    }
    return leases;
  }

  /** The session reads again: its windows may be filled. */
  sessionWritable(session: Session): void {
    for (const taker of session.takers.values()) if (this.#all.has(taker)) this.feed(taker);
  }

  /** The session's helper is there, perhaps in the place of one that left without an answer. */
  helperJoined(session: Session): void {
    for (const taker of session.takers.values()) {
      if (!this.#all.has(taker)) continue;
      if (this.#kinds.waiting > 0 && taker.spare > 0 && !this.#busiest.watches(taker)) taker.recall();
      this.ladder.helperJoined(taker);
    }
  }

  /** No task will ever come again. */
  shutDown(): void {
    this.dropped(this.#over());
  }

  #over(): Error {
    return new QueueShutdownError(`${this.#board.title} has been shut down, and nothing is left in it`);
  }

  /** Somebody has put what none of those who take could ever run: all that know the queue hear of it. */
  tellUnrunnable({ tags, worker, needs }: Demand): void {
    const resources = needs.flatMap(({ name, amount }) => [name, amount]);
    this.#manager.tellHolders(this.#board, 'unrunnable', [this.#board.name ?? '', [...tags], worker, resources]);
  }

  dropped(reason: Error): void {
    this.ladder.stop();
    for (const wait of [...this.#kinds.waits()]) wait.call.fail(reason);
  }

  /** False where there is none for this taker. */
  #give(taker: Taker, asked: boolean, now: number, ranges = true): boolean {
    if (taker.doomed) return false;
    const task = this.#queue.take(taker, taker.worker, now, ranges ? Infinity : 1);
    if (task === undefined) return false;
    const limit = this.ladder.limitOf(task);
    if (limit < Infinity) taker.limit(task.lease, limit);
    // With a window of one, a task goes straight to the caller who asked for it.
    else if (asked && taker.window === 1) taker.started = task.lease;
    const range = ranges && asRange(taker, task, limit);
    if (range) taker.gotRange(task.lease);
    this.#send(taker, task, limit < Infinity, range);
    return true;
  }

  /** Tasks have been leased: those who wait to put have room, and somebody must look after the leases. */
  #gave(): void {
    this.#taken();
    this.#manager.watchLeases(this.#leaseTimeout() / 5);
  }

  #send(taker: Taker, task: Task, timed: boolean, range: boolean): void {
    const { session } = taker;
    const { link } = session;
    const { writer } = link;
    const { input } = task;
    const jobs = input instanceof Packed && input.jobs.length > 0 ? input.jobs : undefined;
    const name = session.announce(task.name);
    const id = task.chosenId;
    link.beginEntry(ToClient.TASK, taker.handle);
    const once = (task.poisonAfter === 1 ? TaskFlags.once : 0) | (timed ? TaskFlags.timed : 0);
    const part = task.rules?.part;
    const mapped = (range ? TaskFlags.items : 0) | (part?.careful === true ? TaskFlags.careful : 0);
    const flags = (id === undefined ? 0 : TaskFlags.id) | (jobs === undefined ? 0 : TaskFlags.outputs) | once | mapped;
    const at = writer.claim(17);
    const { data } = writer;
    setU48(data, at, task.lease);
    setU48(data, at + 6, task.number);
    data.setUint8(at + 12, flags);
    data.setUint16(at + 13, name, true);
    data.setUint16(at + 15, Math.min(0xffff, task.attempt + 1), true);
    if (id !== undefined) writer.item(id);
    if (jobs !== undefined) {
      writer.item(jobs.flatMap(({ id }) => [id, payloadItem(this.#queue.records.get(id)?.output)]));
    }
    if (range) writer.u32((part as Part).count);
    writePayload(session, input);
    try {
      link.endEntry();
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error;
      this.#refuseInput(taker, task, error);
    }
  }

  /** The input and the outputs that it names do not go into one message. */
  #refuseInput(taker: Taker, task: Task, error: FrameTooLargeError): void {
    const failure: Failure = {
      code: 'QM_TASK_FAILED',
      message: `task '${task.key}' (${task.name}) failed: its input is too large: ${error.message}`,
      fields: [],
      cause: errorItem(error.code, error.message),
    };
    const { lease, number } = task;
    this.#queue.fail({ holder: taker, lease, number, ranFor: NEVER }, failure, true, this.#manager.now());
  }

  /** Somebody waits with nothing to do: ask those who hold un-started tasks for them, whatever their window is by now. */
  #recall(waits: Taker): void {
    // What is on its way to the one who waits is what it waits for: called back, it would come after later ones.
    for (const taker of this.#all) if (taker !== waits && taker.spare > 0) taker.recall();
  }

  #lose(taker: Taker, how: ProcessEnd): void {
    const now = this.#manager.now();
    this.#queue.mapped.breakUp(taker, taker.started, now);
    const { culprit } = taker;
    for (const [lease, task, started] of taker.starts()) {
      const alone = lease === culprit;
      const overran = this.ladder.overran(taker, lease);
      if (overran !== undefined) this.ladder.timeOut(taker, lease, overran);
      else this.#queue.lose(taker, lease, started, lost(task, taker.worker, how), now, alone, how.ordered);
    }
    this.#left(taker, how);
  }

  /** It has been silent for too long: what it has not begun of its ranges is ready again, the rest is as any task. */
  #breakUp(taker: Taker, now: number): void {
    for (const [lease, task] of taker.leases) {
      const part = task.rules?.part;
      if (part === undefined || part.count === 1) continue;
      taker.lost(lease + part.done, silent(task, taker.worker, this.#leaseTimeout()));
    }
    this.#queue.mapped.breakUp(taker, taker.started, now);
  }
}

/** Inputs of a `map` go to that taker as a range: nothing needs to be known of each before it begins. */
function asRange(taker: Taker, { rules, poisonAfter }: Task, limit: number): boolean {
  const part = rules?.part;
  return taker.ranges && part !== undefined && !part.careful && poisonAfter > 1 && limit === Infinity;
}
