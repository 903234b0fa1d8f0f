/**
 * What a worker process writes to its standard output and error, as lines that say whose they are. A worker's writes
 * wait for us to read, so we always read; what is more than a worker may say is dropped and counted, and a line never
 * takes more memory than the longest that is shown.
 */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { LogBudget, LONGEST_LINE } from './log-budget.ts';
import { escaped } from './log-text.ts';
import type { TaskLogEntry, TaskLogLine } from './task-log.ts';

/** One line that a worker wrote, or a handler of it said, without its end. Control characters in it are written as `\xNN`. */
export interface WorkerLog {
  /** Name of the worker. */
  readonly worker: string;
  readonly pid: number;
  /** `'log'`: said by `context.log`. */
  readonly stream: 'stdout' | 'stderr' | 'log';
  readonly text: string;
  /** With the first line of what was said by `context.log`. */
  readonly entry?: TaskLogEntry;
  /** Where `text` says that lines were dropped: how many. */
  readonly dropped?: number;
}

/**
 * Where the output of workers goes. `'tagged'`: each line to this process's own stdout or stderr, behind the worker's
 * name, at most 256 KiB a second of each worker (1 MiB at once); what is more is dropped, and counted in a line. A
 * function is given the same lines. `'inherit'`: straight to this process's own, unbounded. `'ignore'`: nowhere. What
 * handlers say by `context.log` goes the same way, bounded by itself; where it goes to a stream, that is stderr.
 */
export type WorkerLogs = 'tagged' | 'inherit' | 'ignore' | ((line: WorkerLog) => void);

const NEWLINE = 10;
const OUT_OF_MEMORY = 'heap out of memory';

/** The lines of one worker process. */
export class LogReader {
  readonly #worker: { readonly name: string; readonly pid: number };
  readonly #write: (line: WorkerLog) => void;
  readonly #budget: LogBudget;
  /** V8 has said on stderr that its heap is full. */
  outOfMemory = false;

  constructor(worker: { readonly name: string; readonly pid: number }, write: (line: WorkerLog) => void) {
    this.#worker = worker;
    this.#write = write;
    const { name, pid } = worker;
    this.#budget = new LogBudget((text, dropped) => write({ worker: name, pid, stream: 'stderr', text, dropped }));
  }

  /** A line of what its handlers have said: bounded over there. */
  said(line: TaskLogLine): void {
    const { name: worker, pid } = this.#worker;
    this.#write({ worker, pid, stream: 'log', ...line });
  }

  /** Reads one of its streams to the end. */
  read(stream: 'stdout' | 'stderr', readable: Readable): void {
    const line = new Line();
    readable.on('error', () => {});
    readable.on('data', (chunk: Buffer) => {
      if (stream === 'stderr' && chunk.includes(OUT_OF_MEMORY)) this.outOfMemory = true;
      this.#budget.refill();
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        if (line.bytes === 0 && !this.#budget.mayWrite(end - from)) {
          this.#budget.drop(end - from);
        } else {
          line.add(chunk, from, end);
          this.#line(stream, line);
        }
        from = end + 1;
      }
      line.add(chunk, from, chunk.length);
    });
    readable.once('close', () => {
      this.#budget.refill();
      if (line.bytes > 0) this.#line(stream, line);
      this.#budget.tell();
    });
  }

  #line(stream: 'stdout' | 'stderr', line: Line): void {
    const { bytes } = line;
    if (!this.#budget.mayWrite(bytes)) {
      line.clear();
      return this.#budget.drop(bytes);
    }
    this.#budget.spend(bytes);
    this.#write({ worker: this.#worker.name, pid: this.#worker.pid, stream, text: line.take() });
  }
}

/** A line while it comes in: what is beyond the longest is counted, not kept. */
class Line {
  /** Of the whole line. */
  bytes = 0;
  #kept: Buffer[] = [];
  #room = LONGEST_LINE;

  add(chunk: Buffer, from: number, to: number): void {
    this.bytes += to - from;
    const end = Math.min(to, from + this.#room);
    if (end <= from) return;
    this.#room -= end - from;
    // A part of a line is copied: the rest of its chunk need not live as long.
    this.#kept.push(to === chunk.length ? Buffer.from(chunk.subarray(from, end)) : chunk.subarray(from, end));
  }

  clear(): void {
    this.bytes = 0;
    this.#kept = [];
    this.#room = LONGEST_LINE;
  }

  take(): string {
    // A character that was cut in two is left out.
    const text = new StringDecoder('utf8').write(Buffer.concat(this.#kept));
    const cut = this.#room === 0 && this.bytes > LONGEST_LINE ? ` … (${this.bytes} bytes)` : '';
    this.clear();
    return escaped(text.endsWith('\r') ? text.slice(0, -1) : text) + cut;
  }
}

/** `'tagged'`: to this process's own streams. */
export function writeTagged({ worker, stream, text }: WorkerLog): void {
  process[stream === 'stdout' ? 'stdout' : 'stderr'].write(`[${escaped(worker)}] ${text}\n`);
}
