/**
 * Deadlocks under random schedules: flows of several sessions take and release locks, semaphores and read-write locks,
 * give up, and die. Beside them stands an oracle that knows the whole state: it lets everybody who runs finish, grants
 * what can be granted then, and so on; who is left can never go on.
 *
 * - No false alarm: whoever is rejected was left over by the oracle at that moment.
 * - None overlooked: when nobody runs any more, nobody waits.
 *
 * QM_SCHEDULES says how many schedules; a million takes minutes.
 */
import { expect, test } from 'vitest';
import { DeadlockError } from 'quartermaster';
import { Call, PARKED } from '#qm/manager/call.js';
import { ManagerCore } from '#qm/manager/core.js';
import { newMutex } from '#qm/manager/gate.js';
import type { Grant, Grantor } from '#qm/manager/objects/grantor.js';
import type { Session } from '#qm/manager/session.js';
import type { Item } from '#qm/protocol/wire.js';
import { Link } from '#qm/transport/link.js';
import type { Transport } from '#qm/transport/transport.js';
import { Random } from '../kit/random.ts';

const SCHEDULES = Number(process.env['QM_SCHEDULES'] ?? 10_000);
const STEPS = 30;
const FLOWS = 5;
const SESSIONS = 3;

/** Nobody is at the other end. */
const nowhere: Transport = Object.assign(
  { pending: 0 },
  Object.fromEntries(
    ['send', 'receive', 'close', 'destroy', 'pause', 'resume', 'ref', 'unref'].map((name) => [name, () => {}]),
  ),
) as unknown as Transport;

/** A call whose answer is kept. */
class Probe extends Call {
  token: number | undefined;
  error: unknown;
  override answer(item: Item): void {
    if (this.settled()) this.token = item as number;
  }
  override fail(error: unknown): void {
    if (this.settled()) this.error = error;
  }
  override refuse(error: unknown): void {
    if (this.over) return;
    this.cancelled();
    this.error = error;
  }
}

interface Lockable {
  readonly object: Grantor;
  readonly capacity: number;
  /** Those who wait, first come first served. */
  queue: Flow[];
}

interface Held {
  readonly at: Lockable;
  readonly weight: number;
  readonly grant: Grant;
}

class Flow {
  readonly held: Held[] = [];
  waiting: { readonly at: Lockable; readonly weight: number; readonly call: Probe } | undefined;
}

/** Who can never go on, whatever the others do. */
function lost(flows: readonly Flow[], objects: readonly Lockable[]): Set<Flow> {
  const used = new Map(objects.map((object) => [object, 0]));
  const queues = new Map(objects.map((object) => [object, [...object.queue]]));
  for (const { held } of flows) for (const { at, weight } of held) used.set(at, used.get(at)! + weight);
  const left = new Set(flows);
  const finish = (flow: Flow): void => {
    left.delete(flow);
    for (const { at, weight } of flow.held) used.set(at, used.get(at)! - weight);
  };
  for (const flow of flows) if (flow.waiting === undefined) finish(flow);
  for (let moved = true; moved;) {
    moved = false;
    for (const object of objects) {
      const queue = queues.get(object)!;
      // What is granted is given back again: the flow goes on to its end.
      while (queue.length > 0 && used.get(object)! + queue[0]!.waiting!.weight <= object.capacity) {
        finish(queue.shift()!);
        moved = true;
      }
    }
  }
  return left;
}

class Schedule {
  readonly #random: Random;
  readonly #manager: ManagerCore;
  readonly #flows: Flow[] = Array.from({ length: FLOWS }, () => new Flow());
  readonly #sessions: Session[];
  readonly #objects: Lockable[];
  #calls = 0;
  rejected = 0;

  constructor(random: Random, manager: ManagerCore) {
    this.#random = random;
    this.#manager = manager;
    this.#sessions = Array.from({ length: SESSIONS }, () => this.#join());
    this.#objects = Array.from({ length: 1 + random.below(4) }, () => this.#lockable());
  }

