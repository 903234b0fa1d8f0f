/**
 * One task of the task dict, as compact as a record that a million of can be pending: flat fields, numbers that stay
 * small integers, nothing allocated that most tasks do not have.
 *
 *                          ┌─────── given back, lost, retried ◀───────┐
 *     put ─▶ blocked ─┬─▶ ready ───────────────────────────▶ leased ──┤
 *               │     │     ▲  │                              │  │    │ backoff
 *               │     └─▶ delayed ◀───────────────────────────┼──┼────┘
 *               ▼              ▼                              ▼  ▼
 *            skipped    expired, cancelled            succeeded  failed, cancelled
 *
 * `retry` brings a finished one back to blocked, delayed or ready.
 */
import type { TaskState } from '../tasks.ts';
import type { Offer } from './demands.ts';
import type { Rules } from './rules.ts';
import type { Job } from './run.ts';

/** Who holds leases: one taker of tasks, in the manager one queue's side of a session. */
export interface Holder {
  readonly leases: Map<number, Task>;
  /** What it offers; never another one while it holds leases. Without one: nothing, under no name. */
  readonly offer?: Offer | undefined;
  /** Of a task that stands for inputs of a `map`: how many of them it takes with one lease. Without it: one. */
  readonly wants?: ((task: Task) => number) | undefined;
  /** Told of the end of each lease, where anything else ends with one. */
  readonly bound?: { ended(lease: number): void } | undefined;
}

/** States as small integers; their names are the API's. */
export const State = {
  blocked: 0,
  delayed: 1,
  ready: 2,
  leased: 3,
  succeeded: 4,
  failed: 5,
  cancelled: 6,
  expired: 7,
  skipped: 8,
} as const;
export type State = (typeof State)[keyof typeof State];

export const stateNames: readonly TaskState[] = [
  'blocked',
  'delayed',
  'ready',
  'leased',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
  'skipped',
];

/** Why a task did not succeed. `cause` is opaque to the queue. */
export interface Failure {
  readonly code:
    | 'QM_TASK_FAILED'
    | 'QM_WORKER_LOST'
    | 'QM_TASK_CANCELLED'
    | 'QM_DEPENDENCY_FAILED'
    | 'QM_TASK_EXPIRED'
    | 'QM_TASK_TIMEOUT';
  readonly message: string;
  /** Fields of the error class: [name, value, …]. */
  readonly fields: readonly (string | number | undefined)[];
  readonly cause: unknown;
  /** How many bytes `cause` has, where that is more than a text of ours. */
  readonly bytes?: number;
  /** Where the error was made, as far as it was told; cut. */
  readonly stack?: string | undefined;
  /** For a skipped task: the failure of the task it came after. */
  readonly ancestor?: Failure;
}

/** A change worth keeping that the record's own times do not tell: retries, losses, hand-backs of started work. */
export interface Change {
  readonly at: number;
  readonly from: State;
  readonly to: State;
  readonly why: string;
  /** What ended the attempt; without its cause, which only the last failure keeps. */
  readonly error?: Omit<Failure, 'cause' | 'ancestor'> | undefined;
}

/** Times are tenths of a millisecond since the queue's clock began; -1 where not yet. */
export const NEVER = -1;

/** What happens to few tasks, and in no more of a million than that takes room. */
class Trouble {
  failures = 0;
  deaths = 0;
  overdue = false;
  changes: Change[] | undefined = undefined;
}

export class Task {
  /** Counts up with the puts: order among equals, and the automatic id. */
  readonly number: number;
  /** The id its user chose, if any; but for a job, whose id is its run's and its own. */
  readonly id: string | undefined;
  readonly name: string;
  priority: number;
  /** Opaque to the queue. */
  input: unknown;
  bytesIn: number;
  state: State = State.blocked;
  /** Executions that started. */
  attempt = 0;
  /** How many handler failures are followed by another attempt. */
  readonly retries: number;
  /** Deaths after which it is failed; 1 for at-most-once. */
  readonly poisonAfter: number;
  /** Sequence of the current lease; 0 without one. */
  lease = 0;
  /** Sequence of the lease under which it ended: a repeated complete gets the same answer. */
  endedBy = 0;
  holder: Holder | undefined = undefined;
  output: unknown = undefined;
  bytesOut = 0;
  failure: Failure | undefined = undefined;
  putAt = 0;
  readyAt = NEVER;
  startedAt = NEVER;
  endedAt = NEVER;
  /** How many tasks it still waits for. */
  waiting = 0;
  /** Tasks it comes after, as given; undefined for none. */
  after: readonly Task[] | undefined = undefined;
  /** Tasks that come after it. */
  dependents: Task[] | undefined = undefined;
  /** Reasons why its record must stay: an outcome not yet delivered, a dependent or run that needs it. */
  pins = 0;
  /** Of the last lease. */
  worker: unknown = undefined;
  /** Where the outcome goes: opaque to the queue. */
  origin: unknown = undefined;
  call = 0;
  /** Its part in a run of a job graph. */
  job: Job | undefined = undefined;
  /** What it asked for beyond this, and what the core keeps of that; only where there is anything. */
  rules: Rules | undefined = undefined;
  /** The lane in which it stands while it is ready: lanes.ts. */
  spot: object | undefined = undefined;
  #trouble: Trouble | undefined = undefined;

