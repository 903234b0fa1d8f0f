/** What `client.inspect` returns: plain data, computed by the manager. */
import type { TaskRecord } from './tasks.ts';

/** One taker of tasks: a worker process, or any client that took a task from a queue. */
export interface WorkerSummary {
  readonly name: string;
  readonly pid: number;
  readonly host: string;
  readonly session: number;
  readonly queue: string;
  /** A worker group of this host spawned it and kills it before its tasks run elsewhere. */
  readonly owned: boolean;
  /** Tasks it holds, and how many of them it has started. */
  readonly leased: number;
  readonly running: number;
  /** Executions that it completed or failed. */
  readonly done: number;
  /** How long it has been silent (ms). */
  readonly lastHeardMs: number;
}

/** A task's record and the queue that it is in. */
export type QueuedTaskRecord = TaskRecord & { readonly queue: string };
