/**
 * How tasks are cut that stand for several inputs of a `map`.
 *
 *     put together:   0 1 2 3 4 5 6 7 8 9          one task, ready
 *     a lease takes:  [0 1 2 3] 4 5 6 7 8 9        as many as its taker wants; the others stay where they were
 *     1 fails:        [0 · 2 3] (1)                a task like any other from here on, for better or worse
 *     3 comes back:   [0 · 2] 3 4 5 6 7 8 9        not begun, so ready again, where it was
 *
 * What is cut out keeps its number, and thereby its id and its place among equals, and a lease the sequence that it had.
 */
import type { Lifecycle } from './lifecycle.ts';
import type { Part } from './part.ts';
import { type Holder, Task } from './task.ts';
import { Timer } from './timers.ts';

/** For how many tasks it counts. */
export function weightOf({ rules }: Task): number {
  return rules?.part === undefined ? 1 : rules.part.size;
}

/** A task with its part. */
interface Ranged {
  readonly task: Task;
  readonly part: Part;
  /** The place of the lease that was asked for. */
  readonly at: number;
}

export class Ranges {
  readonly #life: Lifecycle;

  constructor(life: Lifecycle) {
    this.#life = life;
  }

  /** The holder's task that the lease is in, though it may not be its first. */
  find(holder: Holder, lease: number): Ranged | undefined {
    for (const [first, task] of holder.leases) {
      const part = task.rules?.part;
      if (part !== undefined && lease >= first && lease < first + part.count) return { task, part, at: lease - first };
    }
    return undefined;
  }

  /** The task is ready no more and not leased yet: what is more than `most` inputs stays behind, ready. */
  trim(task: Task, part: Part, most: number, now: number): void {
    if (part.count > most) this.#life.admission.add(this.#cutOff(task, part, most), now);
    if (part.count > 1) this.#life.admission.chargeMore(task, part.count - 1);
  }

  /** Leased inputs that have not been begun, from that place on, are ready again. False where there are none. */
  giveBack({ task, part, at }: Ranged, now: number): boolean {
    if (at < part.done) return false;
    const rest = this.#cutOff(task, part, at);
    this.#life.admission.chargeMore(rest, -weightOf(rest));
    this.#life.requeue(rest, undefined, now);
    return true;
  }

  /**
   * The next leased input as a task of its own, under its own lease; what is after it may be another one from here on.
   * Undefined where it is not the next.
   */
  apart({ task, part, at }: Ranged): Task | undefined {
    if (at !== part.done) return undefined;
    if (part.count === 1) return task;
    if (at > 0) return this.#leaseLike(task, this.#cut(task, part.single(), at), at);
    this.#leaseLike(task, this.#cutOff(task, part, 1), 1);
    return task;
  }

  /** Those that have no outcome yet, under their own lease, apart from those that have. */
  pending(task: Task, part: Part): Task {
    return part.done === 0 ? task : this.#leaseLike(task, this.#cutOff(task, part, part.done), part.done);
  }

  #cutOff(task: Task, part: Part, at: number): Task {
    const { inputs, from } = part;
    const rest = this.#cut(task, part.rest(at), at);
    task.input = inputs.cut(from, from + at);
    task.bytesIn = inputs.bytes(from, from + at);
    return rest;
  }

  /** A task like the other for what was cut out of it, at `at`: in its state, but in no lane and under no lease. */
  #cut(from: Task, part: Part, at: number): Task {
    const to = part.from + part.count;
    const input = part.inputs.cut(part.from, to);
    const bytes = part.inputs.bytes(part.from, to);
    const { name, priority, retries, poisonAfter, rules } = from;
    const task = new Task(from.number + at, undefined, name, priority, input, bytes, retries, poisonAfter);
    task.putAt = from.putAt;
    task.readyAt = from.readyAt;
    task.attempt = from.attempt;
    task.state = from.state;
    const own = this.#life.admission.enter(task, rules?.asked ?? {});
    own.part = part;
    part.inputs.tasks.add(task);
    if (rules?.expiry !== undefined) {
      own.expiry = new Timer(rules.expiry.at, 'expiry', task);
      this.#life.timers.add(own.expiry);
    }
    this.#life.records.add(task);
    return task;
  }

  /** The leases of a holder stand in their order. */
  #leaseLike(from: Task, task: Task, at: number): Task {
    const holder = from.holder as Holder;
    task.startedAt = from.startedAt;
    task.lease = from.lease + at;
    task.holder = holder;
    task.worker = from.worker;
    this.#life.admission.beginLike(task, from);
    const leases = [...holder.leases, [task.lease, task] as const].sort(([a], [b]) => a - b);
    holder.leases.clear();
    for (const [lease, leased] of leases) holder.leases.set(lease, leased);
    return task;
  }
}
