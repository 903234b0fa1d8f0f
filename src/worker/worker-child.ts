/** One spawned worker process as its group sees it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { BrokenPoolError } from '../errors.ts';
import { workerArguments, workerAllocator } from '../proxy/engine.ts';
import { CONTROL_PIPE, type DrainOrder, type LateError, PARENT_PIPE, readLines } from './orders.ts';
import type { WorkerOrders, WorkerReport } from './orders.ts';
import { LogReader, type WorkerLogs, writeTagged } from './worker-logs.ts';

export interface ChildSettings {
  readonly env: NodeJS.ProcessEnv | undefined;
  readonly execArgv: readonly string[];
  readonly logs: WorkerLogs;
}

/** What a process says while it runs. */
export interface ChildListener {
  idle(child: WorkerChild): void;
  late(child: WorkerChild, error: LateError): void;
}

export interface ChildEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** Why it ended, where it or its group could say so. */
  readonly reason: string | undefined;
}

/** How long (ms) one that is to be killed may take to end by itself after SIGTERM. */
const TERM_GRACE = 250;
/** How long (ms) after its end its last words are waited for: a process that left its group may hold its pipes. */
const LAST_WORDS = 250;
/** How V8 ends a process whose heap is full; which of them depends on its version. */
const FATAL: readonly (NodeJS.Signals | undefined)[] = ['SIGABRT', 'SIGTRAP', 'SIGILL'];

/** The process itself. It waits for its orders. */
export function spawnWorker({ logs, execArgv, env }: ChildSettings): ChildProcess {
  const output = logs === 'inherit' || logs === 'ignore' ? logs : 'pipe';
  const entry = fileURLToPath(new URL('./entry.js', import.meta.url));
  // A process group of its own: what it spawns ends with it.
  return spawn(process.execPath, [...workerArguments, ...execArgv, entry], {
    stdio: ['ignore', output, output, 'pipe', 'pipe'],
    detached: true,
    env: { ...workerAllocator, ...process.env, ...env },
  });
}

export class WorkerChild {
  readonly name: string;
  readonly ticket: string;
  readonly pid: number;
  /** Of failing starts, in which it was started. */
  readonly round: number;
  /** Resolves when it loops on the queue; rejects where it ended or failed before. */
  readonly ready: Promise<void>;
  readonly ended: Promise<ChildEnd>;
  /** It loops on the queue. */
  isReady = false;
  /** It ends by itself: it has run as many tasks as it may, needs too much memory, or was sent a signal. */
  retired = false;
  /** Its group has told it to end, and wants no other one in its place. */
  leaving = false;
  readonly #child: ChildProcess;
  readonly #control: Socket;
  readonly #alive: Socket;
  readonly #logs: LogReader | undefined;
  #reason: string | undefined;
  #killing: NodeJS.Timeout | undefined;

