/** Which jobs of a plan run: `--only` and `--from`. */
import { CommandError } from '../command-error.ts';
import type { Plan, PlannedJob } from './model.ts';
import { suggestion } from './spelling.ts';

export interface Choice {
  /** These, and all that they come after. */
  readonly only: readonly string[];
  /** These, and all that come after them. */
  readonly from: readonly string[];
}

/**
 * The jobs that run, in the order of the file. With both, those that both choose.
 * @throws CommandError for a name that is no job's
 */
export function select(plan: Plan, { only, from }: Choice): readonly PlannedJob[] {
  const byId = new Map(plan.jobs.map((job) => [job.id, job]));
  const before = (id: string): readonly string[] => byId.get(id)?.before ?? [];
  const next = new Map<string, string[]>();
  for (const { id, before: ids } of plan.jobs) {
    for (const one of ids) (next.get(one) ?? next.set(one, []).get(one))?.push(id);
  }
  const upward = only.length === 0 ? undefined : closure(named(plan, only, '--only'), before);
  const downward = from.length === 0 ? undefined : closure(named(plan, from, '--from'), (id) => next.get(id) ?? []);
  return plan.jobs.filter(({ id }) => upward?.has(id) !== false && downward?.has(id) !== false);
}

function named(plan: Plan, names: readonly string[], option: string): string[] {
  return names.flatMap((name) => {
    const found = plan.jobs.filter((job) => job.id === name || job.name === name);
    if (found.length > 0) return found.map(({ id }) => id);
    const known = [...new Set(plan.jobs.map((job) => job.name))];
    throw new CommandError(`${option}: ${plan.file} has no job '${name}'; ${suggestion(name, known)}`);
  });
}

function closure(ids: readonly string[], next: (id: string) => readonly string[]): Set<string> {
  const all = new Set(ids);
  // A set that grows while it is walked is walked to its end.
  for (const id of all) for (const other of next(id)) all.add(other);
  return all;
}
