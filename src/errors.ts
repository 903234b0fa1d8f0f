/**
 * Every failure of Quartermaster as a class with a closed code. Errors cross the wire as (code, message, cause, fields)
 * and come out on the other side as an instance of the same class.
 */

/** What went wrong: the `code` of every `QuartermasterError`. A closed list. */
export type ErrorCode =
  | 'QM_AUTHENTICATION'
  | 'QM_BROKEN_BARRIER'
  | 'QM_BROKEN_POOL'
  | 'QM_CONNECTION_LOST'
  | 'QM_CYCLE'
  | 'QM_DEADLOCK'
  | 'QM_DEPENDENCY_FAILED'
  | 'QM_DUPLICATE_JOB'
  | 'QM_DUPLICATE_TASK'
  | 'QM_FRAME_TOO_LARGE'
  | 'QM_LEASE_LOST'
  | 'QM_MANAGER_GONE'
  | 'QM_NOT_LOCK_OWNER'
  | 'QM_POOL_TERMINATED'
  | 'QM_PROTOCOL'
  | 'QM_PROXY_DISPOSED'
  | 'QM_QUEUE_FULL'
  | 'QM_QUEUE_SHUTDOWN'
  | 'QM_TASK_CANCELLED'
  | 'QM_TASK_EXPIRED'
  | 'QM_TASK_FAILED'
  | 'QM_TASK_TIMEOUT'
  | 'QM_TIMEOUT'
  | 'QM_TOO_MANY_CONNECTIONS'
  | 'QM_TYPE_MISMATCH'
  | 'QM_UNKNOWN_JOB'
  | 'QM_UNKNOWN_METHOD'
  | 'QM_UNKNOWN_TASK'
  | 'QM_UNSERIALIZABLE'
  | 'QM_WORKER_LOST';

/** The root of every error that Quartermaster raises on purpose. `code` never changes between releases; messages may. */
export class QuartermasterError extends Error {
  /** Which error it is; compare this, not the message. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  // On the prototype, as with the built-in errors: an own `name` would travel as data.
  /** The class's name. */
  override get name(): string {
    return this.constructor.name;
  }
}

function errorClass<C extends ErrorCode>(code: C) {
  return class extends QuartermasterError {
    declare readonly code: C;
    constructor(message: string, options?: { cause?: unknown }) {
      super(code, message, options);
    }
  };
}

