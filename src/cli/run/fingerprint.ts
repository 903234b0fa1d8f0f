/**
 * What a job is, and whether it need not run again. It need not where its last success is of the same work, after the
 * same successes of the same jobs, and with the same contents of the files that it says it reads.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Plan, PlannedJob } from '../graph-file/model.ts';
import { digestOf } from './input-files.ts';
import { readInputs } from './job-input.ts';
import { filesOf } from './job-graph.ts';
import type { RunStore } from './run-store.ts';

/** Changes with what is run: command, environment of the file, input, and the tasks module of a handler. */
export function fingerprintOf({ work, inputs, before, uses }: PlannedJob, plan: Plan): string {
  const module = work.kind === 'task' && plan.tasks !== undefined ? readFileSync(plan.tasks, 'utf8') : '';
  return createHash('sha256')
    .update(JSON.stringify([1, work, inputs, before, uses, module]))
    .digest('hex');
}

/** Ids of the jobs among these that need not run again. `jobs`: each after those before it. */
export function upToDate(jobs: readonly PlannedJob[], plan: Plan, store: RunStore): Set<string> {
  const current = new Set<string>();
  for (const job of jobs) if (isUpToDate(job, plan, store, current)) current.add(job.id);
  return current;
}

function isUpToDate(job: PlannedJob, plan: Plan, store: RunStore, current: ReadonlySet<string>): boolean {
  const success = store.success(job.id);
  if (success === undefined || success.output === 'lost') return false;
  if (!job.before.every((id) => current.has(id))) return false;
  if (success.fingerprint !== fingerprintOf(job, plan)) return false;
  if (job.before.some((id, at) => store.success(id)?.token !== success.before[at])) return false;
  const files = filesOf(job, plan, (id) => store.output(id));
  return files === undefined || digestOf(readInputs(files)) === success.inputs;
}
