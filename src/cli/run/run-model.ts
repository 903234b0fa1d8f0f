/** How far a run is: what each display shows, made of the events of its jobs. No clock: times come with the events. */
import type { TaskState } from '../../index.ts';
import { remaining } from './estimate.ts';

export type ShownState = 'waiting' | 'running' | 'succeeded' | 'failed' | 'skipped' | 'cancelled';

export interface ShownJob {
  readonly id: string;
  state: ShownState;
  /** When it was last started (ms since 1970). */
  startedAt: number | undefined;
  /** How long it took (ms), once it has ended. */
  ms: number | undefined;
  /** Why it did not succeed. */
  error: string | undefined;
  /** Attempts that began. */
  attempts: number;
}

/** What a job that moved is told as. */
export interface Move {
  readonly job: string;
  readonly state: TaskState;
  readonly at: number;
  readonly error?: string;
}

/** What the run is going to do. */
export interface RunStart {
  readonly file: string;
  /** Jobs that run, each after those before it. */
  readonly jobs: readonly { readonly id: string; readonly before: readonly string[] }[];
  /** Ids of those that need not run again. */
  readonly upToDate: readonly string[];
  readonly workers: number;
  /** How long jobs took in earlier runs (ms). */
  readonly durations: ReadonlyMap<string, number>;
  logFile(id: string): string;
}

export interface Counts {
  readonly total: number;
  readonly running: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly cancelled: number;
}

const shownStates: Readonly<Record<TaskState, ShownState>> = {
  blocked: 'waiting',
  delayed: 'waiting',
  ready: 'waiting',
  leased: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  expired: 'failed',
  cancelled: 'cancelled',
  skipped: 'skipped',
};

export class RunModel {
  readonly start: RunStart;
  readonly #jobs: ReadonlyMap<string, ShownJob>;
  readonly #counts: Record<ShownState, number>;

  constructor(start: RunStart) {
    this.start = start;
    this.#jobs = new Map(
      start.jobs.map(({ id }) => [
        id,
        { id, state: 'waiting', startedAt: undefined, ms: undefined, error: undefined, attempts: 0 },
      ]),
    );
    this.#counts = { waiting: start.jobs.length, running: 0, succeeded: 0, failed: 0, skipped: 0, cancelled: 0 };
  }

  /** The job, where its state is another one now. */
  move({ job, state, at, error }: Move): ShownJob | undefined {
    const shown = this.#jobs.get(job);
    const next = shownStates[state];
    if (shown === undefined || shown.state === next) return undefined;
    this.#counts[shown.state]--;
    this.#counts[next]++;
    shown.state = next;
    if (next === 'running') {
      shown.startedAt = at;
      shown.attempts++;
    } else if (next === 'waiting') {
      shown.startedAt = undefined;
    } else {
      shown.ms = shown.startedAt === undefined ? undefined : at - shown.startedAt;
      shown.error = error;
    }
    return shown;
  }

  get counts(): Counts {
    const { waiting: _, ...counts } = this.#counts;
    return { total: this.start.jobs.length, ...counts };
  }

  /** Those that run, the longest first. */
  running(): ShownJob[] {
    return [...this.#jobs.values()]
      .filter(({ state }) => state === 'running')
      .toSorted((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0));
  }

  jobs(): Iterable<ShownJob> {
    return this.#jobs.values();
  }

  /** How long it will take from `now` on (ms), by what jobs took before; undefined where too little is known. */
  remaining(now: number): number | undefined {
    const { jobs, durations, workers } = this.start;
    return remaining(
      jobs.map(({ id, before }) => ({ id, before, ...this.#left(this.#jobs.get(id) as ShownJob, now) })),
      durations,
      workers,
    );
  }

  #left({ state, startedAt }: ShownJob, now: number): { left: boolean; spent: number } {
    const left = state === 'waiting' || state === 'running';
    return { left, spent: state === 'running' ? now - (startedAt ?? now) : 0 };
  }
}
