/**
 * The whole protocol on one page: every kind of frame and what its body holds, in the order in which it is written.
 *
 *     frame = u32 length of the rest | u8 kind | body            all integers little-endian
 *
 * `item` is a value in plain form (wire.ts), `rest` an item that ends with the frame and that the manager keeps as it
 * is. Call ids are the client's, count up, and are unique among the calls under way. Handles are the client's names for
 * shared objects; 0 is the manager itself. Leases are named by their sequence: with the manager's epoch it is the token.
 * docs/protocol.md tells the story that these frames make.
 */

/** Both sides name it in the first frame; a manager speaks exactly one. */
export const PROTOCOL_VERSION = 1;

/** Before the handshake is done, no frame may be longer than this (bytes). */
export const HANDSHAKE_FRAME_LIMIT = 1024;
/** Before the handshake is done, a connection may send no more than this (bytes). */
export const HANDSHAKE_BUDGET = 4096;
/** The handshake must be done within this time (ms). */
export const HANDSHAKE_DEADLINE = 5_000;
/** A worker and its helper, who know that there is a manager, wait for so long (ms): it may be busy. */
export const WORKER_HANDSHAKE_DEADLINE = 60_000;
/** A frame that has begun must have arrived within this time of silence (ms). */
export const PARTIAL_FRAME_DEADLINE = 30_000;
/** Default of `limits.frameBytes`. */
export const DEFAULT_FRAME_LIMIT = 64 * 1024 * 1024;
/** Default of `limits.pendingBytes`. */
export const DEFAULT_PENDING_LIMIT = 8 * 1024 * 1024;
/** Values of a feed that may be on their way to its reader, or wait there to be read. */
export const FEED_WINDOW = 64;
/** Bytes of theirs from which on no more is sent. */
export const FEED_BYTES = 1024 * 1024;

/**
 * Frames that hold several entries begin with a handle; each entry begins with its size (u32, without itself). What is
 * called the rest below ends with its entry.
 */

