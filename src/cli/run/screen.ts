/** What a run looks like, as lines of text: for a terminal, where some of them change in place, and for anything else. */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { Counts, RunModel, ShownJob, ShownState } from './run-model.ts';
import { printable } from './job-log.ts';

export type Style = 'green' | 'red' | 'yellow' | 'dim' | 'bold' | 'cyan';
/** Colours a text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_, text) => text;
export const coloured: Paint = (style, text) => styleText(style, text, { validateStream: false });

/** How many of the running jobs a terminal shows. */
const MOST_RUNNING = 12;

const signs: Readonly<Record<ShownState, readonly [sign: string, style: Style]>> = {
  waiting: ['·', 'dim'],
  running: ['▸', 'cyan'],
  succeeded: ['✓', 'green'],
  failed: ['✗', 'red'],
  skipped: ['-', 'yellow'],
  cancelled: ['-', 'yellow'],
};

/** A job that has ended; of one that failed also the last of what it said. */
export function endedLines(job: ShownJob, tail: readonly string[], log: string, paint: Paint): string[] {
  const [sign, style] = signs[job.state];
  const time = job.ms === undefined ? '' : `  ${duration(job.ms)}`;
  const again = job.attempts > 1 ? `  (${job.attempts} attempts)` : '';
  const head = `${paint(style, sign)} ${job.id}${paint('dim', time + again)}`;
  if (job.state === 'succeeded') return [head];
  if (job.state !== 'failed') return [`${head}  ${paint('dim', why(job))}`];
  return [
    `${head}  ${paint('red', why(job))}`,
    ...tail.map((line) => `  ${paint('dim', '│')} ${line}`),
    `  ${paint('dim', `└ ${log}`)}`,
  ];
}

function why({ state, error }: ShownJob): string {
  if (state === 'cancelled') return 'not run to its end';
  return printable((error ?? state).replaceAll(/\s*\n\s*/g, ' '));
}

/** What changes in place: the running jobs, and how far all is. Each line is at most `width` wide. */
export function liveLines(model: RunModel, now: number, width: number, paint: Paint): string[] {
  const running = model.running();
  const lines = running.slice(0, MOST_RUNNING).map((job) => {
    const usual = model.start.durations.get(job.id);
    const before = usual === undefined ? '' : ` of about ${duration(usual)}`;
    const text = `${job.id}  ${duration(now - (job.startedAt ?? now), true)}${before}`;
    return `${paint('cyan', '▸')} ${cut(text, width - 2)}`;
  });
  if (running.length > MOST_RUNNING) lines.push(paint('dim', `  and ${running.length - MOST_RUNNING} more`));
  return [...lines, cut(progressLine(model.counts, model.remaining(now)), width)];
}

/** '3/7 done, 1 failed, 2 running, about 25 s left' */
export function progressLine({ total, running, succeeded, failed, skipped, cancelled }: Counts, left?: number): string {
  const parts = [`${succeeded + failed + skipped + cancelled}/${total} done`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (running > 0) parts.push(`${running} running`);
  if (left !== undefined && left >= 1_000) parts.push(`about ${duration(left, true)} left`);
  return parts.join(', ');
}

/** The last line. */
export function summaryLine({ total, succeeded, failed, skipped }: Counts, upToDate: number, ms: number): string {
  if (total === 0) return `${counted(upToDate, 'job')} up to date: nothing to do`;
  const parts = [`${succeeded} of ${counted(total, 'job')} succeeded`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  const notRun = total - succeeded - failed - skipped;
  if (notRun > 0) parts.push(`${notRun} not run`);
  if (upToDate > 0) parts.push(`${upToDate} up to date`);
  return `${parts.join(', ')} in ${duration(ms)}`;
}

/** '1 job', '2 jobs' */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** '850 ms', '12.3 s', '4 min 05 s'. `whole`: no parts of a second, which would flicker. */
export function duration(ms: number, whole = false): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (whole && seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 1) return `${Math.round(ms)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = String(Math.floor(seconds % 60)).padStart(2, '0');
  if (minutes < 60) return `${minutes} min ${rest} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

function cut(text: string, width: number): string {
  return stripVTControlCharacters(text).length <= width ? text : `${text.slice(0, Math.max(1, width - 1))}…`;
}
