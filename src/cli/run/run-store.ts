/**
 * What is kept of the runs of a graph file, in `.quartermaster/FILE/` beside it:
 *
 *     jobs.jsonl   one line for each start and success; the last one of a job counts. Written anew at every start
 *     outputs/     the output of each job that succeeded, as V8 serializes it
 *     inputs/      the digest of the files that each job said it reads, as they were when it started
 *     logs/        what each job has written
 *     lock         the process that is running the file
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { CommandError } from '../command-error.ts';

/** A job that has succeeded, and has not been started since. */
export interface Success {
  /** Of this very success. */
  readonly token: string;
  /** What was run: see `fingerprint.ts`. */
  readonly fingerprint: string;
  /** Tokens of the jobs before it: what it ran after. */
  readonly before: readonly string[];
  /** Digest of the files that it said it reads; undefined where it said nothing. */
  readonly inputs: string | undefined;
  /** Whether it had an output, and whether that could be kept. */
  readonly output: 'kept' | 'none' | 'lost';
}

interface Line {
  readonly id: string;
  /** Of its last success. */
  readonly ms?: number;
  readonly success?: Success;
}

export class RunStore {
  readonly #directory: string;
  /** How long each job took when it last succeeded (ms). */
  readonly durations = new Map<string, number>();
  readonly #successes = new Map<string, Success>();
  #locked = false;

  /** `directory`: that of the graph file; `name`: the file's own. */
  constructor(directory: string, name: string) {
    this.#directory = path.join(directory, '.quartermaster', name);
    this.#read();
  }

  /** Until `close()` no other process runs the file. @throws CommandError where one does, or nothing can be written */
  open(): void {
    try {
      for (const part of ['logs', 'outputs', 'inputs']) mkdirSync(this.#at(part), { recursive: true });
      // What is kept here is this machine's alone.
      writeFileSync(path.join(path.dirname(this.#directory), '.gitignore'), '*\n');
      this.#lock();
      this.#read();
      const ids = [...new Set([...this.durations.keys(), ...this.#successes.keys()])];
      writeFileSync(this.#at('jobs.jsonl.new'), ids.map((id) => this.#line(id)).join(''));
      renameSync(this.#at('jobs.jsonl.new'), this.#at('jobs.jsonl'));
    } catch (error) {
      this.close();
      if (error instanceof CommandError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      throw new CommandError(`${this.#directory} cannot be written (${code}): logs and results are kept there`);
    }
  }

  close(): void {
    if (this.#locked) rmSync(this.#at('lock'), { force: true });
    this.#locked = false;
  }

  success(id: string): Success | undefined {
    return this.#successes.get(id);
  }

  /** What its last success was is not there any more, whether it ends or not. */
  started(id: string): void {
    if (this.#successes.delete(id)) this.#append(id);
  }

  succeeded(id: string, run: Pick<Success, 'fingerprint' | 'before'>, ms: number, output: unknown): void {
    const kept = this.#keep(id, output);
    const inputs = this.#note(id);
    this.#successes.set(id, { ...run, token: randomUUID(), inputs, output: kept });
    this.durations.set(id, Math.round(ms));
    this.#append(id);
  }

  /** Of a success whose output was kept. */
  output(id: string): unknown {
    if (this.success(id)?.output !== 'kept') return undefined;
    return deserialize(readFileSync(this.#outputFile(id))) as unknown;
  }

  logFile(id: string): string {
    return path.join(this.#at('logs'), `${fileName(id)}.log`);
  }

  /** Where the worker notes the digest of what the job reads. */
  inputsNote(id: string): string {
    return path.join(this.#at('inputs'), fileName(id));
  }

  #note(id: string): string | undefined {
    try {
      return readFileSync(this.inputsNote(id), 'utf8');
    } catch {
      return undefined;
    }
  }

  #keep(id: string, output: unknown): Success['output'] {
    const file = this.#outputFile(id);
    rmSync(file, { force: true });
    if (output === undefined) return 'none';
    try {
      const bytes = serialize(output);
      if (!isDeepStrictEqual(deserialize(bytes), output)) return 'lost';
      writeFileSync(file, bytes);
      return 'kept';
    } catch {
      return 'lost';
    }
  }

  #read(): void {
    let text;
    try {
      text = readFileSync(this.#at('jobs.jsonl'), 'utf8');
    } catch {
      return;
    }
    for (const line of text.split('\n')) {
      const read = parse(line);
      if (read === undefined) continue;
      const { id, ms, success } = read;
      if (ms !== undefined) this.durations.set(id, ms);
      if (success === undefined) this.#successes.delete(id);
      else this.#successes.set(id, success);
    }
    for (const [id, { output }] of this.#successes) {
      if (output === 'kept' && !existsSync(this.#outputFile(id))) this.#successes.delete(id);
    }
  }

  #append(id: string): void {
    appendFileSync(this.#at('jobs.jsonl'), this.#line(id));
  }

  #line(id: string): string {
    const line = { id, ms: this.durations.get(id), success: this.#successes.get(id) };
    return `${JSON.stringify(line)}\n`;
  }

  #lock(): void {
    const file = this.#at('lock');
    for (let tries = 0; ; tries++) {
      try {
        writeFileSync(file, String(process.pid), { flag: 'wx' });
        this.#locked = true;
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        const pid = Number(readFileSync(file, 'utf8'));
        if (tries > 3 || (pid > 0 && isAlive(pid))) {
          throw new CommandError(
            `process ${pid} is running this file: wait until it has ended (if it is none of yours, remove ${file})`,
          );
        }
        rmSync(file, { force: true });
      }
    }
  }

  #outputFile(id: string): string {
    return path.join(this.#at('outputs'), fileName(id));
  }

  #at(part: string): string {
    return path.join(this.#directory, part);
  }
}

/** A line that was being written when its process ended is none. */
function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Ids have no '@': no two come to the same name. */
function fileName(id: string): string {
  return id.replaceAll(':', '@');
}