/** Client to manager. */
export const ToManager = {
  /** magic 'QM', u16 version, u8 role, 32 bytes nonce: fixed size, the only frame parsed before authentication but PROOF */
  HELLO: 1,
  /** 32 bytes MAC of the client */
  PROOF: 2,
  /** item pid, item host, item name, item ticket (of an owned worker) or session and secret (of a helper) */
  IDENTIFY: 3,
  /** nothing: "I am alive" */
  BEAT: 4,

  /** u32 handle, text type id, item name, item options: [key, value, …] */
  OPEN: 10,
  /** u32 handle: gives up the reference; of a hold's handle: ends the hold */
  DROP: 11,
  /**
   * u32 call, u32 handle, u8 method (plus GUARDED: u32 handle of the lock, u48 grant; plus HOLDING: held, see there),
   * items
   */
  CALL: 12,
  /** u32 call: its caller no longer waits. Answered by CANCELLED where it came in time; otherwise the answer is on its way. */
  CANCEL: 13,
  /** u32 call, u32 handle, u32 new handle for the held object, f64 hold timeout in ms (0: none), held (see HOLDING) */
  HOLD: 14,
  /** nothing: all that came before LENT has been read, and a handle opened for each proxy in it that is wanted */
  RETURNED: 15,
  /** u32 handle: like DROP, of a handle that nobody has any more; ignored while a call on its object is parked */
  ABANDON: 16,

  /** u16 index, text: the name of a task, once per session */
  NAME: 20,
  /**
   * u32 handle, entries: u32 call, u8 PutFlags, u16 name, [item options: [key, value, …]], rest: input. With
   * PutFlags.items, of a `map`: u32 count, u32 how many with one lease (0: as many as is best), rest: so many inputs,
   * which name no objects or jobs. The call is answered by ITEMS until each has its outcome.
   */
  PUT: 21,
  /** u32 call, u32 handle, u8 1 = do not wait, 2 = no range, u16 window */
  TAKE: 22,
  /** u32 handle, u16 window: how many leased tasks this taker wants to hold */
  WINDOW: 23,
  /**
   * u32 handle, entries: u32 call (0: no answer is wanted, and no objects or jobs are named), u48 lease, u48 number, u32
   * how long it ran in tenths of a ms, u8 PayloadFlags, rest: output
   */
  COMPLETE: 24,
  /** u32 call, u32 handle, u48 lease, u48 number, u32 how long it ran, u8 FailFlags, item summary, item error, item the beginning of its stack (or nothing), for the record */
  FAIL: 25,
  /** u32 call, u32 handle, u48 lease: un-started */
  RELEASE: 26,
  /** u32 call, u32 handle, u48 lease, f64 ms */
  EXTEND: 27,
  /** u32 handle, u48 lease, rest: value */
  PROGRESS: 28,
  /** u32 handle, u48 lease: this one and every earlier one of this taker have started */
  STARTED: 29,
  /** of a helper: u32 handle of its session, u32 count, u48 leases: un-started tasks, given back in their order */
  GIVE_BACK: 30,
  /**
   * u32 call, u32 handle, item id of the run, item [onFailure, concurrency, estimates of durations in ms], item names of
   * tasks: [name, …], u32 count of jobs, u32 count of edges, entries: item id, u32 place of its name, u8 JobFlags, u32
   * count, u32 places of the jobs that it comes after, [item options: [key, value, …]], [item ids of tasks outside of the
   * graph that it comes after], rest: input. A job comes after jobs that stand before it, and no others.
   */
  GRAPH: 31,
  /** u32 handle, u48 lease: its handler waits for other tasks; others may have its slot and amounts meanwhile */
  LEND: 32,
  /** u32 handle, u48 lease: it goes on, with slot and amounts */
  RECLAIM: 33,
  /** u32 handle, u8 1 = a worker loop takes through this handle from here on, 3 = and takes ranges, 0 = no more */
  LOOP: 34,
  /** u32 handle, u48 lease: whoever had the lease that was LOST has ended what he did with it, or never began */
  ENDED: 36,
  /**
   * u32 handle, u48 lease, u32 count, u32 how long they ran in tenths of a ms, u32 how long one of them mostly takes in
   * ns, rest: outputs of so many inputs of a `map`, from that lease on, which name no objects or jobs
   */
  ITEMS: 37,
  /** u32 handle, u48 lease: the next input of a range is a task like any other from here on, under that lease */
  APART: 38,

  /** u32 length: a long frame of so many bytes, kind and body, follows in parts */
  LONG: 50,
  /** bytes: the next of the long frame that is under way */
  PART: 51,
  /** u32 call, u32 count: so many more values of the feed that answers the call have been read */
  READ: 40,

  /**
   * u8 1 = nothing large is there yet: an arena is wanted for large values that may come, while few have one. Answered by
   * ARENA where there is one to give.
   */
  WANT_ARENA: 54,
  /** u32 arena, u8 1 = its file is open here: regions of it may be named to this client */
  OPENED: 55,
  /** u32 arena, u48 offset: the bytes of that region, which was named to this client, have been copied */
  COPIED: 56,
} as const;

