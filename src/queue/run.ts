/**
 * What the core knows of a run of a job graph: its jobs share a place among the other tasks, a limit, and an end. The
 * limit works as that of a key does: while as many are leased as may be, what comes up waits in lines beside the index.
 */
import type { OnFailure } from '../tasks.ts';
import { Lines } from './lines.ts';
import type { Task } from './task.ts';

export class TaskRun extends Lines {
  /** Its jobs are known by 'id/job'; undefined where they have ids of their own. */
  readonly id: string | undefined;
  /** Its tasks, each after those that it comes after. */
  readonly tasks: Task[] = [];
  /** The number of its first task. */
  #seat = 0;
  /** Most of its tasks that are leased at a time, but for those that are lent. */
  readonly concurrency: number;
  /** Leases under way, counted where there is a limit. */
  running = 0;
  /** The job because of whose failure nothing more of it begins. */
  stoppedBy: Task | undefined = undefined;

  constructor(concurrency = Infinity, id?: string) {
    super();
    this.id = id;
    this.concurrency = concurrency;
  }

  add(task: Task): void {
    if (this.#seat === 0) this.#seat = task.number;
    this.tasks.push(task);
  }

  /** Nobody will ask for its tasks any more: one whose record stays would keep all of them. */
  letGo(): void {
    this.tasks.length = 0;
  }

  get limited(): boolean {
    return this.concurrency !== Infinity;
  }

  get open(): boolean {
    return this.running < this.concurrency;
  }

  /** All its tasks stand there among others, those that were put into it later too. */
  get seat(): number {
    return this.#seat;
  }
}

/** A task's part in a run. */
export interface Job {
  readonly run: TaskRun;
  /** Its id in a run that has one; undefined where the task has an id of its own. */
  readonly id?: string | undefined;
  /** How much is to be done, at least, from its beginning to the end of the run: the more, the sooner. */
  readonly weight: number;
  readonly onFailure: OnFailure;
}
