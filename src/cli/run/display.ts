/** How a run is shown while it goes on: in place on a terminal, as plain lines anywhere else, or as JSON for programs. */
import { readFileSync } from 'node:fs';
import { createLogUpdate } from 'log-update';
import { lastLines, printable } from './job-log.ts';
import type { RunModel, RunStart, ShownJob } from './run-model.ts';
import { coloured, counted, endedLines, liveLines, type Paint, plain, summaryLine } from './screen.ts';

export interface Display {
  begin(model: RunModel): void;
  /** A job is in another state. `output`: of one that has succeeded. */
  moved(job: ShownJob, output?: unknown): void;
  /** Something beside the jobs. */
  note(text: string): void;
  /** Nothing is shown from here on. `exitCode`: undefined where the jobs could not be run at all. */
  end(ms: number, exitCode: number | undefined): void;
}

export interface DisplayOptions {
  readonly json: boolean;
  /** All that a job wrote is shown when it has ended. */
  readonly verbose: boolean;
  readonly stream: NodeJS.WriteStream;
}

/** How often a terminal is drawn anew (ms). */
const FRAME = 100;
/** How many lines of a failed job's log are shown. */
const TAIL = 20;

export function displayFor({ json, verbose, stream }: DisplayOptions): Display {
  if (json) return new JsonDisplay(stream);
  // A terminal that does not say how high it is cannot be drawn on.
  const onTerminal = stream.isTTY === true && stream.rows !== 0 && !isSet('CI');
  const paint = stream.isTTY === true && !isSet('NO_COLOR') ? coloured : plain;
  return new LinesDisplay(stream, paint, verbose, onTerminal);
}

function isSet(variable: string): boolean {
  const value = process.env[variable];
  return value !== undefined && value !== '' && value !== 'false';
}

class LinesDisplay implements Display {
  readonly #stream: NodeJS.WriteStream;
  readonly #paint: Paint;
  readonly #verbose: boolean;
  /** Draws what changes in place. */
  readonly #draw: ReturnType<typeof createLogUpdate> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #model: RunModel | undefined;

  constructor(stream: NodeJS.WriteStream, paint: Paint, verbose: boolean, onTerminal: boolean) {
    this.#stream = stream;
    this.#paint = paint;
    this.#verbose = verbose;
    this.#draw = onTerminal ? createLogUpdate(stream) : undefined;
  }

  begin(model: RunModel): void {
    this.#model = model;
    const { jobs, upToDate, workers, file } = model.start;
    const fresh = upToDate.length === 0 ? '' : `, ${upToDate.length} up to date`;
    this.#write([this.#paint('dim', `${file}: ${counted(jobs.length, 'job')}, ${counted(workers, 'worker')}${fresh}`)]);
    if (this.#draw !== undefined) this.#timer = setInterval(() => this.#redraw(), FRAME);
    this.#redraw();
  }

  moved(job: ShownJob): void {
    const { start } = this.#model as RunModel;
    if (job.state === 'running' || job.state === 'waiting') {
      if (this.#draw === undefined && job.state === 'running') this.#write([`${this.#paint('cyan', '▸')} ${job.id}`]);
      return;
    }
    const log = start.logFile(job.id);
    const all = this.#verbose && job.ms !== undefined;
    const tail = all ? [] : job.state === 'failed' ? lastLines(log, TAIL) : [];
    this.#write([...(all ? wholeLog(log, job.id) : []), ...endedLines(job, tail, log, this.#paint)]);
  }

  note(text: string): void {
    this.#write([this.#paint('yellow', text)]);
  }

  end(ms: number, exitCode: number | undefined): void {
    clearInterval(this.#timer);
    const { counts, start } = this.#model as RunModel;
    this.#model = undefined;
    this.#draw?.clear();
    this.#draw?.done();
    if (exitCode === undefined) return;
    const text = summaryLine(counts, start.upToDate.length, ms);
    this.#write([this.#paint(exitCode === 0 ? 'green' : 'red', text)]);
  }

  /** Above what changes in place. */
  #write(lines: readonly string[]): void {
    this.#draw?.clear();
    this.#stream.write(`${lines.join('\n')}\n`);
    this.#redraw();
  }

  #redraw(): void {
    if (this.#draw === undefined || this.#model === undefined) return;
    this.#draw(liveLines(this.#model, Date.now(), this.#stream.columns || 80, this.#paint).join('\n'));
  }
}

function wholeLog(file: string, id: string): string[] {
  let text;
  try {
    text = printable(readFileSync(file, 'utf8'));
  } catch {
    return [];
  }
  return text === ''
    ? []
    : text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => `[${id}] ${line}`);
}

/** One object a line. */
class JsonDisplay implements Display {
  readonly #stream: NodeJS.WriteStream;
  #start: RunStart | undefined;
  #model: RunModel | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  begin(model: RunModel): void {
    this.#model = model;
    this.#start = model.start;
    const { file, jobs, upToDate, workers } = model.start;
    const planned = jobs.map(({ id, before }) => ({ id, after: before }));
    this.#write({ event: 'start', at: Date.now(), file, workers, jobs: planned, upToDate });
  }

  moved({ id, state, ms, error, attempts }: ShownJob, output?: unknown): void {
    const log = ms === undefined ? undefined : this.#start?.logFile(id);
    const line = { event: 'job', at: Date.now(), job: id, state, attempt: attempts, ms, error, log };
    this.#write({ ...line, output: jsonOf(output) });
  }

  note(text: string): void {
    this.#write({ event: 'note', at: Date.now(), text });
  }

  end(ms: number, exitCode: number | undefined): void {
    const { counts, start } = this.#model as RunModel;
    this.#write({
      event: 'end',
      at: Date.now(),
      exitCode,
      ms: Math.round(ms),
      ...counts,
      upToDate: start.upToDate.length,
    });
  }

  #write(line: object): void {
    this.#stream.write(`${JSON.stringify(line)}\n`);
  }
}

/** Longest output that is shown (characters). */
const LONGEST = 64 * 1024;

/** Undefined where JSON cannot carry it, or it is long: the job's log or the next job has it. */
function jsonOf(output: unknown): unknown {
  try {
    const text = JSON.stringify(output);
    return text !== undefined && text.length <= LONGEST ? output : undefined;
  } catch {
    return undefined;
  }
}
