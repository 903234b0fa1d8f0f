/** One run of a job graph, as the manager keeps it. */
import type { Item } from '../../protocol/wire.ts';
import type { Estimate } from '../../graph/durations.ts';
import { type Job, TaskRun } from '../../queue/run.ts';
import { NEVER, State, type Task } from '../../queue/task.ts';
import type { OnFailure } from '../../tasks.ts';
import type { Call } from '../call.ts';
import type { Session } from '../session.ts';
import { WaitList } from '../wait-list.ts';

/** How a run goes, as it was asked for. */
export interface RunRules {
  /** For jobs that say nothing themselves. */
  readonly onFailure: OnFailure;
  readonly concurrency: number;
  /** How long each job will take (ms), as its submitter knows; in the order of the jobs. */
  readonly estimates: readonly (number | undefined)[];
}

/** A job, or a task that a job has put, as the manager keeps it. */
export interface RunJob extends Job {
  /** Where how long it runs is learned; undefined where nothing was known of it. */
  readonly estimate: Estimate | undefined;
}

export interface Follower {
  readonly call: Call;
  readonly events: boolean;
  /** Told with the answer. */
  readonly durations: boolean;
}

export class Run extends TaskRun {
  declare readonly id: string;
  /** For what is put into it and says nothing itself. */
  readonly onFailure: OnFailure;
  readonly followers = new WaitList<Follower>();
  /** The sessions that have submitted it, how often they have yet to close it, and how their end is told. */
  readonly holders = new Map<Session, { times: number; readonly ended: () => void }>();
  /** Tasks that have not ended. */
  unfinished: number;
  /** Those that did not succeed, for a reason of their own that is not ignored; in the order of their ends. */
  readonly failed = new Set<Task>();
  closed = false;

  constructor(id: string, jobs: number, { onFailure, concurrency }: RunRules) {
    super(concurrency, id);
    this.onFailure = onFailure;
    this.unfinished = jobs;
  }

  /** The id of a job; of a task that a job has put, its own. */
  jobOf({ job, key }: Task): string {
    if (job?.id !== undefined) return job.id;
    return key.startsWith(`${this.id}/`) ? key.slice(this.id.length + 1) : key;
  }

  /** One of its tasks has ended. */
  settled(task: Task): void {
    this.unfinished--;
    if (task.state !== State.skipped && !task.fulfilled) this.failed.add(task);
  }

  /** A finished task is about to be run anew. */
  revived(task: Task): void {
    this.unfinished++;
    this.failed.delete(task);
  }

  /** [id of the task that failed first, or nothing where the run has succeeded, and where that is wanted its durations]. */
  summary(durations: boolean): Item {
    const [first] = this.failed;
    return durations ? [first?.key, this.#durations] : [first?.key];
  }

  /** How long each of its jobs ran that succeeded: [id, name, ms, …]. */
  get #durations(): Item {
    return this.tasks.flatMap((task) => {
      const ms = durationOf(task);
      return ms === undefined || task.rules?.asked.parent !== undefined ? [] : [this.jobOf(task), task.name, ms];
    });
  }
}

/** How long its last run took (ms), if that has succeeded. */
export function durationOf({ state, startedAt, endedAt }: Task): number | undefined {
  return state === State.succeeded && startedAt !== NEVER ? (endedAt - startedAt) / 10 : undefined;
}
