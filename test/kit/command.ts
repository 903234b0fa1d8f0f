/** The command `quartermaster` as users start it, in a folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { type Outcome, run, type RunOptions } from './run.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
export const command = path.join(root, 'dist/cli/main.js');

/** The folder goes with the test. Texts by path. */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** Runs the command to its end. */
export function quartermaster(folder: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const env = { CI: undefined, QUARTERMASTER_CONNECTION: undefined, ...options.env };
  return run(process.execPath, [command, ...args], { ...options, cwd: folder, env });
}

/** One line of `run --json`. */
export interface RunEvent {
  readonly event: 'start' | 'job' | 'note' | 'end';
  readonly job?: string;
  readonly state?: string;
  readonly output?: unknown;
  readonly error?: string;
  readonly log?: string;
  readonly attempt?: number;
  readonly text?: string;
  readonly upToDate?: unknown;
}

/** Runs a graph file with `--json`: the events, and how each job ended. */
export async function runGraphFile(folder: string, ...args: string[]) {
  const outcome = await quartermaster(folder, ['run', ...args, '--json']);
  const events = outcome.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RunEvent);
  const ended = events.filter(({ event, state }) => event === 'job' && state !== 'running' && state !== 'waiting');
  const states = Object.fromEntries(ended.map(({ job = '', state = '' }) => [job, state]));
  const outputs = Object.fromEntries(
    ended.filter(({ state }) => state === 'succeeded').map(({ job = '', output }) => [job, output]),
  );
  const errors = Object.fromEntries(
    ended.flatMap(({ job = '', error }) => (error === undefined ? [] : [[job, error]])),
  );
  return { ...outcome, events, states, outputs, errors };
}

/** The command while it runs. */
export interface Running {
  readonly child: ChildProcess;
  /** Lines of its standard output, as they come; ends with it. */
  readonly lines: AsyncIterator<string>;
  /** What it has said on standard error so far. */
  stderr(): string;
  /** Reads on until a line has this text. */
  until(text: string): Promise<string>;
  /** All lines that are still to come, and how it ended. */
  toItsEnd(): Promise<{ lines: string[]; code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the command; the test ends it, or it is killed with the test. */
export function startQuartermaster(folder: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [command, ...args], {
    cwd: folder,
    env: { ...process.env, CI: undefined, QUARTERMASTER_CONNECTION: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = once(child, 'close');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    child,
    lines,
    stderr: () => stderr,
    until: async (text) => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) throw new Error(`it ended without saying '${text}'; on standard error: ${stderr}`);
        if (value.includes(text)) return value;
      }
    },
    toItsEnd: async () => {
      const rest: string[] = [];
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) break;
        rest.push(value);
      }
      await closed;
      return { lines: rest, code: child.exitCode, signal: child.signalCode };
    },
  };
}

/** Whether no process of this id runs. One that has ended, and that nobody has asked about yet, counts as gone. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
