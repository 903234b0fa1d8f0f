/** What a run of a job graph tells of itself while it goes on. */
import type { Item } from '../protocol/wire.ts';
import type { TaskState } from '../tasks.ts';

/** A job of a run has moved. */
export interface JobEvent {
  /** Its id in the graph; of a task that a job has put, the task's id. */
  readonly job: string;
  /** The handler's name. */
  readonly name: string;
  readonly state: TaskState;
  /** Wall-clock time (ms since 1970). */
  readonly at: number;
  /** Who runs or ran it. */
  readonly worker?: string;
  readonly pid?: number;
  /** Why it did not succeed. */
  readonly error?: string;
  /** The job that has put it: it is no part of the graph, but of the run. */
  readonly parent?: string;
}

/** How far a run is. */
export interface RunProgress {
  /** Jobs of the graph, and what they have put so far. */
  readonly total: number;
  /** In a final state, whichever. */
  readonly done: number;
  readonly running: number;
  readonly failed: number;
  readonly skipped: number;
}

export function eventFrom(item: Item): JobEvent {
  const [job, name, state, at, worker, pid, error, parent] = item as readonly Item[];
  return {
    job: job as string,
    name: name as string,
    state: state as TaskState,
    at: Number(at),
    ...(typeof worker === 'string' ? { worker } : {}),
    ...(typeof pid === 'number' ? { pid } : {}),
    ...(typeof error === 'string' ? { error } : {}),
    ...(typeof parent === 'string' ? { parent } : {}),
  };
}

/** Counts the jobs of a run by what is told of them. */
export class Tally {
  readonly #states = new Map<string, TaskState>();
  readonly #count = { total: 0, done: 0, running: 0, failed: 0, skipped: 0 };

  constructor(jobs: number) {
    this.#count.total = jobs;
  }

  add({ job, state }: JobEvent): RunProgress {
    const before = this.#states.get(job);
    if (before !== undefined) this.#change(before, -1);
    this.#change(state, 1);
    this.#states.set(job, state);
    if (this.#states.size > this.#count.total) this.#count.total = this.#states.size;
    return { ...this.#count };
  }

  #change(state: TaskState, by: number): void {
    const count = this.#count;
    switch (state) {
      case 'leased':
        count.running += by;
        return;
      case 'failed':
      case 'cancelled':
      case 'expired':
        count.failed += by;
        break;
      case 'skipped':
        count.skipped += by;
        break;
      case 'succeeded':
        break;
      default:
        return;
    }
    count.done += by;
  }
}
