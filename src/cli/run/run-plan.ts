/**
 * Runs a plan: a manager in this process, worker processes that run the jobs, and what is told and kept of each.
 *
 *     first Ctrl-C, or a job that failed ──▶ what runs goes on to its end, nothing else begins
 *     second Ctrl-C ──▶ what runs is sent SIGTERM, and killed FORCE_GRACE later; a third one: now
 */
import { constants } from 'node:os';
import {
  BrokenPoolError,
  DependencyFailedError,
  type GraphRun,
  Manager,
  TaskFailedError,
  startWorkers,
  type TaskQueueProxy,
  type WorkerGroup,
} from '../../index.ts';
import { CommandError, EXIT, oneLine } from '../command-error.ts';
import type { Plan, PlannedJob } from '../graph-file/model.ts';
import type { Display } from './display.ts';
import { fingerprintOf } from './fingerprint.ts';
import { graphOf } from './job-graph.ts';
import { RUN, type WorkerRun } from './orders.ts';
import { RunModel } from './run-model.ts';
import type { RunStore } from './run-store.ts';

export interface RunSettings {
  /** What runs, each after those before it. */
  readonly jobs: readonly PlannedJob[];
  /** Ids of those that need not run. */
  readonly upToDate: readonly string[];
  readonly workers: readonly {
    readonly count: number;
    readonly tags: readonly string[];
    readonly resources: Readonly<Record<string, number>>;
  }[];
  readonly keepGoing: boolean;
}

/** How long (ms) a job may take to end after the second Ctrl-C. */
const FORCE_GRACE = 2_000;
/** How long (ms) after its signal a job's worker is ended; its command is killed sooner. */
const CANCEL_GRACE = 10_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The exit code. @throws CommandError where the jobs cannot be run at all */
export async function runPlan(plan: Plan, settings: RunSettings, store: RunStore, display: Display): Promise<number> {
  const started = performance.now();
  const { jobs, upToDate, workers } = settings;
  const ids = new Set(jobs.map(({ id }) => id));
  const model = new RunModel({
    file: plan.file,
    jobs: jobs.map(({ id, before }) => ({ id, before: before.filter((one) => ids.has(one)) })),
    upToDate,
    workers: workers.reduce((sum, { count }) => sum + count, 0),
    durations: new Map(store.durations),
    logFile: (id) => store.logFile(id),
  });
  let exitCode: number | undefined;
  display.begin(model);
  try {
    exitCode = jobs.length === 0 ? EXIT.ok : await new PlanRun(plan, settings, store, display, model).toItsEnd();
    return exitCode;
  } finally {
    display.end(performance.now() - started, exitCode);
  }
}

class PlanRun {
  readonly #plan: Plan;
  readonly #settings: RunSettings;
  readonly #store: RunStore;
  readonly #display: Display;
  readonly #model: RunModel;
  readonly #groups: WorkerGroup[] = [];
  #tasks: TaskQueueProxy | undefined;
  #run: GraphRun | undefined;
  #stopping: Promise<void> | undefined;
  /** What the first signal was, and how many there were. */
  #signal: NodeJS.Signals | undefined;
  #signals = 0;
  #waits = false;
  #broken: Error | undefined;

  constructor(plan: Plan, settings: RunSettings, store: RunStore, display: Display, model: RunModel) {
    this.#plan = plan;
    this.#settings = settings;
    this.#store = store;
    this.#display = display;
    this.#model = model;
  }

