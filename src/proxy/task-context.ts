/** What users write as tasks: handlers, and what those are given. */
import type { ChildOptions, TaskHandle } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import type { Client } from './client.ts';

/** What a job graph or a queue runs for a task of its name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any input: each handler names its own
export type Handler = (input: any, context: TaskContext) => unknown;
/** Handlers by the names of their tasks. */
export type Handlers = Record<string, Handler>;

/** From what only helps to find a fault to what somebody has to look at. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * What a handler says about its task: a message, or an error, and what goes with it as fields. It reaches whoever started
 * the worker, with the task's id, name and attempt: by the option `logs` of `startWorkers` and `startPool`; under
 * `work()` it is written to the process's own stderr. It is bounded as a worker's output is (256 KiB a second, 1 MiB at
 * once; message and fields together 8 Ki characters, 32 fields); what is more is dropped, and counted in a line. Never
 * throws, and waits for nobody.
 */
export interface Logger {
  /** What helps to find a fault. */
  debug(message: string | Error, fields?: Readonly<Record<string, unknown>>): void;
  /** What goes as it should. */
  info(message: string | Error, fields?: Readonly<Record<string, unknown>>): void;
  /** What goes on, but not as it should. */
  warn(message: string | Error, fields?: Readonly<Record<string, unknown>>): void;
  /** What somebody has to look at. It does not make the task fail. */
  error(message: string | Error, fields?: Readonly<Record<string, unknown>>): void;
}

/** What a handler is given beside its input. */
export interface TaskContext {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly token: bigint;
  readonly signal: AbortSignal;
  /** Name of the worker that runs it. */
  readonly worker: string;
  readonly pid: number;
  /**
   * Puts a child of this task, into the same queue. Its id follows from this task and from how many children were put
   * before it: another attempt that puts the same in the same order gets the tasks that are there, run anew where they
   * did not succeed and this task has failed since. With an `id` of your own it is that task, as with any put. While
   * `result()` of it is awaited, this task's slot is lent to another one. A handle that a handler returns makes that
   * task's output its own. Children go on whatever becomes of this task. Where it is part of a run of a job graph, so are
   * they: the run ends after them, stops at their failure by its rule or by their `onFailure`, and cancelling this job
   * cancels them.
   * @throws LeaseLostError when this attempt is over, DeadlockError of a child with a `key` that this task holds,
   * DuplicateTaskError where another attempt has put something else in its place
   */
  put<Out = unknown>(name: string, input?: unknown, options?: ChildOptions & WaitOptions): Promise<TaskHandle<Out>>;
  /**
   * A client of the manager that the task came from. Locks that are taken through it are given back when this attempt
   * ends, however it ends, and their proxies disposed of; what else is opened through it stays open. While a task is
   * awaited through it, this task's slot is lent to another one.
   */
  readonly client: Client;
  /** Says something to whoever looks after the workers. */
  readonly log: Logger;
  /** Tells whoever follows the task's progress; nobody else keeps it. */
  progress(value: unknown): void;
}

/** Types a tasks module: `export default defineTasks({ … })`. */
export function defineTasks<const H extends Handlers>(handlers: H): H {
  return handlers;
}
