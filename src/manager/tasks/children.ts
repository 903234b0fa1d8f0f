/**
 * Tasks that the handlers of other tasks put. Whatever becomes of an attempt, the next one of the same task finds what
 * has been put: the records of children stay until their parent has ended, and a put in the same place gets the task
 * that is there. One that did not succeed is run anew for a parent that has failed since, or is itself run anew:
 * otherwise its next attempt would fail of the same.
 *
 * A parent that lost its worker has not failed: a child that took the worker with it stays failed.
 */
import { LeaseLostError } from '../../errors.ts';
import type { TaskQueue, TaskSpec } from '../../queue/queue.ts';
import { childId, State, type Task } from '../../queue/task.ts';
import type { Session } from '../session.ts';
import type { ParentRef, PutSpec } from './put-options.ts';

export class Children {
  readonly #queue: TaskQueue;
  /** Of parents that have not ended: their children, and how often the parent had failed when it last put each. */
  readonly #families = new Map<Task, Map<Task, number>>();

  constructor(queue: TaskQueue) {
    this.#queue = queue;
  }

  /** Parents with children that have not ended. */
  get size(): number {
    return this.#families.size;
  }

  /** The task of that lease. @throws LeaseLostError */
  parentOf(session: Session, lease: number): Task {
    for (const taker of session.takers.values()) {
      const task = taker.leases.get(lease);
      if (task !== undefined && this.#queue.records.byNumber(task.number) === task) return task;
    }
    throw new LeaseLostError(`lease ${lease} has ended: what its attempt puts now would be nobody's`);
  }

  /** The id that it will have, where its automatic one will not do. @throws LeaseLostError of its parent */
  idOf({ session, options: { id, parent } }: PutSpec): string | undefined {
    if (parent === undefined) return id;
    const { number } = this.parentOf(session, parent.lease);
    return parent.place === undefined ? id : childId(number, parent.place);
  }

  /** A child as it is put. @throws LeaseLostError: its parent may have lost its lease while the put waited */
  specOf(put: PutSpec, { lease }: ParentRef, asked: TaskSpec): TaskSpec {
    const parent = this.parentOf(put.session, lease);
    return { ...asked, id: this.idOf(put), rules: { ...asked.rules, parent: parent.key }, parent };
  }

  /** A task that has not ended, what it has put, and that again. */
  family(task: Task): readonly Task[] {
    const all = [task];
    for (const each of all) for (const child of this.#families.get(each)?.keys() ?? []) all.push(child);
    return all;
  }

  /** The parent has put it: its record stays until the parent has ended. */
  add(parent: Task, child: Task): void {
    const family = this.#families.get(parent) ?? new Map<Task, number>();
    this.#families.set(parent, family);
    if (!family.has(child)) this.#queue.records.pin(child);
    family.set(child, parent.failures);
  }

  /** The parent puts what is there. `own`: its id is that of a child, so nobody else can have put it. */
  again(parent: Task, child: Task, own: boolean, now: number): void {
    const putAt = this.#families.get(parent)?.get(child);
    const failedSince = putAt === undefined || putAt < parent.failures;
    if (own && failedSince && child.finished && child.state !== State.succeeded) this.#queue.retry(child, now);
    this.add(parent, child);
  }

  /** A task has ended, whoever's child or parent it is. */
  ended(parent: Task): void {
    const family = this.#families.get(parent);
    if (family === undefined) return;
    this.#families.delete(parent);
    for (const child of family.keys()) this.#queue.records.unpin(child);
  }

  /** No task is left. */
  clear(): void {
    this.#families.clear();
  }
}
