/** How long a run will still take. */

export interface EstimatedJob {
  readonly id: string;
  readonly before: readonly string[];
  /** Whether it has yet to end. */
  readonly left: boolean;
  /** What it has run for (ms). */
  readonly spent: number;
}

/**
 * At least as long as the longest chain of jobs, and as all of them on all workers (Graham 1969): the larger of both,
 * in ms. A job that never ran counts as the average of those that did; undefined where fewer than half have.
 * `jobs`: each after those before it.
 */
export function remaining(
  jobs: readonly EstimatedJob[],
  durations: ReadonlyMap<string, number>,
  workers: number,
): number | undefined {
  const left = jobs.filter((job) => job.left);
  if (left.length === 0) return 0;
  const known = left.flatMap(({ id }) => durations.get(id) ?? []);
  if (known.length * 2 < left.length) return undefined;
  const average = known.reduce((sum, ms) => sum + ms, 0) / known.length;
  const ends = new Map<string, number>();
  let work = 0;
  let longest = 0;
  for (const { id, before, spent } of left) {
    const own = Math.max(0, (durations.get(id) ?? average) - spent);
    const begin = before.reduce((latest, one) => Math.max(latest, ends.get(one) ?? 0), 0);
    ends.set(id, begin + own);
    work += own;
    longest = Math.max(longest, begin + own);
  }
  return Math.max(longest, work / workers);
}
