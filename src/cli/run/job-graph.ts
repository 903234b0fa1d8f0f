/** The jobs of a plan as a job graph that a manager runs. */
import { JobGraph, type JobOptions, type JobRef } from '../../index.ts';
import type { JobSettings, Plan, PlannedJob } from '../graph-file/model.ts';
import { type JobEnvelope, type ReferTo, type SentFiles, sendTemplate, sendTree } from './job-input.ts';
import { JOB, RUN_COMMAND } from './orders.ts';
import type { RunStore } from './run-store.ts';

/** Ids of the jobs, each after those before it. */
export function orderOf(jobs: readonly PlannedJob[]): PlannedJob[] {
  const byId = new Map(jobs.map((job) => [job.id, job]));
  return drawingOf(jobs)
    .order()
    .map((id) => byId.get(id) as PlannedJob);
}

/** The jobs with their edges, and what they are called, as others draw them: dotted where no output is used. */
export function drawingOf(jobs: readonly PlannedJob[]): JobGraph {
  const ids = new Set(jobs.map(({ id }) => id));
  const drawn = jobs.map(({ id, work, before, uses }) => ({
    id,
    name: work.kind === 'run' ? 'run' : work.handler,
    input: uses.filter((one) => ids.has(one)).map((one) => ({ $job: one })),
    after: before.filter((one) => ids.has(one)),
  }));
  return JobGraph.fromJSON({ version: 1, jobs: drawn });
}

/** `jobs`: each after those before it. What they use of jobs that do not run is what the store has. */
export function graphOf(jobs: readonly PlannedJob[], plan: Plan, store: RunStore): JobGraph {
  const graph = new JobGraph();
  const refs = new Map<string, JobRef>();
  const used = new Set(jobs.flatMap(({ uses }) => uses));
  const refer: ReferTo = (id) => refs.get(id) ?? store.output(id);
  for (const job of jobs) {
    const { id, work, before, settings } = job;
    const envelope: JobEnvelope = {
      files: filesOf(job, plan, refer),
      inputsNote: store.inputsNote(id),
      log: store.logFile(id),
    };
    const options = { ...optionsOf(settings), id, after: before.filter((one) => refs.has(one)) };
    if (work.kind === 'task') {
      const input = { [JOB]: { ...envelope, input: sendTree(work.input, refer) } };
      refs.set(id, graph.add(work.handler, input, options));
      continue;
    }
    const { file, as } = work.output;
    const input = {
      ...envelope,
      shell: work.shell,
      command: sendTemplate(work.command, refer),
      env: Object.fromEntries(Object.entries(work.env).map(([name, text]) => [name, sendTemplate(text, refer)])),
      cwd: sendTemplate(work.cwd, refer),
      output: { as, ...(file === undefined ? {} : { file: sendTemplate(file, refer) }) },
      used: used.has(id),
      directory: plan.directory,
    };
    refs.set(id, graph.add(RUN_COMMAND, input, options));
  }
  return graph;
}

/** The files that a job says it reads; undefined where it says nothing. */
export function filesOf({ work, inputs }: PlannedJob, plan: Plan, refer: ReferTo): SentFiles | undefined {
  if (inputs.length === 0) return undefined;
  return {
    directory: plan.directory,
    cwd: work.kind === 'run' ? sendTemplate(work.cwd, refer) : ['.'],
    paths: inputs.map((one) => sendTemplate(one, refer)),
  };
}

function optionsOf({ backoff, tags, resources, ...rest }: JobSettings): JobOptions {
  return { ...rest, tags, resources, keep: true, ...(backoff === undefined ? {} : { backoff: { base: backoff } }) };
}