/** The peer does not hold the manager's auth key, or the manager could not prove that it does. */
export class AuthenticationError extends errorClass('QM_AUTHENTICATION') {}
/** A barrier was reset, aborted, or lost one of its parties. */
export class BrokenBarrierError extends errorClass('QM_BROKEN_BARRIER') {}
/** A pool that cannot run anything: its tasks module or `setup` does not load. */
export class BrokenPoolError extends errorClass('QM_BROKEN_POOL') {}
/** The connection ended while the call was under way; whether it took effect is not known. */
export class ConnectionLostError extends errorClass('QM_CONNECTION_LOST') {}
/** A job graph that waits for itself. `path` names the jobs of the cycle, first and last alike. */
export class CycleError extends errorClass('QM_CYCLE') {
  /** Ids of the jobs of the cycle, first and last alike. */
  readonly path: readonly string[];
  constructor(message: string, path: readonly string[] = [], options?: { cause?: unknown }) {
    super(message, options);
    this.path = path;
  }
}
/** Waiting would never end: it would close a cycle of owners that wait for each other. */
export class DeadlockError extends errorClass('QM_DEADLOCK') {
  /** The owners of the cycle in order, where they are known. */
  readonly cycle: readonly string[];
  constructor(message: string, cycle: readonly string[] = [], options?: { cause?: unknown }) {
    super(message, options);
    this.cycle = cycle;
  }
}
/** The task was skipped because a task it comes after did not succeed; `ancestor` is that task's id, `cause` its error. */
export class DependencyFailedError extends errorClass('QM_DEPENDENCY_FAILED') {
  /** Id of the task that did not succeed. */
  readonly ancestor: string;
  constructor(message: string, ancestor = '', options?: { cause?: unknown }) {
    super(message, options);
    this.ancestor = ancestor;
  }
}
/** Two jobs of one graph have the same id; `ids` lists every such id. */
export class DuplicateJobError extends errorClass('QM_DUPLICATE_JOB') {
  /** Every id that more than one job has. */
  readonly ids: readonly string[];
  constructor(message: string, ids: readonly string[] = [], options?: { cause?: unknown }) {
    super(message, options);
    this.ids = ids;
  }
}
/** A task of that id exists already, with another name or input. */
export class DuplicateTaskError extends errorClass('QM_DUPLICATE_TASK') {
  /** On its way to the caller: the input of the task that is there, as it crossed. */
  readonly existing?: unknown;
  constructor(message: string, existing?: unknown, options?: { cause?: unknown }) {
    super(message, options);
    if (existing !== undefined) this.existing = existing;
  }
}
/** A message over `limits.frameBytes`: refused from its header, before anything is allocated. */
export class FrameTooLargeError extends errorClass('QM_FRAME_TOO_LARGE') {}
/** The lease that this call speaks for has ended: another worker runs the task by now, or will. */
export class LeaseLostError extends errorClass('QM_LEASE_LOST') {}
/** The manager that owned the object has ended, or came back without its state. */
export class ManagerGoneError extends errorClass('QM_MANAGER_GONE') {}
/** The guard does not hold the lock (any more). */
export class NotLockOwnerError extends errorClass('QM_NOT_LOCK_OWNER') {}
/** The pool was terminated while the task was unfinished. */
export class PoolTerminatedError extends errorClass('QM_POOL_TERMINATED') {}
/** The peer sent something the protocol does not allow, or speaks another version of it. */
export class ProtocolError extends errorClass('QM_PROTOCOL') {}
/** The proxy was disposed before this call. */
export class ProxyDisposedError extends errorClass('QM_PROXY_DISPOSED') {}
/** `putNowait()` on a queue that holds `maxSize` items already. */
export class QueueFullError extends errorClass('QM_QUEUE_FULL') {}
/** The queue was shut down. */
export class QueueShutdownError extends errorClass('QM_QUEUE_SHUTDOWN') {}
/** The task was cancelled. */
export class TaskCancelledError extends errorClass('QM_TASK_CANCELLED') {}
/** The task waited in the queue for longer than its `expires`. */
export class TaskExpiredError extends errorClass('QM_TASK_EXPIRED') {}
/** The task's handler threw; `cause` is its error with the remote stack. */
export class TaskFailedError extends errorClass('QM_TASK_FAILED') {}
/** The task ran for longer than its `runTimeout`. */
export class TaskTimeoutError extends errorClass('QM_TASK_TIMEOUT') {}
/** The wait lasted longer than its `timeout`. */
export class TimeoutError extends errorClass('QM_TIMEOUT') {}
/** The manager holds `limits.connections` connections already. */
export class TooManyConnectionsError extends errorClass('QM_TOO_MANY_CONNECTIONS') {}
/** The name belongs to an object of another type, or with other options. */
export class TypeMismatchError extends errorClass('QM_TYPE_MISMATCH') {}
/** An edge of a job graph leads to a job that is not in it; `ids` lists every such id. */
export class UnknownJobError extends errorClass('QM_UNKNOWN_JOB') {
  /** Every id that is not in the graph. */
  readonly ids: readonly string[];
  constructor(message: string, ids: readonly string[] = [], options?: { cause?: unknown }) {
    super(message, options);
    this.ids = ids;
  }
}
/** The object exposes no method of that name, or no type of that id is registered. */
export class UnknownMethodError extends errorClass('QM_UNKNOWN_METHOD') {}
/** No task of that id: it never was, or its record has gone by `keepRecords`. */
export class UnknownTaskError extends errorClass('QM_UNKNOWN_TASK') {}
/** The value cannot cross to another process; `path` says where in it (`input.callback`). */
export class UnserializableError extends errorClass('QM_UNSERIALIZABLE') {
  /** Where in the value: `input.callback`, `args[0].cb`. */
  readonly path: string;
  constructor(message: string, path = '', options?: { cause?: unknown }) {
    super(message, options);
    this.path = path;
  }
}
/** The worker process ended while it ran the task. */
export class WorkerLostError extends errorClass('QM_WORKER_LOST') {
  /** Of the process, as far as it is known. */
  readonly pid: number | undefined;
  /** How it ended; undefined where a signal ended it, or where nobody saw it end. */
  readonly exitCode: number | undefined;
  /** The signal that ended it, such as 'SIGKILL'; undefined where it exited by itself. */
  readonly signal: string | undefined;
  /** Why it ended, where it or its group could say so: an error, memory that ran out, a task that ran for too long. */
  readonly reason: string | undefined;
  constructor(
    message: string,
    how: {
      pid?: number | undefined;
      exitCode?: number | undefined;
      signal?: string | undefined;
      reason?: string | undefined;
    } = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.pid = how.pid;
    this.exitCode = how.exitCode;
    this.signal = how.signal;
    this.reason = how.reason;
  }
}

