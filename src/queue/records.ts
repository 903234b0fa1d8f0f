/**
 * The task dict: every task whose record is kept, by number and by chosen id. Finished tasks leave it in the order in
 * which they ended, by count, by age and by the bytes that they hold, and never while something still needs them. Dead
 * letters (failed or expired) are counted apart: however much succeeds after them, they stay.
 */
import { Deque } from './deque.ts';
import { Numbered } from './numbered.ts';
import { JobIds, mayBeJob } from './job-ids.ts';
import { fitsShort, ShortRecords } from './short-records.ts';
import { automaticNumber, State, type Task } from './task.ts';

/** Most inputs of a `map` that are one task. */
const MOST_INPUTS = 1 << 13;

/** How many records of finished tasks are kept, for how long (ms), and how many bytes of payload they may hold together. */
interface Bounds {
  readonly count: number;
  readonly age: number;
  readonly bytes: number;
}

export interface Kept extends Bounds {
  /** The same for dead letters; as the others where it is left out. */
  readonly dead?: Bounds | undefined;
}

/** Where a shelf finds what it needs to know of a finished task, by its number. */
interface Lookup {
  endedAt(number: number): number;
  /** What `payloadBytes` of the task says, ever since it was added. */
  bytes(number: number): number;
}

/** Finished tasks whose records go by the same bounds, by their numbers, in the order of their ends. */
class Shelf {
  readonly #finished = new Deque<number>();
  /** Those that have been revived since they were added to `finished`, and how often. */
  readonly #revived = new Map<number, number>();
  readonly #lookup: Lookup;
  #stale = 0;
  /** The oldest one, and when it ended: asked at every end. */
  #oldest = -1;
  #oldestEnd = 0;
  #count = 0;
  /** Tenths of a millisecond. */
  #age = 0;
  #mostBytes = 0;
  #bytes = 0;

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
  }

  /** Bytes of payload of all that is on it. */
  get bytes(): number {
    return this.#bytes;
  }

  keep({ count, age, bytes }: Bounds): void {
    this.#count = count;
    this.#age = age * 10;
    this.#mostBytes = bytes;
  }

  add(task: Task): void {
    this.#finished.push(task.number);
    this.#bytes += task.payloadBytes;
  }

  /** A task on it is to be run anew; it has its payloads still. */
  revive(task: Task): void {
    const { number } = task;
    this.#oldest = -1;
    this.#bytes -= task.payloadBytes;
    this.#revived.set(number, (this.#revived.get(number) ?? 0) + 1);
    this.#stale++;
  }

  /** Takes out the oldest one whose time has come, if there is one. */
  due(now: number): number | undefined {
    for (;;) {
      const oldest = this.#finished.peek();
      if (oldest === undefined) return undefined;
      if (this.#stale > 0 && this.#dropStale(oldest)) continue;
      if (this.#finished.size - this.#stale <= this.#count && this.#bytes <= this.#mostBytes) {
        if (oldest !== this.#oldest) {
          this.#oldest = oldest;
          this.#oldestEnd = this.#lookup.endedAt(oldest);
        }
        if (now - this.#oldestEnd <= this.#age) return undefined;
      }
      this.#bytes -= this.#lookup.bytes(oldest);
      return this.#finished.shift();
    }
  }

  /** The oldest stands for an end that is not the task's last. */
  #dropStale(oldest: number): boolean {
    const times = this.#revived.get(oldest);
    if (times === undefined) return false;
    if (times === 1) this.#revived.delete(oldest);
    else this.#revived.set(oldest, times - 1);
    this.#stale--;
    this.#finished.shift();
    return true;
  }
}