  /** `spare`: a process that was spawned for it before. */
  constructor(
    orders: WorkerOrders,
    round: number,
    settings: ChildSettings,
    listener: ChildListener,
    spare: ChildProcess | undefined,
  ) {
    this.name = orders.name;
    this.ticket = orders.ticket;
    this.round = round;
    const { logs } = settings;
    const child = spare ?? spawnWorker(settings);
    this.#child = child;
    this.#control = child.stdio[CONTROL_PIPE] as Socket;
    this.#alive = child.stdio[PARENT_PIPE] as unknown as Socket;
    this.pid = child.pid ?? 0;
    if (child.stdout !== null) {
      this.#logs = new LogReader(this, typeof logs === 'function' ? logs : writeTagged);
      for (const stream of ['stdout', 'stderr'] as const) this.#logs.read(stream, child[stream] as Socket);
    }
    for (const pipe of [this.#control, this.#alive]) pipe.on('error', () => {});
    this.ended = this.#ends(child);
    this.ready = this.#becomesReady(child, listener);
    this.ready.catch(() => {});
    this.#tell(logs === 'inherit' || logs === 'ignore' ? { ...orders, logs } : orders);
  }

  /** Only while it starts or ends does it keep this process alive. */
  unref(): void {
    for (const each of this.#handles) each.unref();
  }

  ref(): void {
    for (const each of this.#handles) each.ref();
  }

  get #handles(): readonly { ref(): void; unref(): void }[] {
    const { stdio } = this.#child;
    return [this.#child, ...(stdio as (Socket | null)[]).filter((stream) => stream !== null)];
  }

  /** Finish what runs, take no more, end. One that has not begun has nothing to finish, and may never begin. */
  drain(): void {
    if (this.isReady) this.#tell({ drain: true });
    else this.kill();
  }

  /** Ends it and all that it spawned. */
  kill(reason?: string): void {
    this.#reason ??= reason;
    if (!this.#signalGroup('SIGKILL')) this.#child.kill('SIGKILL');
  }

  /** Ends it for what it does: SIGTERM first, to all that it spawned as well, then `kill`. */
  terminate(reason: string): void {
    if (this.#killing !== undefined) return;
    this.#reason ??= reason;
    this.#signalGroup('SIGTERM');
    this.#killing = setTimeout(() => this.kill(), TERM_GRACE);
  }

  /** Bytes of memory that it has; undefined where the system does not tell (all but Linux), or it has ended. */
  get memory(): number | undefined {
    try {
      const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
    } catch {
      return undefined;
    }
  }

  #signalGroup(signal: NodeJS.Signals): boolean {
    try {
      return this.pid > 0 && process.kill(-this.pid, signal);
    } catch {
      return false; // Nobody of the group is left.
    }
  }

  #ends(child: ChildProcess): Promise<ChildEnd> {
    return new Promise((resolve) => {
      let lastWords: NodeJS.Timeout | undefined;
      const end = (exitCode: number | null, signal: NodeJS.Signals | null): void => {
        clearTimeout(lastWords);
        clearTimeout(this.#killing);
        resolve({ exitCode: exitCode ?? undefined, signal: signal ?? undefined, reason: this.#why(signal) });
      };
      child.once('exit', (exitCode, signal) => {
        this.#signalGroup('SIGKILL');
        // One that was killed had nothing to say: its tasks need not wait for its pipes.
        if (signal !== null && !FATAL.includes(signal)) end(exitCode, signal);
        else lastWords = setTimeout(end, LAST_WORDS, exitCode, signal);
      });
      // Comes after the last of what it said on its pipes, which end with its process group.
      child.once('close', end);
      child.once('error', () => {
        if (child.pid === undefined) end(null, null);
      });
    });
  }

  #why(signal: NodeJS.Signals | null): string | undefined {
    if (this.#reason !== undefined || signal === null || !FATAL.includes(signal)) return this.#reason;
    if (this.#logs?.outOfMemory === true) return 'out of memory: its heap was full';
    return 'it aborted, as V8 does when the heap is out of memory';
  }

  #becomesReady(child: ChildProcess, listener: ChildListener): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#control.setEncoding('utf8');
      this.#control.on(
        'data',
        readLines((line) => {
          const report = JSON.parse(line) as WorkerReport;
          if ('ready' in report) {
            this.isReady = true;
            resolve();
          } else if ('retired' in report) {
            this.retired = true;
          } else if ('idle' in report) {
            listener.idle(this);
          } else if ('log' in report) {
            this.#logs?.said(report.log);
          } else if ('late' in report) {
            listener.late(this, report.late);
          } else if ('crashed' in report) {
            this.#reason ??= report.crashed;
          } else {
            const { name, message, stack } = report.failed;
            const cause = Object.assign(new Error(message), { name }, stack === undefined ? {} : { stack });
            reject(new BrokenPoolError(`worker ${this.name} could not start: ${message}`, { cause }));
          }
        }),
      );
      const ended = (how: string): void => {
        const why = this.#reason === undefined ? '' : `: ${this.#reason}`;
        reject(new BrokenPoolError(`worker ${this.name} (pid ${this.pid}) ended before it was ready (${how})${why}`));
      };
      // After the last of what it said: what failed is said better by itself.
      void this.ended.then(({ exitCode, signal }) => ended(signal ?? `exit code ${exitCode}`));
      child.once('error', (error) => ended(error.message));
    });
  }

  #tell(order: WorkerOrders | DrainOrder): void {
    if (this.#control.writable) this.#control.write(`${JSON.stringify(order)}\n`);
  }
}
