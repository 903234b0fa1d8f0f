/**
 * The words of tasks that users write and read: references, options, states, records.
 */
import type { Backoff, Policy, PolicyName, RateLimit } from './scheduling.ts';
import type { WaitOptions } from './waiting.ts';

/** Where a reference carries the type of what it stands for; there is nothing there at run time. */
export declare const output: unique symbol;

/** Stands for the output of a task or job: anywhere in the plain objects and arrays of an input it is an edge. */
export interface JobRef<out Out = unknown> {
  readonly id: string;
  /** Never there: carries the type. */
  readonly [output]: Out;
}

/** The handlers of a tasks module (`typeof import('./tasks.js')`), or the handlers themselves. */
export type HandlersOf<M> = M extends { default: infer D } ? D : M;
/** The names of the tasks. */
export type TaskName<H> = keyof H & string;
/** What the handler of a name takes; `void` where it takes nothing. */
export type InputOf<H, N extends keyof H> = H[N] extends (...args: infer A) => unknown
  ? A extends []
    ? void
    : A[0]
  : never;
type Unhandled<R> = R extends TaskHandle<infer O> ? Unhandled<O> : R;
/** What the handler of a name gives, awaited. */
export type OutputOf<H, N extends keyof H> = H[N] extends (...args: never) => infer R ? Unhandled<Awaited<R>> : never;

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any map, any set
type Containers = ReadonlyMap<any, any> | ReadonlySet<any>;
type Leaf =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Date
  | RegExp
  | URL
  | Error
  | ArrayBuffer
  | SharedArrayBuffer
  | ArrayBufferView
  | Containers
  | AsyncDisposable;

/** An input in which any part may be a reference to the output that will be there. */
export type Wired<T> = JobRef<T> | WiredInside<T>;
type WiredInside<T> = T extends Leaf
  ? T
  : T extends (...args: never) => unknown
    ? never
    : T extends readonly (infer E)[]
      ? number extends T['length']
        ? WiredArray<E>
        : { [K in keyof T]: Wired<T[K]> }
      : { [K in keyof T]: Wired<T[K]> };
/** An interface, so that recursive inputs (JSON) resolve lazily. */
export interface WiredArray<E> extends ReadonlyArray<Wired<E>> {}

/** The arguments after a task's name: the input may be left out where the handler does without. */
export type Call<W, I, O> = undefined extends I ? [input?: W, options?: O] : [input: W, options?: O];

/**
 * Where a task stands. `blocked` waits for the tasks it comes after, `ready` for a worker; the last five are final.
 */
export type TaskState =
  'blocked' | 'delayed' | 'ready' | 'leased' | 'succeeded' | 'failed' | 'cancelled' | 'expired' | 'skipped';

/** How a task is queued and run. */
export interface PutOptions {
  /** Your own id: putting it again with the same name and input gives the first task's handle. Not of the form t1. */
  id?: string | undefined;
  /** Higher runs sooner; ties first in, first out. Default 0. */
  priority?: number | undefined;
  /** Runs only after these have succeeded; skipped when one did not. */
  after?: readonly (string | JobRef)[] | undefined;
  /** How many failures of the handler are followed by another attempt. Default: the queue's `retries`. */
  retries?: number | undefined;
  /** A worker that ends while it runs this task fails it, with `WorkerLostError`; no second attempt. */
  atMostOnce?: boolean | undefined;
  /** The worker must have all of these. */
  tags?: readonly string[] | undefined;
  /** Amounts held while it runs: of the host where the manager has an amount of that name, else of the worker's own. */
  resources?: Readonly<Record<string, number>> | undefined;
  /** At most `keyConcurrency` tasks of one key run at a time. */
  key?: string | undefined;
  /** Groups share the queue fairly, by their `weights`; tasks without one are a group of their own. */
  group?: string | undefined;
  /** Only the worker of this name runs it. */
  worker?: string | undefined;
  /** ms before it may run, from the put on; of a job, from the submission of its graph. */
  delay?: number | undefined;
  /** When it may run at the earliest, by the wall clock of the manager's host at the time of the put. */
  runAt?: Date | undefined;
  /** Longest wait (ms) until a worker starts it, counted from when it may run; then it ends `expired`. */
  expires?: number | undefined;
  /** How long it waits after a failure before it is tried again. Default: the queue's `backoff`. */
  backoff?: Backoff | undefined;
  /**
   * Longest run (ms), from the start of the handler. Then its `signal` aborts with `TaskTimeoutError`, and whatever it
   * still says, that is the failure of this attempt; `retries` count. A handler that goes on for the queue's
   * `cancelGrace` more is ended: the process of a spawned worker is killed and replaced; any other worker loses the lease.
   * Default: the queue's `runTimeout`.
   */
  runTimeout?: number | undefined;
}

