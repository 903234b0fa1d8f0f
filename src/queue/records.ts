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

  /** Lets go of the records whose time has come. */
  prune(now: number): void {
    for (;;) {
      const oldest = this.#finished.peek();
      if (oldest === undefined) return;
      if (this.#finished.size <= this.#count && now - oldest.endedAt <= this.#age) return;
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

  #forget(task: Task): void {
    this.#byNumber.delete(task.number);
    if (task.id !== undefined) this.#byId.delete(task.id);
    // Those would in turn hold what they come after, back to the first.
    task.after = undefined;
    this.#forgotten(task);
  }
}
