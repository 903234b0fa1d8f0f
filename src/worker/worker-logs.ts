/**
 * What a worker process writes to its standard output and error, as lines that say whose they are. A worker's writes
 * wait for us to read, so we always read; what is more than a worker may say is dropped and counted, and a line never
 * takes more memory than the longest that is shown.
 */
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** One line that a worker wrote, without its end. Control characters in it are written as `\xNN`. */
export interface WorkerLog {
  /** Name of the worker. */
  readonly worker: string;
  readonly pid: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
  /** Where `text` says that lines were dropped: how many. */
  readonly dropped?: number;
}

/**
 * Where the output of workers goes. `'tagged'`: each line to this process's own stdout or stderr, behind the worker's
 * name, at most 256 KiB a second of each worker (1 MiB at once); what is more is dropped, and counted in a line. A
 * function is given the same lines. `'inherit'`: straight to this process's own, unbounded. `'ignore'`: nowhere.
 */
export type WorkerLogs = 'tagged' | 'inherit' | 'ignore' | ((line: WorkerLog) => void);

/** Bytes that a worker may write in a second, and how many of them at once. */
const RATE = 256 * 1024;
const BURST = 1024 * 1024;
/** Bytes of one line that are shown. */
const LONGEST_LINE = 8 * 1024;
/** What was dropped is told after so long (ms), or at the end. */
const TELL_AFTER = 1_000;

const NEWLINE = 10;
const OUT_OF_MEMORY = 'heap out of memory';

/** The lines of one worker process. */
export class LogReader {
  readonly #worker: { readonly name: string; readonly pid: number };
  readonly #write: (line: WorkerLog) => void;
  #credit = BURST;
  #creditAt = performance.now();
  #dropped = 0;
  #droppedBytes = 0;
  #telling: NodeJS.Timeout | undefined;
  /** V8 has said on stderr that its heap is full. */
  outOfMemory = false;

  constructor(worker: { readonly name: string; readonly pid: number }, write: (line: WorkerLog) => void) {
    this.#worker = worker;
    this.#write = write;
  }

  /** Reads one of its streams to the end. */
  read(stream: 'stdout' | 'stderr', readable: Readable): void {
    const line = new Line();
    readable.on('error', () => {});
    readable.on('data', (chunk: Buffer) => {
      if (stream === 'stderr' && chunk.includes(OUT_OF_MEMORY)) this.outOfMemory = true;
      this.#refill();
      let from = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
        if (line.bytes === 0 && !this.#mayWrite(end - from)) {
          this.#drop(end - from);
        } else {
          line.add(chunk, from, end);
          this.#line(stream, line);
        }
        from = end + 1;
      }
      line.add(chunk, from, chunk.length);
    });
    readable.once('close', () => {
      this.#refill();
      if (line.bytes > 0) this.#line(stream, line);
      this.#tell();
    });
  }

  #refill(): void {
    const now = performance.now();
    this.#credit = Math.min(BURST, this.#credit + ((now - this.#creditAt) / 1_000) * RATE);
    this.#creditAt = now;
  }

  #line(stream: 'stdout' | 'stderr', line: Line): void {
    const { bytes } = line;
    if (!this.#mayWrite(bytes)) {
      line.clear();
      return this.#drop(bytes);
    }
    this.#credit -= Math.min(bytes, LONGEST_LINE);
    this.#write({ worker: this.#worker.name, pid: this.#worker.pid, stream, text: line.take() });
  }

  #mayWrite(bytes: number): boolean {
    return this.#credit >= Math.min(bytes, LONGEST_LINE);
  }

  #drop(bytes: number): void {
    this.#dropped++;
    this.#droppedBytes += bytes;
    this.#telling ??= setTimeout(() => this.#tell(), TELL_AFTER).unref();
  }

  #tell(): void {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    if (this.#dropped === 0) return;
    const text = `(${this.#dropped} lines, ${this.#droppedBytes} bytes, were dropped: a worker may write ${RATE} bytes a second)`;
    const { name: worker, pid } = this.#worker;
    this.#write({ worker, pid, stream: 'stderr', text, dropped: this.#dropped });
    this.#dropped = this.#droppedBytes = 0;
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

/** Nothing that a terminal would obey: no escape sequence, no return to the line's start, no change of direction. */
function escaped(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, '0')}` : `\\x${code.padStart(2, '0')}`;
  });
}

/** `'tagged'`: to this process's own streams. */
export function writeTagged({ worker, stream, text }: WorkerLog): void {
  process[stream].write(`[${worker}] ${text}\n`);
}