/** What the failure of a job means for the others of its run. */
export type OnFailure = 'skip' | 'fail' | 'ignore';

/** How a task that another task puts is queued and run. */
export interface ChildOptions extends PutOptions {
  /** Where its parent is part of a run, and it therefore too: as of a job of the graph. */
  onFailure?: OnFailure | undefined;
}

/**
 * How long records of finished tasks are kept: the oldest ends go first, as soon as any of the bounds is exceeded, but
 * never before the outcome is on its way to whoever put the task, nor while a dependent or a run needs it.
 */
export interface Retention {
  /** How many records. Default 200,000. */
  count?: number | undefined;
  /** For how long (ms). Default one hour. */
  age?: number | undefined;
  /**
   * How many bytes of payload they hold together: outputs, errors, and the inputs that they still have (of tasks that did
   * not succeed, for `retry`, and of those with an id of their user's choice). A record that holds more than that alone
   * goes as soon as it may. Default 64 MiB (67,108,864).
   */
  bytes?: number | undefined;
}

/** What a task queue is made with; where an option is left out, the manager's `queue` option counts. */
export interface TaskQueueOptions {
  /** Most tasks that may wait; `put` waits beyond. Default: no limit. */
  maxSize?: number | undefined;
  /** Most bytes of input that may wait. Default: no limit. */
  maxBytes?: number | undefined;
  /** How many failures of a handler are followed by another attempt. Default 0. */
  retries?: number | undefined;
  /** A task that has taken so many workers with it fails with `WorkerLostError`. Default 3. */
  poisonAfter?: number | undefined;
  /** How long (ms) a worker may be silent before its leases end. Default 15,000. */
  leaseTimeout?: number | undefined;
  /** Who goes first among tasks of the same group and priority. Default 'fifo'. An object only in the manager's own process. */
  policy?: PolicyName | Policy | undefined;
  /** A waiting task gains one point of priority in so many ms, so that nothing starves. Default: none. */
  ageing?: number | undefined;
  /** Shares of groups; 1 where none is given. */
  weights?: Readonly<Record<string, number>> | undefined;
  /** Most tasks that run at a time, on all workers together. Default: no limit. */
  concurrency?: number | undefined;
  /** Most tasks of one `key` that run at a time. Default: no limit. */
  keyConcurrency?: number | undefined;
  /** How many tasks may start in a time. Default: no limit. */
  rateLimit?: RateLimit | undefined;
  /** How long a failed task waits before it is tried again, where the put does not say. Default: not at all. */
  backoff?: Backoff | undefined;
  /** Longest run (ms), where the put does not say. Default: no limit. */
  runTimeout?: number | undefined;
  /**
   * How long (ms) a handler may go on after its `signal` has aborted, because its task was cancelled or has run for too
   * long, before its process is killed (SIGTERM, SIGKILL 250 ms later), where `startWorkers` spawned it. `Infinity`: for
   * ever. Default 5,000.
   */
  cancelGrace?: number | undefined;
  /**
   * How many records of finished tasks are kept (`count`, default 200,000), for how long (`age`, ms, default one hour),
   * and how many bytes of payload they hold together (`bytes`, default 64 MiB).
   */
  keepRecords?: Retention | undefined;
  /**
   * The same for dead letters: tasks that failed or expired. They are counted apart, so that no number of tasks that
   * succeed later makes them go. Each bound by default as `keepRecords` says.
   */
  keepDeadLetters?: Retention | undefined;
}

/** What a worker offers, and under which name: of tasks that ask for more, it is given none. */
export interface TakeOptions {
  /** Default: the client's name. */
  name?: string | undefined;
  /** Tags that it has. */
  tags?: readonly string[] | undefined;
  /** Amounts of which its tasks may hold no more at a time. */
  resources?: Readonly<Record<string, number>> | undefined;
}

