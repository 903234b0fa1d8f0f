/** A task queue with a clock of its own and a diary of what it decided: what the tests of `src/queue` share. */
import { type Decisions, type Means, TaskQueue } from '#qm/queue/queue.js';
import type { QueueRules, TaskRules } from '#qm/queue/rules.js';
import { type Job, TaskRun } from '#qm/queue/run.js';
import { type Failure, type Holder, NEVER, type Task } from '#qm/queue/task.js';

export interface Spec {
  readonly id?: string;
  readonly name?: string;
  readonly priority?: number;
  readonly bytes?: number;
  readonly retries?: number;
  readonly poisonAfter?: number;
  readonly after?: readonly Task[];
  readonly job?: Job | undefined;
  readonly rules?: TaskRules;
}

export interface Limits {
  readonly maxSize?: number;
  readonly maxBytes?: number;
  readonly count?: number;
  readonly age?: number;
  readonly bytes?: number;
  readonly rules?: QueueRules;
}

export class QueueRig {
  readonly queue: TaskQueue;
  /** Tenths of a millisecond, as the queue takes it. */
  now = 0;
  readonly settled: Task[] = [];
  readonly moved: string[] = [];
  readonly revoked: { key: string; lease: number; holder: Holder; failure: Failure }[] = [];
  /** When the queue wanted to be told the time. */
  readonly wanted: number[] = [];
  /** Classes that nobody can run, as it said. */
  readonly unrunnable: string[] = [];
  /** How often the queue said that something is ready. */
  wakes = 0;

  constructor(limits: Limits = {}, nextLease = counter(), means: Means = { random: () => 0.5 }) {
    const { maxSize = Infinity, maxBytes = Infinity, rules } = limits;
    const { count = Infinity, age = Infinity, bytes = Infinity } = limits;
    const decisions: Decisions = {
      settled: (task) => void this.settled.push(task),
      moved: (task) => void this.moved.push(`${task.key} ${task.state}`),
      ready: () => void this.wakes++,
      discarded: () => {},
      forgotten: () => {},
      revived: () => {},
      wake: (at) => void this.wanted.push(at),
      unrunnable: ({ signature }) => void this.unrunnable.push(signature),
      revoked: (task, lease, holder, failure) => void this.revoked.push({ key: task.key, lease, holder, failure }),
    };
    const keepRecords = { count, age, bytes };
    this.queue = new TaskQueue({ maxSize, maxBytes, keepRecords, rules }, nextLease, decisions, means);
  }

  put(spec: Spec = {}): Task {
    const { id, name = 'work', priority = 0, bytes = 1, retries = 0, poisonAfter = 3, after, job, rules } = spec;
    const whole = { id, name, priority, input: 'input', bytesIn: bytes, retries, poisonAfter, after, job, rules };
    return this.queue.put(whole, this.now);
  }

  /** Takes a task that must be there. */
  take(holder: Holder = aHolder()): Task & { holder: Holder } {
    const task = this.queue.take(holder, undefined, this.now);
    if (task?.holder === undefined) throw new Error('nothing is ready');
    return task as Task & { holder: Holder };
  }

  /** The keys of all that is ready, in the order in which it is taken; takes it. */
  drain(): string[] {
    const keys: string[] = [];
    const holder = aHolder();
    for (let task = this.queue.take(holder, undefined, this.now); task;) {
      keys.push(task.key);
      task = this.queue.take(holder, undefined, this.now);
    }
    return keys;
  }

  complete(task: Task, output: unknown = 'output', bytes = 1) {
    return this.queue.complete(endOf(task), output, bytes, this.now);
  }

  fail(task: Task, final = false, failure = failed()) {
    return this.queue.fail(endOf(task), failure, final, this.now);
  }

  giveBack(task: Task) {
    return this.queue.giveBack(task.holder as Holder, task.lease, this.now);
  }

  lose(task: Task, started = true, alone = true): void {
    this.queue.lose(task.holder as Holder, task.lease, started, lost, this.now, alone);
  }

  expire(task: Task, alone = true): void {
    this.queue.expire(task.holder as Holder, task.lease, lost, this.now, alone);
  }

  cancel(task: Task): boolean {
    return this.queue.cancel(task, cancelled, this.now);
  }
}

/** A part in a run: in one of its own, where none is given. */
export function aJob(job: Partial<Job> = {}): Job {
  return { run: new TaskRun(), weight: 1, onFailure: 'skip', ...job };
}

export function counter(): (count?: number) => number {
  let last = 0;
  return (count = 1) => (last += count) - count + 1;
}

export function aHolder(): Holder {
  return { leases: new Map() };
}

export function endOf(task: Task) {
  return { holder: task.holder ?? aHolder(), lease: task.lease, number: task.number, ranFor: NEVER };
}

export function failed(message = 'boom', bytes = 0): Failure {
  return { code: 'QM_TASK_FAILED', message, fields: [], cause: undefined, bytes };
}

export const lost: Failure = { code: 'QM_WORKER_LOST', message: 'the worker is lost', fields: [], cause: undefined };
export const cancelled: Failure = { code: 'QM_TASK_CANCELLED', message: 'cancelled', fields: [], cause: undefined };
