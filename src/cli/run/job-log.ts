/** The log file of a job: everything that it writes, as it writes it. */
import { closeSync, openSync, readSync, fstatSync, writeSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** Owned by whoever opened it, who closes it. A second attempt goes on in the same file. */
export class JobLog {
  readonly #file: number;
  /** Until it is closed. */
  open = true;

  constructor(path: string, attempt: number) {
    this.#file = openSync(path, attempt === 1 ? 'w' : 'a');
    if (attempt > 1) this.write(`--- attempt ${attempt}\n`);
  }

  write(chunk: string | Uint8Array): void {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at);
  }

  close(): void {
    this.open = false;
    closeSync(this.#file);
  }
}

/** How much of a log is looked at for its last lines (bytes). */
const TAIL = 16 * 1024;

/** Its last lines, without anything that a terminal would obey; empty where there is no log. */
export function lastLines(path: string, count: number): string[] {
  let file;
  try {
    file = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(file);
    const buffer = Buffer.alloc(Math.min(size, TAIL));
    readSync(file, buffer, 0, buffer.length, size - buffer.length);
    const lines = printable(buffer.toString()).split('\n');
    if (lines.at(-1) === '') lines.pop();
    // What begins within a line is not a line.
    if (size > TAIL) lines.shift();
    return lines.slice(-count);
  } finally {
    closeSync(file);
  }
}

/** A text that moves no cursor: escape sequences are gone, other control characters are shown as `\xNN`. */
export function printable(text: string): string {
  return stripVTControlCharacters(text.replaceAll('\r\n', '\n')).replaceAll(/\p{Cc}/gu, (sign) =>
    sign === '\n' || sign === '\t' ? sign : `\\x${sign.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