  static {
    // V8 takes what has never changed for constant, and throws away what it compiled with that when the first task is
    // given out: by then thousands may have been put. So one has changed before.
    const task = new Task(0, undefined, '', 0, undefined, 0, 0, 0) as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(task)) task[field] = typeof value === 'number' ? value + 1 : {};
  }

  constructor(
    number: number,
    id: string | undefined,
    name: string,
    priority: number,
    input: unknown,
    bytesIn: number,
    retries: number,
    poisonAfter: number,
  ) {
    this.number = number;
    this.id = id;
    this.name = name;
    this.priority = priority;
    this.input = input;
    this.bytesIn = bytesIn;
    this.retries = retries;
    this.poisonAfter = poisonAfter;
  }

  /** Handler failures so far. */
  get failures(): number {
    return this.#trouble?.failures ?? 0;
  }

  set failures(count: number) {
    if (count !== this.failures) (this.#trouble ??= new Trouble()).failures = count;
  }

  /** Workers that ended while they ran it. */
  get deaths(): number {
    return this.#trouble?.deaths ?? 0;
  }

  set deaths(count: number) {
    if (count !== this.deaths) (this.#trouble ??= new Trouble()).deaths = count;
  }

  /** Its time has come by `keepRecords`, but pins keep it. */
  get overdue(): boolean {
    return this.#trouble?.overdue ?? false;
  }

  set overdue(is: boolean) {
    if (is !== this.overdue) (this.#trouble ??= new Trouble()).overdue = is;
  }

  get changes(): Change[] | undefined {
    return this.#trouble?.changes;
  }

  set changes(changes: Change[] | undefined) {
    if (changes !== this.changes) (this.#trouble ??= new Trouble()).changes = changes;
  }

  get finished(): boolean {
    return this.state >= State.succeeded;
  }

  /** Once it has ended: bytes of input, output and error that its record holds. */
  get payloadBytes(): number {
    const input = this.input === undefined ? 0 : this.bytesIn;
    return input + this.bytesOut + (this.failure?.bytes ?? 0);
  }

  /** Whoever comes after it may go on: it has succeeded, or its failure is ignored. */
  get fulfilled(): boolean {
    if (this.state === State.succeeded) return true;
    return this.job?.onFailure === 'ignore' && (this.state === State.failed || this.state === State.expired);
  }

  /** The id by which the API knows it, where that is not an automatic one. */
  get chosenId(): string | undefined {
    const { id, job } = this;
    return id === undefined && job?.id !== undefined ? `${job.run.id}/${job.id}` : id;
  }

  /** The id by which the API knows it. */
  get key(): string {
    return this.chosenId ?? automaticId(this.number);
  }
}

/** Ids that the manager gives: 't' and the task's number. */
export function automaticId(number: number): string {
  return `t${number}`;
}

const T = 't'.charCodeAt(0);

/** The number in an automatic id; undefined for an id of the user's choice. */
export function automaticNumber(id: string): number | undefined {
  // Most ids of a user's choice are told by their first character.
  return id.charCodeAt(0) === T && /^t[1-9]\d{0,14}$/.test(id) ? Number(id.slice(1)) : undefined;
}

/** Ids of children: what their parent's automatic id would be, and their place among what it puts, from 1. */
export function childId(parent: number, place: number): string {
  return `${automaticId(parent)}.${place}`;
}

/** Of a form that is the manager's own to give. */
export function isOwnId(id: string): boolean {
  return /^t[1-9]\d*(\.[1-9]\d*)?$/.test(id);
}
