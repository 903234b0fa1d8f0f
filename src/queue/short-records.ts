/**
 * Records of tasks that have succeeded and of which nothing out of the ordinary is to be told: what `dict.get()` shows of
 * them, as numbers side by side. One takes some 70 bytes instead of the 300 of a `Task`, and the collector need not look
 * at each of them.
 *
 * They lie in pages, in the order in which they came, which is about that in which they go: a page that has emptied goes
 * as a whole, and no place in it is used again.
 */
import { State, Task } from './task.ts';

const PAGE = 4096;
/** Times lie this much (tenths of a millisecond, five days) after the put at most; others stay whole. */
const LONGEST = 2 ** 32;

class Page {
  live = 0;
  readonly putAt = new Float64Array(PAGE);
  readonly endedBy = new Float64Array(PAGE);
  readonly readyAfter = new Uint32Array(PAGE);
  readonly startedAfter = new Uint32Array(PAGE);
  readonly endedAfter = new Uint32Array(PAGE);
  readonly bytesIn = new Uint32Array(PAGE);
  readonly bytesOut = new Uint32Array(PAGE);
  readonly attempt = new Uint32Array(PAGE);
  readonly priority = new Int32Array(PAGE);
  readonly names = new Array<string>(PAGE);
  readonly workers = new Array<unknown>(PAGE);
  readonly outputs = new Array<unknown>(PAGE);
}

/** Whether the record says all that there is to say of the task. */
export function fitsShort(task: Task): boolean {
  const { putAt, input, output } = task;
  return (
    task.state === State.succeeded &&
    task.pins === 0 &&
    task.id === undefined &&
    input === undefined &&
    // What names objects is more than bytes; its end is told.
    (typeof output === 'string' || output === undefined) &&
    task.failure === undefined &&
    task.changes === undefined &&
    task.rules === undefined &&
    task.after === undefined &&
    task.dependents === undefined &&
    task.job === undefined &&
    task.origin === undefined &&
    task.readyAt >= putAt &&
    task.startedAt >= putAt &&
    task.endedAt - putAt < LONGEST &&
    task.endedAt >= task.startedAt &&
    task.bytesIn < LONGEST &&
    task.bytesOut < LONGEST &&
    (task.priority | 0) === task.priority
  );
}

export class ShortRecords {
  readonly #pages = new Map<number, Page>();
  #newest = new Page();
  #next = 0;

  /** Where it lies from now on. Only of one that `fitsShort`. */
  add(task: Task): number {
    const place = this.#next++;
    const at = place % PAGE;
    if (at === 0) {
      this.#newest = new Page();
      this.#pages.set(place / PAGE, this.#newest);
    }
    const page = this.#newest;
    const { putAt } = task;
    page.live++;
    page.putAt[at] = putAt;
    page.readyAfter[at] = task.readyAt - putAt;
    page.startedAfter[at] = task.startedAt - putAt;
    page.endedAfter[at] = task.endedAt - putAt;
    page.endedBy[at] = task.endedBy;
    page.bytesIn[at] = task.bytesIn;
    page.bytesOut[at] = task.bytesOut;
    page.attempt[at] = task.attempt;
    page.priority[at] = task.priority;
    page.names[at] = task.name;
    page.workers[at] = task.worker;
    page.outputs[at] = task.output;
    return place;
  }

  endedAt(place: number): number {
    const page = this.#pageOf(place);
    const at = place % PAGE;
    return (page.putAt[at] as number) + (page.endedAfter[at] as number);
  }

  /** As of the task: its input has gone, so this is its output. */
  payloadBytes(place: number): number {
    return this.#pageOf(place).bytesOut[place % PAGE] as number;
  }

  /** The task anew, as whoever asks reads it. Changes of it are kept only where it is put back in the place of this. */
  read(place: number, number: number): Task {
    const page = this.#pageOf(place);
    const at = place % PAGE;
    const putAt = page.putAt[at] as number;
    const priority = page.priority[at] as number;
    const task = new Task(
      number,
      undefined,
      page.names[at] as string,
      priority,
      undefined,
      page.bytesIn[at] as number,
      0,
      1,
    );
    task.state = State.succeeded;
    task.attempt = page.attempt[at] as number;
    task.endedBy = page.endedBy[at] as number;
    task.output = page.outputs[at];
    task.bytesOut = page.bytesOut[at] as number;
    task.putAt = putAt;
    task.readyAt = putAt + (page.readyAfter[at] as number);
    task.startedAt = putAt + (page.startedAfter[at] as number);
    task.endedAt = putAt + (page.endedAfter[at] as number);
    task.worker = page.workers[at];
    return task;
  }

  delete(place: number): void {
    const page = this.#pageOf(place);
    const at = place % PAGE;
    page.outputs[at] = page.workers[at] = undefined;
    if (--page.live === 0 && page !== this.#newest) this.#pages.delete(Math.floor(place / PAGE));
  }

  #pageOf(place: number): Page {
    return this.#pages.get(Math.floor(place / PAGE)) as Page;
  }
}
