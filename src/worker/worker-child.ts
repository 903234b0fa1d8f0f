/** One spawned worker process as its group sees it. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { BrokenPoolError } from '../errors.ts';
import { engineArguments } from '../proxy/engine.ts';
import { type DrainOrder, readLines, type WorkerOrders, type WorkerReport } from './orders.ts';

export interface ChildSettings {
  readonly env: NodeJS.ProcessEnv | undefined;
  readonly execArgv: readonly string[];
}

export interface ChildEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** The error that ended it, where it could say so. */
  readonly reason: string | undefined;
}

export class WorkerChild {
  readonly name: string;
  readonly ticket: string;
  readonly pid: number;
  /** Resolves when it loops on the queue; rejects where it ended or failed before. */
  readonly ready: Promise<void>;
  readonly ended: Promise<ChildEnd>;
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #alive: Socket;
  /** It ends because it has run as many tasks as it may. */
  retired = false;
  #crashed: string | undefined;

  constructor(orders: WorkerOrders, settings: ChildSettings) {
    this.name = orders.name;
    this.ticket = orders.ticket;
    const entry = fileURLToPath(new URL('./process.js', import.meta.url));
    // A process group of its own: what it spawns ends with it.
    const child = spawn(process.execPath, [...engineArguments, ...settings.execArgv, entry], {
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'pipe'],
      detached: true,
      env: settings.env === undefined ? process.env : { ...process.env, ...settings.env },
    });
    this.#child = child;
    this.#control = child.stdio[3] as Socket;
    this.#alive = child.stdio[4] as unknown as Socket;
    this.pid = child.pid ?? 0;
    for (const pipe of [this.#control, this.#alive]) pipe.on('error', () => {});
    this.ended = new Promise((resolve) => {
      const end = (exitCode: number | null, signal: NodeJS.Signals | null): void =>
        resolve({ exitCode: exitCode ?? undefined, signal: signal ?? undefined, reason: this.#crashed });
      child.once('exit', (exitCode, signal) => {
        this.#killGroup();
        // One that was killed had nothing to say: its tasks need not wait for its pipes.
        if (signal !== null) end(exitCode, signal);
      });
      // Comes after the last of what it said on its pipes, which end with its process group.
      child.once('close', end);
      child.once('error', () => {
        if (child.pid === undefined) end(null, null);
      });
    });
    this.ready = this.#becomesReady(child);
    this.ready.catch(() => {});
    this.#tell(orders);
  }

  /** Only while it starts or ends does it keep this process alive. */
  unref(): void {
    this.#child.unref();
    this.#control.unref();
    this.#alive.unref();
  }

  ref(): void {
    this.#child.ref();
  }

  /** Finish what runs, take no more, end. */
  drain(): void {
    this.#tell({ drain: true });
  }

  /** Ends it and all that it spawned. */
  kill(): void {
    if (!this.#killGroup()) this.#child.kill('SIGKILL');
  }

  #killGroup(): boolean {
    try {
      return this.pid > 0 && process.kill(-this.pid, 'SIGKILL');
    } catch {
      return false; // Nobody of the group is left.
    }
  }

  #becomesReady(child: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#control.setEncoding('utf8');
      this.#control.on(
        'data',
        readLines((line) => {
          const report = JSON.parse(line) as WorkerReport;
          if ('ready' in report) return resolve();
          if ('retired' in report) {
            this.retired = true;
            return;
          }
          if ('crashed' in report) {
            this.#crashed = report.crashed;
            return;
          }
          const { name, message, stack } = report.failed;
          const cause = Object.assign(new Error(message), { name }, stack === undefined ? {} : { stack });
          reject(new BrokenPoolError(`worker ${this.name} could not start: ${message}`, { cause }));
        }),
      );
      const ended = (how: string): void =>
        reject(new BrokenPoolError(`worker ${this.name} (pid ${this.pid}) ended before it was ready (${how})`));
      // 'close' comes after the last of what it said on its pipes.
      child.once('close', (code, signal) => ended(signal ?? `exit code ${code}`));
      child.once('error', (error) => ended(error.message));
    });
  }

  #tell(order: WorkerOrders | DrainOrder): void {
    if (this.#control.writable) this.#control.write(`${JSON.stringify(order)}\n`);
  }
}
