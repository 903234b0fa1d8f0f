/**
 * The task dict: every task whose record is kept, by number and by chosen id. Finished tasks leave it in the order in
 * which they ended, by count and by age, and never while something still needs them.
 */
import { Deque } from './deque.ts';
import { Numbered } from './numbered.ts';
import { automaticNumber, type Task } from './task.ts';

export class Records {
  readonly #byNumber = new Numbered<Task>();
  readonly #byId = new Map<string, Task>();
  readonly #finished = new Deque<Task>();
  /** Finished tasks that have been revived since they were added to `#finished`, and how often. */
  readonly #revived = new Map<Task, number>();
  #stale = 0;
  #count = 0;
  /** Tenths of a millisecond. */
  #age = 0;
  readonly #forgotten: (task: Task) => void;

  constructor(keep: { count: number; age: number }, forgotten: (task: Task) => void) {
    this.#forgotten = forgotten;
    this.keep(keep);
  }

  /** How many records of finished tasks, and for how long (ms). */
  keep(keep: { count: number; age: number }): void {
    this.#count = keep.count;
    this.#age = keep.age * 10;
  }

  get size(): number {
    return this.#byNumber.size;
  }

  add(task: Task): void {
    this.#byNumber.set(task.number, task);
    if (task.id !== undefined) this.#byId.set(task.id, task);
  }

  get(id: string): Task | undefined {
    const number = automaticNumber(id);
    return number === undefined ? this.#byId.get(id) : this.#byNumber.get(number);
  }

  byNumber(number: number): Task | undefined {
    return this.#byNumber.get(number);
  }

  /** In the order of the puts. */
  values(): IterableIterator<Task> {
    return this.#byNumber.values();
  }

  /** The task has ended: from now on its record is kept by count and age. */
  ended(task: Task, now: number): void {
    this.#finished.push(task);
    this.prune(now);
  }

  /** A finished task is to be run anew. */
  revive(task: Task): void {
    if (task.overdue) {
      task.overdue = false;
      return;
    }
    this.#revived.set(task, (this.#revived.get(task) ?? 0) + 1);
    this.#stale++;
  }

  /** Lets go of the records whose time has come. */
  prune(now: number): void {
    for (;;) {
      const oldest = this.#finished.peek();
      if (oldest === undefined) return;
      if (this.#stale > 0 && this.#dropStale(oldest)) continue;
      if (this.#finished.size - this.#stale <= this.#count && now - oldest.endedAt <= this.#age) return;
      this.#finished.shift();
      if (oldest.pins > 0) oldest.overdue = true;
      else this.#forget(oldest);
    }
  }

  pin(task: Task): void {
    task.pins++;
  }

  unpin(task: Task): void {
    task.pins--;
    if (task.pins === 0 && task.overdue) this.#forget(task);
  }

  /** The oldest stands for an end that is not the task's last. */
  #dropStale(oldest: Task): boolean {
    const times = this.#revived.get(oldest);
    if (times === undefined) return false;
    if (times === 1) this.#revived.delete(oldest);
    else this.#revived.set(oldest, times - 1);
    this.#stale--;
    this.#finished.shift();
    return true;
  }

  #forget(task: Task): void {
    this.#byNumber.delete(task.number);
    if (task.id !== undefined) this.#byId.delete(task.id);
    // Those would in turn hold what they come after, back to the first.
    task.after = undefined;
    this.#forgotten(task);
  }
}
