/** What would run: `--dry-run`. */
import type { Plan, PlannedJob } from '../graph-file/model.ts';
import { drawingOf } from './job-graph.ts';
import type { RunStore } from './run-store.ts';
import { duration } from './screen.ts';

export type DryRunFormat = 'text' | 'mermaid' | 'dot';

export interface DryRunOptions {
  readonly format: DryRunFormat;
  readonly json: boolean;
}

/** `jobs`: each after those before it. Printed on the standard output. */
export function dryRun(
  plan: Plan,
  jobs: readonly PlannedJob[],
  upToDate: readonly string[],
  store: RunStore,
  { format, json }: DryRunOptions,
): void {
  process.stdout.write(textOf(plan, jobs, upToDate, store, json ? 'json' : format));
}

function textOf(
  plan: Plan,
  jobs: readonly PlannedJob[],
  upToDate: readonly string[],
  { durations }: RunStore,
  format: DryRunFormat | 'json',
): string {
  const graph = drawingOf(jobs);
  if (format === 'mermaid') return graph.toMermaid();
  if (format === 'dot') return graph.toDot();
  // Where nothing is known of how long jobs take, each counts as one.
  const known = jobs.some(({ id }) => durations.has(id));
  const { path, length } = graph.criticalPath((id) => (known ? (durations.get(id) ?? 0) : 1));
  if (format === 'json') {
    const order = jobs.map(({ id, before }) => ({ id, after: before, lastMs: durations.get(id) }));
    return `${JSON.stringify({ file: plan.file, order, upToDate, criticalPath: { path, ...(known ? { ms: length } : {}) } })}\n`;
  }
  const width = Math.max(0, ...jobs.map(({ id }) => id.length));
  const lines = jobs.map(({ id, before, work }) => {
    const last = durations.get(id);
    const what = work.kind === 'run' ? firstLine(work.command) : `task ${work.handler}`;
    const parts = [id.padEnd(width), what];
    if (before.length > 0) parts.push(`(after ${before.join(', ')})`);
    if (last !== undefined) parts.push(`(${duration(last)} last time)`);
    return `  ${parts.join('  ')}`;
  });
  return [
    `${plan.file}: ${jobs.length} jobs in this order, as many at a time as may run`,
    ...lines,
    ...(upToDate.length === 0 ? [] : [`up to date: ${upToDate.join(', ')}`]),
    ...(path.length === 0 ? [] : [`critical path: ${path.join(' → ')}${known ? `, ${duration(length)}` : ''}`]),
    '',
  ].join('\n');
}

function firstLine(command: readonly (string | { readonly expression: string })[]): string {
  const text = command.map((piece) => (typeof piece === 'string' ? piece : `\${{ ${piece.expression} }}`)).join('');
  const [line = '', ...more] = text.trim().split('\n');
  const short = line.length > 60 ? `${line.slice(0, 59)}…` : line;
  return more.length > 0 && short === line ? `${line} …` : short;
}