  #join(): Session {
    const link = new Link(nowhere, 1e9, { frame: () => {}, closed: () => {} });
    return this.#manager.join(link, { pid: 1, host: '', name: '', ticket: undefined });
  }

  #lockable(): Lockable {
    const kind = this.#random.pick(['lock', 'rwlock', 'semaphore'] as const);
    const permits = 1 + this.#random.below(3);
    const options = new Map(kind === 'semaphore' ? [['permits', permits]] : []);
    const object = this.#manager.open(kind, undefined, options) as Grantor;
    return { object, capacity: kind === 'lock' ? 1 : kind === 'semaphore' ? permits : 2 ** 32, queue: [] };
  }

  #sessionOf(flow: Flow): Session {
    return this.#sessions[this.#flows.indexOf(flow) % SESSIONS]!;
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      if (this.#random.chance(0.01)) {
        this.#die(this.#random.below(SESSIONS));
        continue;
      }
      const flow = this.#random.pick(this.#flows);
      if (flow.waiting !== undefined) {
        if (this.#random.chance(0.05)) this.#giveUp(flow);
      } else if (flow.held.length > 0 && this.#random.chance(0.4)) {
        this.#release(flow);
      } else {
        this.#acquire(flow);
      }
    }
    // Everybody who can finishes; nobody may be left.
    for (let running = this.#running(); running.length > 0; running = this.#running()) {
      while (running[0]!.held.length > 0 && running[0]!.waiting === undefined) this.#release(running[0]!);
    }
    expect(this.#flows.filter(({ waiting }) => waiting !== undefined)).toEqual([]);
    for (const { object } of this.#objects) expect([...object.owners()]).toEqual([]);
    for (const session of this.#sessions) this.#manager.left(session);
    for (const { object } of this.#objects) this.#manager.release(Object.assign(object, { references: 1 }));
  }

  #running(): Flow[] {
    return this.#flows.filter(({ held, waiting }) => waiting === undefined && held.length > 0);
  }

  #acquire(flow: Flow): void {
    const at = this.#random.pick(this.#objects);
    const { typeId } = at.object.type;
    const weight =
      typeId === 'semaphore'
        ? 1 + this.#random.below(at.capacity)
        : typeId === 'rwlock' && this.#random.chance(0.5)
          ? at.capacity
          : 1;
    const method = typeId !== 'rwlock' ? 'acquire' : weight === 1 ? 'read' : 'write';
    const number = at.object.type.methodNames.indexOf(method);
    const call = new Probe(this.#sessionOf(flow), ++this.#calls, false);
    call.holding = flow.held.map(({ grant }) => grant);
    flow.waiting = { at, weight, call };
    at.queue.push(flow);
    const doomed = lost(this.#flows, this.#objects).has(flow);
    try {
      const answer = at.object.type.methods[number]!.call(at.object, call, typeId === 'semaphore' ? [weight] : []);
      if (answer !== PARKED) call.answer(answer as number);
    } catch (error) {
      call.fail(error);
    }
    if (call.error !== undefined) {
      // Told the moment it began to wait: by then the oracle has given it up.
      expect(call.error).toBeInstanceOf(DeadlockError);
      expect(doomed).toBe(true);
      this.rejected++;
    }
    this.#settle(doomed ? new Set([flow]) : new Set());
  }

  #release(flow: Flow): void {
    // Mostly the newest first, as bodies do; guards come in any order.
    const at = this.#random.chance(0.8) ? flow.held.length - 1 : this.#random.below(flow.held.length);
    const [held] = flow.held.splice(at, 1) as [Held];
    const doomed = this.#doomedAfter();
    held.at.object.release(new Probe(this.#sessionOf(flow), ++this.#calls, false), [held.grant.token]);
    this.#settle(doomed);
  }

  #giveUp(flow: Flow): void {
    const { call, at } = flow.waiting!;
    flow.waiting = undefined;
    at.queue = at.queue.filter((other) => other !== flow);
    const doomed = this.#doomedAfter();
    call.cancelled();
    this.#settle(doomed);
  }

  #die(at: number): void {
    const dying = this.#flows.filter((flow) => this.#flows.indexOf(flow) % SESSIONS === at);
    for (const flow of dying) {
      flow.held.length = 0;
      if (flow.waiting !== undefined) flow.waiting.at.queue = flow.waiting.at.queue.filter((other) => other !== flow);
      flow.waiting = undefined;
    }
    const doomed = this.#doomedAfter();
    this.#manager.left(this.#sessions[at]!);
    this.#sessions[at] = this.#join();
    this.#settle(doomed);
  }

  /** Who is lost once what can be granted now has been. */
  #doomedAfter(): Set<Flow> {
    return lost(this.#flows, this.#objects);
  }

  /** Takes over what the manager has granted and rejected meanwhile. */
  #settle(doomed: ReadonlySet<Flow>): void {
    for (const object of this.#objects) {
      for (const flow of [...object.queue]) {
        const { call, weight } = flow.waiting!;
        if (call.token === undefined && call.error === undefined) continue;
        object.queue = object.queue.filter((other) => other !== flow);
        flow.waiting = undefined;
        if (call.error !== undefined) {
          expect(call.error).toBeInstanceOf(DeadlockError);
          expect(doomed.has(flow)).toBe(true);
          this.rejected++;
          continue;
        }
        const grant = object.object.grantOf(call.token!, call.session)!;
        flow.held.push({ at: object, weight, grant });
      }
    }
  }
}

test(`L8 ${SCHEDULES} random schedules: every deadlock is told, and nothing else`, { timeout: 1_800_000 }, () => {
  const random = new Random('deadlocks');
  const manager = new ManagerCore({ newMutex, maxObjects: 1000, tasks: {} as never, resources: {}, pendingBytes: 1e9 });
  let rejected = 0;
  for (let n = 0; n < SCHEDULES; n++) {
    const schedule = new Schedule(random, manager);
    schedule.run();
    rejected += schedule.rejected;
  }
  // Otherwise the schedules would show nothing.
  expect(rejected).toBeGreaterThan(SCHEDULES / 20);
});
