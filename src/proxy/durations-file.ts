/** The small file beside a graph in which is kept how long its jobs take. */
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Durations } from '../graph/durations.ts';

export class DurationsFile {
  readonly path: string;

  constructor(path: string | URL) {
    if (typeof path !== 'string' && !(path instanceof URL)) {
      throw new TypeError('durations must be the path of a file, or its URL');
    }
    if (path === '') throw new TypeError('durations must be the path of a file, not an empty string');
    this.path = typeof path === 'string' ? path : fileURLToPath(path);
  }

  /** What is known; nothing where there is no file yet. @throws Error naming the file where it is another one, or broken */
  read(): Durations {
    let text;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Durations();
      throw error;
    }
    try {
      return Durations.fromJSON(JSON.parse(text));
    } catch (error) {
      const why = (error as Error).message;
      throw new Error(`${this.path} does not hold durations (${why}): name another file, or remove this one`, {
        cause: error,
      });
    }
  }

  /** Adds what a run has shown to what is known by now: a reader finds the file before it or after it. */
  learn(ran: Iterable<readonly [id: string, name: string, ms: number]>): void {
    const known = this.read();
    for (const [id, name, ms] of ran) known.note(name, id, ms);
    if (known.empty) return;
    const temporary = `${this.path}.${randomUUID().slice(0, 8)}`;
    try {
      writeFileSync(temporary, `${JSON.stringify(known, undefined, 1)}\n`);
      renameSync(temporary, this.path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }
}