  async toItsEnd(): Promise<number> {
    const { resources, keyConcurrency } = this.#plan;
    const manager = new Manager({
      resources,
      queue: { policy: 'critical-path', keyConcurrency, cancelGrace: CANCEL_GRACE },
    });
    const signalled = (signal: NodeJS.Signals): void => this.#signalled(signal);
    for (const signal of SIGNALS) process.on(signal, signalled);
    try {
      const client = manager.client();
      this.#tasks = client.tasks();
      for (const group of this.#settings.workers) this.#groups.push(await this.#startWorkers(client, group));
      if (this.#signal === undefined) await this.#follow();
      await this.#stopping;
    } finally {
      await Promise.all(this.#groups.map((group) => group.close()));
      await manager.close();
      for (const signal of SIGNALS) process.off(signal, signalled);
    }
    if (this.#broken !== undefined) throw new CommandError(oneLine(this.#broken), EXIT.failed);
    if (this.#signal !== undefined) return 128 + constants.signals[this.#signal];
    return this.#model.counts.succeeded === this.#model.counts.total ? EXIT.ok : EXIT.failed;
  }

  async #startWorkers(
    client: ReturnType<Manager['client']>,
    { count, tags, resources }: RunSettings['workers'][number],
  ): Promise<WorkerGroup> {
    const { directory, tasks } = this.#plan;
    const handlers = this.#settings.jobs.flatMap(({ work }) => (work.kind === 'task' ? [work.handler] : []));
    const orders: WorkerRun = { directory, tasks, handlers: [...new Set(handlers)] };
    try {
      const group = await startWorkers(client, new URL('./tasks.js', import.meta.url), {
        count,
        tags,
        resources,
        env: { [RUN]: JSON.stringify(orders) },
        logs: ({ worker, text }) => this.#display.note(`[${worker}] ${text}`),
      });
      group.on('broken', (error) => {
        this.#broken ??= error;
        void this.#run?.cancel('no worker is left');
      });
      return group;
    } catch (error) {
      if (!(error instanceof BrokenPoolError)) throw error;
      const cause = error.cause instanceof Error ? error.cause : error;
      throw new CommandError(`${this.#plan.file}: the tasks module cannot be used: ${oneLine(cause)}`);
    }
  }

  async #follow(): Promise<void> {
    const { jobs, keepGoing } = this.#settings;
    const byId = new Map(jobs.map((job) => [job.id, job]));
    const run = (this.#run = (this.#tasks as TaskQueueProxy).runGraph(graphOf(jobs, this.#plan, this.#store)));
    for await (const event of run.events()) {
      const job = byId.get(event.job);
      const shown = this.#model.move(event);
      if (job === undefined || shown === undefined) continue;
      let output: unknown;
      if (shown.state === 'failed' || shown.state === 'skipped') shown.error = await this.#reason(run, job.id);
      if (shown.state === 'running') this.#store.started(job.id);
      if (shown.state === 'succeeded') {
        output = await run.output(job.id);
        const before = job.before.map((id) => this.#store.success(id)?.token ?? '');
        const fingerprint = fingerprintOf(job, this.#plan);
        this.#store.succeeded(job.id, { fingerprint, before }, shown.ms ?? 0, output);
      }
      this.#display.moved(shown, output);
      if (this.#signal !== undefined) this.#saysThatItWaits(this.#signal);
      if (shown.state === 'failed' && !keepGoing) this.#stop('a job has failed');
    }
  }

  /** Why a job has not succeeded, without the words that name its task. */
  async #reason(run: GraphRun, id: string): Promise<string> {
    const error: unknown = await run.output(id).catch((why: unknown) => why);
    if (error instanceof TaskFailedError && error.cause !== undefined) return oneLine(error.cause);
    if (error instanceof DependencyFailedError)
      return `'${error.ancestor.replace(`${run.id}/`, '')}' has not succeeded`;
    return oneLine(error).replace(/^task '[^']*' \([^)]*\) /, '');
  }

  /** Lets what runs end; the rest is cancelled. */
  #stop(why: string): void {
    this.#stopping ??= (async () => {
      await this.#tasks?.cancel({ state: ['blocked', 'delayed', 'ready'] }, why);
      await Promise.all(this.#groups.map((group) => group.drain()));
      await this.#run?.cancel(why);
    })().catch((error: unknown) => {
      this.#broken ??= error as Error;
    });
  }

  /** Once: now, or when it is heard that something had begun by then. */
  #saysThatItWaits(signal: NodeJS.Signals): void {
    const { running } = this.#model.counts;
    if (running === 0 || this.#waits) return;
    this.#waits = true;
    const [what, them] = running === 1 ? ['the job that runs', 'it'] : [`the ${running} jobs that run`, 'them'];
    this.#display.note(`${signal}: waiting for ${what}; once more ends ${them}`);
  }

  #signalled(signal: NodeJS.Signals): void {
    this.#signal ??= signal;
    this.#signals++;
    if (this.#signals === 1) {
      this.#saysThatItWaits(signal);
      this.#stop(`ended by ${signal}`);
    } else if (this.#signals === 2) {
      this.#display.note(`${signal}: ending what runs`);
      void this.#run?.cancel(`ended by ${signal}`).catch(() => {});
      for (const group of this.#groups) void group.drain({ grace: FORCE_GRACE });
    } else {
      for (const group of this.#groups) void group.close();
    }
  }
}