/** Manager to client. */
export const ToClient = {
  /** u16 version, 32 bytes nonce */
  CHALLENGE: 128,
  /** 32 bytes MAC of the manager */
  PROOF: 129,
  /** u8 Refusal, u16 version of the manager, text why: the connection ends after it */
  REFUSED: 130,
  /** u48 session, f64 epoch, u32 pid, f64 lease timeout in ms, u32 frame limit, 16 bytes secret for the session's helper */
  WELCOME: 131,

  /** u32 call, rest: item */
  RESULT: 140,
  /** u32 first call, u32 count: calls that succeeded with nothing to say */
  DONE: 141,
  /** u32 call, item error (see WireError) */
  FAILED: 142,
  /** u32 handle, text event, item: something happened to an object that this session holds; of handle 0, to the manager */
  EVENT: 143,
  /** u32 call: it was cancelled while it waited, and has changed nothing */
  CANCELLED: 144,
  /** nothing: values before it named unnamed objects, which live until RETURNED even if nothing else keeps them */
  LENT: 145,

  /** u16 index, text: the name of a task, once per session */
  NAME: 150,
  /** u32 first call, u32 count, u48 first number: puts that were accepted, numbers counting up with the calls */
  ACCEPTED: 151,
  /** u32 0, entries: u32 call of the put, u8 Outcome, rest: output | error */
  OUTCOME: 152,
  /**
   * u32 handle, entries: u48 lease, u48 number, u8 TaskFlags, u16 name, u16 attempt, [item id], [item outputs: [id,
   * output, …]], rest: input. With TaskFlags.items: u32 count, rest: so many inputs; leases and numbers count up.
   */
  TASK: 153,
  /** u32 call, u16 how many tasks were sent for it */
  TAKEN: 154,
  /** u32 handle, u48 lease, item error: the lease has ended */
  LOST: 155,
  /** to a helper: u32 handle, u32 count, u48 leases: those of them that have not been started are wanted elsewhere */
  RECALL: 156,
  /** u32 call, rest: something on the way to its answer: progress of a task, a job of a run that moved */
  PROGRESS: 157,
  /** u32 handle, u48 lease, item error: its signal aborts, because it has run for too long; the lease is still there */
  STOP: 159,
  /**
   * u32 call of the put, u32 place of the first, u32 count, u8 Outcome, rest: the outputs of so many inputs | one error
   * for all of them
   */
  ITEMS: 158,

  /** u32 length: a long frame of so many bytes, kind and body, follows in parts */
  LONG: 170,
  /** bytes: the next of the long frame that is under way */
  PART: 171,
  /**
   * u32 arena, u32 descriptor of its file in the manager's process, u48 bytes that this client may write there (0: it may
   * read), 16 bytes that its file begins with
   */
  ARENA: 174,
  /** u48 offset: nobody needs that region of this client's arena any more */
  FREED: 175,
  /** u32 arena: no region of it will be named any more */
  ARENA_GONE: 176,
  /** u32 call: what it answers with is a feed. Only for calls that may answer otherwise as well. */
  FEED: 160,
  /** u32 call, u32 how many values before it were dropped, rest: the next value of the feed, which ends with DONE or FAILED */
  ITEM: 161,
} as const;

/** What a connection is for. */
export const Role = { client: 1, helper: 2 } as const;

/** Bit of a CALL's method: the call counts only while that very grant of that lock is held. */
export const GUARDED = 0x80;

/**
 * Bit of a CALL's method: what the flow that calls holds follows, so that a wait that would never end can be told. u8
 * count, then for each u32 handle, u48 grant (0: the handle is that of a hold).
 */
export const HOLDING = 0x40;

export const PutFlags = {
  /** Only the outcome is wanted: no ACCEPTED is sent. */
  run: 1,
  /** Refuse with QueueFullError instead of waiting. */
  nowait: 2,
  /** An options item follows the name. */
  options: 4,
  /** The input names proxies or jobs. */
  refs: 8,
  /** Several inputs, of a `map`. */
  items: 16,
} as const;

export const JobFlags = {
  /** An options item follows the places. */
  options: 1,
  /** Ids of tasks that were put already follow. */
  outside: 2,
  /** The input names proxies or jobs. */
  refs: 4,
} as const;

export const PayloadFlags = { refs: 1 } as const;

export const FailFlags = {
  /** The error names proxies. */
  refs: 1,
  /** No retry, whatever is left. */
  final: 2,
} as const;

export const TaskFlags = {
  /** The task has an id of its user's choice, which follows. */
  id: 1,
  /** The input names jobs: their outputs follow. */
  outputs: 2,
  /** At most once: the manager must have heard of its start before it starts. */
  once: 4,
  /** It has a run timeout, which begins when the manager hears of its start: reported always, and before it starts. */
  timed: 8,
  /** A range: inputs of a `map`, to be run one after the other. */
  items: 16,
  /** It may have ended a worker: the manager must have heard of its start before it starts. */
  careful: 32,
} as const;