/** What ended an attempt, or the whole task, as its record keeps it: texts alone, cut where they are long. */
export interface TaskError {
  /** As of the error's class: 'QM_TASK_FAILED', 'QM_WORKER_LOST', … */
  readonly code: string;
  readonly message: string;
  /** Of a lost worker: which process it was, and how it ended, as far as is known. */
  readonly pid?: number;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly reason?: string;
  /** Of a handler's error, up to 2,000 characters. */
  readonly stack?: string;
}

/** What is known of a task: made when somebody asks. */
export interface TaskRecord {
  readonly id: string;
  readonly name: string;
  /** Of a range, several inputs of a `map` that one record stands for: how many. */
  readonly inputs?: number;
  readonly state: TaskState;
  readonly priority: number;
  /** Executions that started. */
  readonly attempt: number;
  /** The worker that holds or last held it, with its process and host. */
  readonly worker?: string;
  readonly pid?: number;
  readonly host?: string;
  /** Wall-clock times in ms since 1970. */
  readonly putAt: number;
  readonly readyAt?: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** From ready to started, and from started to ended (ms). */
  readonly waitMs?: number;
  readonly runMs?: number;
  /** Encoded sizes. */
  readonly bytesIn: number;
  readonly bytesOut?: number;
  readonly after: readonly string[];
  /** The task whose handler put it, by `context.put()`. */
  readonly parent?: string;
  readonly error?: TaskError;
  /** Every change, the oldest first; of a long one, the first and the newest, 200 or so. */
  readonly history: readonly {
    readonly at: number;
    readonly from: TaskState | 'new';
    readonly to: TaskState;
    readonly why: string;
    /** Of an attempt that failed, or whose worker was lost: the last one's is the record's own `error`. */
    readonly error?: TaskError;
  }[];
}

/** Which tasks. */
export interface TaskFilter {
  state?: TaskState | readonly TaskState[] | undefined;
  name?: string | undefined;
  group?: string | undefined;
  key?: string | undefined;
  /** Only tasks that wait and that none of the workers that are there could ever run. */
  unrunnable?: boolean | undefined;
  /** Most records to return, default 1,000; most tasks to cancel or retry, default all. */
  limit?: number | undefined;
}

/** One task that was put, from whichever process. */
export interface TaskHandle<out Out = unknown> extends JobRef<Out> {
  readonly id: string;
  /**
   * Its output.
   * @throws TaskFailedError (cause: the handler's error), TaskTimeoutError, WorkerLostError, TaskCancelledError,
   * DependencyFailedError, UnknownTaskError when retention has let its record go
   */
  result(options?: WaitOptions): Promise<Out>;
  /** Where it stands now. @throws UnknownTaskError when retention has let its record go */
  state(): Promise<TaskState>;
  /** All that is known of it. @throws UnknownTaskError when retention has let its record go */
  record(): Promise<TaskRecord>;
  /**
   * It never runs, or its `signal` aborts; `result()` rejects at once. A spawned worker whose handler goes on for the
   * queue's `cancelGrace` is killed and replaced. False where it had ended already.
   */
  cancel(reason?: string): Promise<boolean>;
  /** What its handler reports with `progress()` from now on, until it ends. */
  progress(): AsyncIterable<unknown>;
}

/** A task that this process may run now, until it completes, fails, gives it back or loses the lease. */
export interface LeasedTask<In = unknown> {
  readonly id: string;
  readonly name: string;
  readonly input: In;
  /** Executions started, this one included. */
  readonly attempt: number;
  /** Grows over all leases of all tasks; a write that carries an older one is late. */
  readonly token: bigint;
  /** Aborts when the lease is lost, the task is cancelled, or it has run for longer than its `runTimeout`. */
  readonly signal: AbortSignal;
  /** @throws LeaseLostError when the lease has ended; the outcome is then not recorded */
  complete(output?: unknown): Promise<void>;
  /**
   * Reports that it failed. It runs again if the put or the queue grants it another attempt, unless `retry` is false.
   * @throws LeaseLostError when the lease has ended; the outcome is then not recorded
   */
  fail(error: unknown, options?: { retry?: boolean }): Promise<void>;
  /** Gives it back un-started. */
  release(): Promise<void>;
  /** Keeps the lease for at least so many ms from now even if this process falls silent. */
  extend(ms: number): Promise<void>;
  /** Tells whoever follows the task's progress; nobody else keeps it. */
  progress(value: unknown): void;
}
