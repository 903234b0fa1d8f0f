/**
 * A shell command as a handler: it runs in a process group of its own, so that it can be ended with all that it started.
 *
 *     worker ──spawns──▶ sh (guard process) ──exec──▶ the job's shell ──▶ its commands
 *        └─pipe on descriptor 3──▶ its subshell waits for the pipe's end, then kills the group
 *
 * The pipe ends with the worker, however that ends: so nothing of the job outlives it. Windows has no process groups;
 * there the command alone is ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { JobLog } from './job-log.ts';
import { type JobEnvelope, type SentTemplate, writeText } from './job-input.ts';
import { scriptOf } from './shell-script.ts';

export interface ShellInput extends JobEnvelope {
  readonly shell: 'sh' | 'bash';
  readonly command: SentTemplate;
  readonly env: Readonly<Record<string, SentTemplate>>;
  readonly cwd: SentTemplate;
  readonly output: { readonly file?: SentTemplate | undefined; readonly as: 'text' | 'json' };
  /** Whether another job uses the output: then it must not be too long. */
  readonly used: boolean;
  /** Where the graph file is; absolute. */
  readonly directory: string;
}

/** Longest output (bytes) that is kept; more of it is in the log. */
const LONGEST_OUTPUT = 8 * 1024 * 1024;
/** How long (ms) a command may go on after SIGTERM. */
const TERM_GRACE = 3_000;
/** How long (ms) after its end its pipes are waited for: what left its process group may hold them. */
const LAST_WORDS = 250;

/** Ignores what ends others gently: it must be there until the worker is gone. */
const GUARD = `(trap '' TERM INT HUP; read -r _ <&3; kill -KILL 0) </dev/null >/dev/null 2>&1 & exec 3<&-; exec "$@"`;

/** @throws Error that says how the command failed, or `signal`'s reason */
export async function runShell(input: ShellInput, attempt: number, signal: AbortSignal): Promise<unknown> {
  signal.throwIfAborted();
  const log = new JobLog(input.log, attempt);
  try {
    const cwd = path.resolve(input.directory, writeText(input.cwd));
    if (!isDirectory(cwd)) throw new Error(`its cwd, ${cwd}, is no directory: make it, or name another one`);
    const stdout = await execute(input, cwd, log, signal);
    return await outputOf(input, cwd, stdout);
  } finally {
    log.close();
  }
}

async function execute(input: ShellInput, cwd: string, log: JobLog, signal: AbortSignal): Promise<Output> {
  const { text, env: outputs } = scriptOf(input.command);
  const own = Object.entries(input.env).map(([name, template]) => [name, writeText(template)]);
  const env = { ...process.env, ...Object.fromEntries(own), ...outputs };
  const child = start(input.shell, text, cwd, env);
  const output = new Output();
  child.stdout?.on('data', (chunk: Buffer) => {
    log.write(chunk);
    output.add(chunk);
  });
  child.stderr?.on('data', (chunk: Buffer) => log.write(chunk));
  let killing: NodeJS.Timeout | undefined;
  const end = (): void => {
    signalGroup(child, 'SIGTERM');
    killing = setTimeout(() => signalGroup(child, 'SIGKILL'), TERM_GRACE);
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    const { code, by } = await ended(child);
    signal.throwIfAborted();
    if (by !== null) throw new Error(`ended by ${by}`);
    if (code !== 0) throw new Error(`exit code ${String(code)}${meaning(code)}`);
    return output;
  } finally {
    clearTimeout(killing);
    signal.removeEventListener('abort', end);
  }
}

function start(shell: 'sh' | 'bash', text: string, cwd: string, env: NodeJS.ProcessEnv): ChildProcess {
  if (process.platform === 'win32') {
    return spawn(shell, ['-e', '-c', text], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  }
  const args = ['-c', GUARD, 'sh', shell, '-e', '-c', text];
  return spawn('sh', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true });
}

function isDirectory(place: string): boolean {
  return statSync(place, { throwIfNoEntry: false })?.isDirectory() === true;
}

interface End {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
}

/** When it has ended and all that it said has been read. What it left running in its group ends with it. */
function ended(child: ChildProcess): Promise<End> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'there is no sh' : error.message;
      reject(new Error(`the command could not be started: ${why}`));
    });
    child.once('exit', (code, by) => {
      signalGroup(child, 'SIGKILL');
      const settle = (): void => {
        clearTimeout(lastWords);
        for (const stream of child.stdio) stream?.destroy();
        resolve({ code, by });
      };
      const lastWords = setTimeout(settle, LAST_WORDS);
      child.once('close', settle);
    });
  });
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}

function meaning(code: number | null): string {
  if (code === 127) return ': a command in it was not found';
  if (code === 126) return ': a command in it may not be executed';
  if (code === null || code <= 128) return '';
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return name === undefined ? '' : ` (${name})`;
}

/** What the command says on its standard output, up to a limit. */
class Output {
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= LONGEST_OUTPUT) this.#chunks.push(chunk);
    else this.#chunks = [];
  }

  /** Undefined where it was too long. */
  get text(): string | undefined {
    return this.#bytes > LONGEST_OUTPUT ? undefined : Buffer.concat(this.#chunks).toString();
  }

  get bytes(): number {
    return this.#bytes;
  }
}

async function outputOf({ output, used }: ShellInput, cwd: string, stdout: Output): Promise<unknown> {
  const where = output.file === undefined ? 'its standard output' : writeText(output.file);
  const text = output.file === undefined ? stdout.text : await contents(path.resolve(cwd, where), where);
  if (text === undefined) {
    if (!used && output.as === 'text') return undefined;
    throw new Error(
      `${where} has ${stdout.bytes} bytes, more than an output may have: write a file, and output its name`,
    );
  }
  if (output.as === 'json') {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new Error(`${where} is not JSON, as 'output' says: ${(error as Error).message}`, { cause: error });
    }
  }
  return output.file === undefined ? text.replace(/(\r?\n)+$/, '') : text;
}

async function contents(file: string, name: string): Promise<string> {
  let text;
  try {
    text = await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`its output, the file ${name}, cannot be read (${code}): let the command write it`, {
      cause: error,
    });
  }
  if (text.length <= LONGEST_OUTPUT) return text.toString();
  throw new Error(
    `its output, the file ${name}, has ${text.length} bytes, and ${LONGEST_OUTPUT} are the most: output its name`,
  );
}