/** Thrown by a handler: the task fails at once, whatever retries are left. */
export class NonRetryableError extends Error {
  /** The class's name. */
  override get name(): string {
    return 'NonRetryableError';
  }
}

type Fields = Readonly<Record<string, unknown>>;
type Rebuild = (message: string, fields: Fields, options: { cause?: unknown } | undefined) => QuartermasterError;
type Plain = new (message: string, options?: { cause?: unknown }) => QuartermasterError;

const plain =
  (Class: Plain): Rebuild =>
  (message, _fields, options) =>
    new Class(message, options);
const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const numberOr = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
const stringOr = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const rebuild: Readonly<Record<ErrorCode, Rebuild>> = {
  QM_AUTHENTICATION: plain(AuthenticationError),
  QM_BROKEN_BARRIER: plain(BrokenBarrierError),
  QM_BROKEN_POOL: plain(BrokenPoolError),
  QM_CONNECTION_LOST: plain(ConnectionLostError),
  QM_CYCLE: (message, fields, options) => new CycleError(message, strings(fields['path']), options),
  QM_DEADLOCK: (message, fields, options) => new DeadlockError(message, strings(fields['cycle']), options),
  QM_DEPENDENCY_FAILED: (message, fields, options) =>
    new DependencyFailedError(message, stringOr(fields['ancestor']), options),
  QM_DUPLICATE_JOB: (message, fields, options) => new DuplicateJobError(message, strings(fields['ids']), options),
  QM_DUPLICATE_TASK: (message, fields, options) => new DuplicateTaskError(message, fields['existing'], options),
  QM_FRAME_TOO_LARGE: plain(FrameTooLargeError),
  QM_LEASE_LOST: plain(LeaseLostError),
  QM_MANAGER_GONE: plain(ManagerGoneError),
  QM_NOT_LOCK_OWNER: plain(NotLockOwnerError),
  QM_POOL_TERMINATED: plain(PoolTerminatedError),
  QM_PROTOCOL: plain(ProtocolError),
  QM_PROXY_DISPOSED: plain(ProxyDisposedError),
  QM_QUEUE_FULL: plain(QueueFullError),
  QM_QUEUE_SHUTDOWN: plain(QueueShutdownError),
  QM_TASK_CANCELLED: plain(TaskCancelledError),
  QM_TASK_EXPIRED: plain(TaskExpiredError),
  QM_TASK_FAILED: plain(TaskFailedError),
  QM_TASK_TIMEOUT: plain(TaskTimeoutError),
  QM_TIMEOUT: plain(TimeoutError),
  QM_TOO_MANY_CONNECTIONS: plain(TooManyConnectionsError),
  QM_TYPE_MISMATCH: plain(TypeMismatchError),
  QM_UNKNOWN_JOB: (message, fields, options) => new UnknownJobError(message, strings(fields['ids']), options),
  QM_UNKNOWN_METHOD: plain(UnknownMethodError),
  QM_UNKNOWN_TASK: plain(UnknownTaskError),
  QM_UNSERIALIZABLE: (message, fields, options) => new UnserializableError(message, stringOr(fields['path']), options),
  QM_WORKER_LOST: (message, fields, options) =>
    new WorkerLostError(
      message,
      {
        pid: numberOr(fields['pid']),
        exitCode: numberOr(fields['exitCode']),
        signal: stringOr(fields['signal']),
        reason: stringOr(fields['reason']),
      },
      options,
    ),
};

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(rebuild, code);
}

/** The instance that `code`, `message` and the class's own `fields` stood for on the other side. */
export function rebuildError(
  code: ErrorCode,
  message: string,
  fields: Fields = {},
  options?: { cause?: unknown },
): QuartermasterError {
  return rebuild[code](message, fields, options);
}