export class Records {
  /** A task, or where its short record lies. */
  readonly #byNumber = new Numbered<Task | number>();
  readonly #short = new ShortRecords();
  readonly #byId = new Map<string, Task>();
  readonly #jobs = new JobIds();
  /** Ids in `#byId` that might be those of jobs. */
  #like = 0;
  readonly #lookup: Lookup = {
    endedAt: (number) => this.#endOf(number),
    bytes: (number) => this.#bytesOf(number),
  };
  readonly #ended = new Shelf(this.#lookup);
  readonly #dead = new Shelf(this.#lookup);
  readonly #forgotten: (state: State, task: Task | undefined) => void;

  /** `forgotten`: a record is not kept any more; of a short one there is no task. */
  constructor(keep: Kept, forgotten: (state: State, task: Task | undefined) => void) {
    this.#forgotten = forgotten;
    this.keep(keep);
  }

  keep(kept: Kept): void {
    this.#ended.keep(kept);
    this.#dead.keep(kept.dead ?? kept);
  }

  get size(): number {
    return this.#byNumber.size;
  }

  /** Bytes of payload of finished tasks whose records are kept, but for those that pins alone keep. */
  get bytes(): number {
    return this.#ended.bytes + this.#dead.bytes;
  }

  add(task: Task): void {
    this.#byNumber.set(task.number, task);
    if (task.id !== undefined) {
      this.#byId.set(task.id, task);
      if (mayBeJob(task.id)) this.#like++;
    } else if (task.job?.id !== undefined) {
      this.#jobs.set(task.job, task);
    }
  }

  /** Ids of the jobs of a run that are put next. Returns the first that is taken or stands there twice: none is reserved then. */
  reserve(run: string, jobs: readonly string[]): string | undefined {
    const taken = this.#like === 0 ? undefined : jobs.find((job) => this.#byId.has(`${run}/${job}`));
    return taken ?? this.#jobs.reserve(run, jobs);
  }

  get(id: string): Task | undefined {
    const number = automaticNumber(id);
    if (number === undefined) return this.#byId.get(id) ?? this.#jobs.get(id);
    return this.byNumber(number) ?? this.#rangeWith(number);
  }

  /** The task that stands for that number among others: inputs of a `map` that follow each other. */
  #rangeWith(number: number): Task | undefined {
    for (let first = number - 1; first > 0 && first > number - MOST_INPUTS; first--) {
      const task = this.#byNumber.get(first);
      if (typeof task === 'number') return undefined;
      if (task !== undefined) return number < first + (task.rules?.part?.count ?? 1) ? task : undefined;
    }
    return undefined;
  }

  /** One whose record is short is made for the asker: it is another object each time, and finished. */
  byNumber(number: number): Task | undefined {
    const found = this.#byNumber.get(number);
    return typeof found === 'number' ? this.#short.read(found, number) : found;
  }

  /**
   * What stands for that task by now: itself, while its record is short; another object, where it was made whole again
   * for somebody else. Undefined where its record has gone.
   */
  kept(task: Task): Task | undefined {
    const found = this.#byNumber.get(task.number);
    return typeof found === 'number' ? task : found;
  }

  /** In the order of the puts. */
  *values(): IterableIterator<Task> {
    for (const [number, found] of this.#byNumber.entries()) {
      yield typeof found === 'number' ? this.#short.read(found, number) : found;
    }
  }

  /** The task has ended: from now on its record is kept as long as the bounds say, and as short as it can be. */
  ended(task: Task, now: number): void {
    this.#shelfOf(task).add(task);
    this.#shorten(task);
    this.prune(now);
  }

  /** A finished task is to be run anew. */
  revive(task: Task): void {
    if (task.overdue) task.overdue = false;
    else this.#shelfOf(task).revive(task);
  }

  /** Lets go of the records whose time has come. */
  prune(now: number): void {
    this.#prune(this.#ended, now);
    this.#prune(this.#dead, now);
  }

  pin(task: Task): void {
    (task.finished && task.job === undefined ? this.#whole(task) : task).pins++;
  }

  unpin(given: Task): void {
    const task = given.finished && given.job === undefined ? this.#whole(given) : given;
    task.pins--;
    if (task.pins > 0) return;
    if (task.overdue) this.#forget(task);
    else if (task.finished) this.#shorten(task);
  }

  #shorten(task: Task): void {
    if (!fitsShort(task) || this.#byNumber.get(task.number) !== task) return;
    this.#byNumber.set(task.number, this.#short.add(task));
  }

  /** The one object of a finished task from here on: that which is kept, or else the one given. */
  #whole(task: Task): Task {
    const found = this.#byNumber.get(task.number);
    if (typeof found !== 'number') return found ?? task;
    this.#short.delete(found);
    this.#byNumber.set(task.number, task);
    return task;
  }

  #endOf(number: number): number {
    const found = this.#byNumber.get(number);
    return typeof found === 'number' ? this.#short.endedAt(found) : (found as Task).endedAt;
  }

  #bytesOf(number: number): number {
    const found = this.#byNumber.get(number);
    return typeof found === 'number' ? this.#short.payloadBytes(found) : (found as Task).payloadBytes;
  }

  #shelfOf({ state }: Task): Shelf {
    return state === State.failed || state === State.expired ? this.#dead : this.#ended;
  }

  #prune(shelf: Shelf, now: number): void {
    for (let number = shelf.due(now); number !== undefined; number = shelf.due(now)) {
      const found = this.#byNumber.get(number);
      if (typeof found === 'number') this.#forgetShort(number, found);
      else if (found !== undefined && found.pins > 0) found.overdue = true;
      else if (found !== undefined) this.#forget(found);
    }
  }

  #forgetShort(number: number, place: number): void {
    this.#short.delete(place);
    this.#byNumber.delete(number);
    this.#forgotten(State.succeeded, undefined);
  }

  #forget(task: Task): void {
    this.#byNumber.delete(task.number);
    if (task.id !== undefined) {
      this.#byId.delete(task.id);
      if (mayBeJob(task.id)) this.#like--;
    } else if (task.job?.id !== undefined) {
      this.#jobs.delete(task.job);
    }
    // Those would in turn hold what they come after, back to the first.
    task.after = undefined;
    this.#forgotten(task.state, task);
  }
}
