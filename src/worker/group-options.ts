/** What a worker group is started with, checked. */
import { availableParallelism } from 'node:os';
import { inspect } from 'node:util';
import type { WorkerLogs } from './worker-logs.ts';

/** How many processes a group has: more of them while tasks wait, fewer while they have nothing to do. */
export interface WorkerCount {
  /** Never fewer, but for the moment it takes to replace one. 0 is allowed. */
  min: number;
  /** Never more. */
  max: number;
  /** A worker that has had nothing to do for so long (ms) ends, while there are more than `min`. Default 10,000. */
  idle?: number | undefined;
}

/** How many processes, on which queue, and how Node.js is started. */
export interface StartWorkersOptions {
  /** How many processes, or between which bounds. Default: as many as there are cores. */
  count?: number | WorkerCount | undefined;
  /** Name of the task queue. Default 'default'. */
  queue?: string | undefined;
  /** Tasks that each process runs at once. Default 1. */
  concurrency?: number | undefined;
  /** Tags that the workers have: tasks that ask for others are not for them. */
  tags?: readonly string[] | undefined;
  /** Amounts of which the tasks that one process runs hold no more at a time. */
  resources?: Readonly<Record<string, number>> | undefined;
  /** A process that has started so many tasks ends after them, and another one takes its place. Default: no limit. */
  maxTasksPerWorker?: number | undefined;
  /**
   * Bytes of memory (resident set). A process above it takes no more tasks, ends after those that it runs, and is
   * replaced. One above 1.5 times as much is killed (on Linux): its tasks have lost their worker. Default: no limit.
   */
  maxMemory?: number | undefined;
  /**
   * MiB of V8's old space (`--max-old-space-size`). A process that needs more dies of it; its tasks have lost their
   * worker, and the error says that it was out of memory. Default: Node's own.
   */
  heapLimit?: number | undefined;
  /** Added to this process's environment. */
  env?: Record<string, string> | undefined;
  /** For Node, before the script. What Node would take for the script is refused (`TypeError`). */
  execArgv?: readonly string[] | undefined;
  /** Where the output of the processes goes. Default 'tagged'. */
  logs?: WorkerLogs | undefined;
  /**
   * This process lives for its workers: at SIGTERM or SIGINT it drains them and exits with code 0. A second signal, or
   * 10 s after the first, ends them at once (what they ran runs again elsewhere) and exits with 128 + the signal's
   * number. Default false: signals are the program's own affair, and its workers end with it.
   */
  handleSignals?: boolean | undefined;
}

/** The size of a group, as it was asked for. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** ms; undefined where the size is fixed. */
  readonly idle: number | undefined;
}

const IDLE = 10_000;

/** @throws RangeError for what is no number of processes */
export function boundsOf(count: number | WorkerCount = availableParallelism()): Bounds {
  if (typeof count !== 'object') {
    checkWhole('count', count);
    return { min: count, max: count, idle: undefined };
  }
  const { min, max, idle = IDLE } = count;
  checkWhole('count.min', min, 0);
  checkWhole('count.max', max);
  if (min > max) throw new RangeError(`count.min is ${min}, more than count.max, which is ${max}`);
  if (!(idle >= 0 && idle <= 0x7fff_ffff)) throw new RangeError(`count.idle must be a time in ms, not ${String(idle)}`);
  return { min, max, idle };
}

/** @throws RangeError for what is no whole number of at least `least` */
export function checkWhole(name: string, value: unknown, least = 1): void {
  if (Number.isSafeInteger(value) && (value as number) >= least) return;
  throw new RangeError(`${name} must be a whole number of at least ${least}, not ${String(value)}`);
}

/** @throws RangeError or TypeError for options that make no sense */
export function checkOptions(options: StartWorkersOptions): void {
  const { concurrency = 1, maxTasksPerWorker = 1, maxMemory = 1, heapLimit = 1, logs = 'tagged', execArgv } = options;
  for (const [name, value] of Object.entries({ concurrency, maxTasksPerWorker, maxMemory, heapLimit })) {
    checkWhole(name, value);
  }
  if (typeof logs !== 'function' && !['tagged', 'inherit', 'ignore'].includes(logs)) {
    throw new TypeError(`logs must be 'tagged', 'inherit', 'ignore' or a function, not ${String(logs)}`);
  }
  checkExecArgv(execArgv);
}

/** Node.js takes the first argument that is no option for the script, and would run that in place of a worker. */
function checkExecArgv(execArgv: unknown = []): void {
  if (!Array.isArray(execArgv)) throw new TypeError(`execArgv must be an array of options, not ${String(execArgv)}`);
  let follows = false;
  for (const argument of execArgv as unknown[]) {
    const isOption = typeof argument === 'string' && /^--?[^-]/.test(argument);
    // Behind an option it may be that one's value.
    const isValue = typeof argument === 'string' && /^[^-]/.test(argument) && follows;
    if (!isOption && !isValue) throw new TypeError(`execArgv has ${inspect(argument)}, which is no option of Node.js`);
    follows = isOption;
  }
}
