/** What users write as tasks: handlers, and what those are given. */
import type { Client } from './client.ts';

/** What a job graph or a queue runs for a task of its name. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any input: each handler names its own
export type Handler = (input: any, context: TaskContext) => unknown;
/** Handlers by the names of their tasks. */
export type Handlers = Record<string, Handler>;

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
   * A client of the manager that the task came from. Locks that are taken through it are given back when this attempt
   * ends, however it ends, and their proxies disposed of; what else is opened through it stays open.
   */
  readonly client: Client;
  /** Tells whoever follows the task's progress; nobody else keeps it. */
  progress(value: unknown): void;
}

/** Types a tasks module: `export default defineTasks({ … })`. */
export function defineTasks<const H extends Handlers>(handlers: H): H {
  return handlers;
}
