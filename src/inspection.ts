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

/** Which objects `inspect.objects()` shows. */
export interface ObjectFilter {
  /** Only those of this type. */
  typeId?: string | undefined;
  /** Only unnamed ones (true), or only named ones (false). */
  unnamed?: boolean | undefined;
  /** Most that are shown, the oldest first. Default 1,000. */
  limit?: number | undefined;
}

/** A shared object, and what keeps it. An unnamed one that nothing keeps is gone. */
export interface ObjectSummary {
  readonly id: number;
  readonly typeId: string;
  readonly name?: string;
  /** The sessions that have proxies of it, and how many. */
  readonly sessions: readonly {
    readonly session: number;
    readonly pid: number;
    readonly name: string;
    readonly references: number;
  }[];
  /** References of calls under way, and of values on their way to a client. */
  readonly inFlight: number;
  /** How often values that are stored name it; tasks' inputs and outputs are stored in their queue. */
  readonly stored: number;
  /** Where those values are: ten objects at most. */
  readonly storedIn: readonly {
    readonly id: number;
    readonly typeId: string;
    readonly name?: string;
    readonly times: number;
  }[];
}

/** A task's record and the queue that it is in. */
export type QueuedTaskRecord = TaskRecord & { readonly queue: string };

/** Whose a grant or a wait is. */
export interface LockUser {
  readonly session: number;
  readonly pid: number;
  readonly name: string;
}

/** A guard, or a hold on an object (`withLock`). */
export interface LockHolder extends LockUser {
  /** Of a guard; undefined for a hold. */
  readonly token: bigint | undefined;
  /** How much of the lock it has: permits of a semaphore; of a read-write lock, whether it reads or writes. */
  readonly weight: number | 'read' | 'write';
  readonly heldMs: number;
}

/** A call that waits for a lock, or for its turn on an object that is held. */
export interface LockWaiter extends LockUser {
  readonly waitingMs: number;
  /** What its flow is known to hold, as `title` has it: the edges of the wait-for graph. */
  readonly holding: readonly string[];
}

/** A lock of any kind that is held or waited for, or an object under a hold: `holders` is what `waiters` wait for. */
export interface LockSummary {
  readonly typeId: string;
  readonly name: string | undefined;
  /** As messages name it: "lock 'jobs'". */
  readonly title: string;
  readonly holders: readonly LockHolder[];
  /** First come, first served. Of an object under a hold only those of flows that are known to hold something else. */
  readonly waiters: readonly LockWaiter[];
}