export const Outcome = { succeeded: 0, failed: 1 } as const;

export const Refusal = { version: 1, authentication: 2, connections: 3, protocol: 4 } as const;

/** The EVENT of handle 0 with which a manager that is closed takes leave. */
export const GONE = 'gone';

/** Keys of a put's options as they cross. */
export const PutKey = {
  id: 1,
  priority: 2,
  after: 3,
  retries: 4,
  atMostOnce: 5,
  poisonAfter: 6,
  /** list of strings */
  tags: 7,
  /** [name, amount, …] */
  resources: 8,
  key: 9,
  group: 10,
  worker: 11,
  /** Times in ms. */
  delay: 12,
  /** ms since 1970 */
  runAt: 13,
  expires: 14,
  /** [base, factor, max, jitter]: see Backoff */
  backoff: 15,
  /**
   * [lease, place]: the attempt that puts it, of the same session. With a place, counted from 1 over the puts of an
   * attempt, the id follows from that (childId), and another attempt that puts its like gets this task.
   */
  parent: 40,
  /** Of a job: 'skip', 'fail' or 'ignore'. */
  onFailure: 41,
  runTimeout: 20,
} as const;

/** A failure of the manager in plain form: [code, message, [field, value, …], cause as packed bytes]. */
export type WireErrorParts = readonly [code: string, message: string, fields: readonly unknown[], cause: unknown];

/** Method numbers are places in these lists: add at the end only. */
export const methods = {
  manager: ['inspectTasks', 'inspectWorkers', 'vouch', 'workerGone', 'open', 'ping', 'inspectLocks', 'inspectObjects'],
  dict: [
    'get',
    'set',
    'has',
    'delete',
    'clear',
    'size',
    'keys',
    'values',
    'entries',
    'getMany',
    'setMany',
    'getOrInsert',
    'increment',
    'compareAndSet',
    'pop',
    'snapshot',
    'watch',
  ],
  queue: [
    'put',
    'putNowait',
    'get',
    'getNowait',
    'putMany',
    'getMany',
    'size',
    'empty',
    'full',
    'taskDone',
    'join',
    'shutdown',
    'snapshot',
    'giveBack',
  ],
  lock: ['acquire', 'tryAcquire', 'release', 'locked', 'owner', 'snapshot'],
  rlock: ['acquire', 'tryAcquire', 'release', 'locked', 'owner', 'snapshot'],
  counter: ['get', 'add', 'set', 'snapshot'],
  value: ['get', 'set', 'compareAndSet', 'snapshot', 'watch'],
  list: ['at', 'push', 'pop', 'shift', 'unshift', 'slice', 'splice', 'length', 'clear', 'indexOf', 'snapshot'],
  set: ['add', 'has', 'delete', 'size', 'clear', 'values', 'snapshot'],
  namespace: ['get', 'set', 'delete', 'all', 'snapshot'],
  barrier: ['wait', 'reset', 'abort', 'parties', 'waiting', 'broken', 'snapshot'],
  event: ['set', 'clear', 'isSet', 'wait', 'snapshot'],
  tasks: [
    'record',
    'has',
    'size',
    'entries',
    'counts',
    'outcome',
    'cancel',
    'watchRun',
    'cancelRun',
    'snapshot',
    'progress',
    'closeRun',
    'retry',
    'setPriority',
    'pause',
    'resume',
    'join',
    'shutdown',
    'broadcast',
    'retryRun',
  ],
  rwlock: ['read', 'write', 'release', 'snapshot'],
  semaphore: ['acquire', 'tryAcquire', 'release', 'available', 'give', 'snapshot'],
  condition: ['acquire', 'tryAcquire', 'release', 'locked', 'owner', 'wait', 'giveUp', 'notify', 'snapshot'],
  custom: ['invoke', 'snapshot'],
  topic: ['publish', 'subscribe', 'snapshot'],
} as const satisfies Record<string, readonly string[]>;

export type BuiltInType = Exclude<keyof typeof methods, 'manager' | 'custom'>;
