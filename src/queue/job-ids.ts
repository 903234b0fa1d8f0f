/**
 * Jobs by their ids, 'run/job': kept by run, so that the text of a run's id, most often a UUID, is neither built nor hashed
 * for each of its jobs.
 */
import type { Job } from './run.ts';
import type { Task } from './task.ts';

export class JobIds {
  /** By run. Under an id that is reserved there is nothing yet. */
  readonly #runs = new Map<string, Map<string, Task | undefined>>();

  /** Ids of jobs that are put next. Returns the first that is taken or stands there twice: none is reserved then. */
  reserve(run: string, jobs: readonly string[]): string | undefined {
    const known = this.#runs.get(run) ?? new Map<string, Task | undefined>();
    for (let at = 0; at < jobs.length; at++) {
      const job = jobs[at] as string;
      if (known.has(job)) {
        for (let before = 0; before < at; before++) known.delete(jobs[before] as string);
        return job;
      }
      known.set(job, undefined);
    }
    if (known.size > 0) this.#runs.set(run, known);
    return undefined;
  }

  set({ run, id }: Job, task: Task): void {
    const name = run.id as string;
    let known = this.#runs.get(name);
    if (known === undefined) this.#runs.set(name, (known = new Map()));
    known.set(id as string, task);
  }

  delete({ run, id }: Job): void {
    const known = this.#runs.get(run.id as string);
    if (known?.delete(id as string) === true && known.size === 0) this.#runs.delete(run.id as string);
  }

  get(id: string): Task | undefined {
    const slash = id.indexOf('/');
    return slash < 0 ? undefined : this.#runs.get(id.slice(0, slash))?.get(id.slice(slash + 1));
  }
}

/** Whether a chosen id has the form of a job's. */
export function mayBeJob(id: string): boolean {
  return id.includes('/');
}
