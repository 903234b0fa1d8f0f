/** What a task queue is made with. */
import type { QueueLimits } from '../../queue/queue.ts';
import type { QueueRules } from '../../queue/rules.ts';
import { TypeMismatchError, UnknownTaskError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { taskQueueItems } from '../../proxy/task-queue-options.ts';
import type { Backoff, Policy, PolicyName, RateLimit } from '../../scheduling.ts';
import type { TaskQueueOptions } from '../../tasks.ts';
import { checkOptions, numberOf } from '../arguments.ts';
import { amountsOf, backoffOf, durationOf, limitOf, rateLimitOf } from './rules.ts';

/** Every option, as it holds. Times in ms. */
export interface TaskDefaults {
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly retries: number;
  readonly poisonAfter: number;
  readonly leaseTimeout: number;
  readonly keepCount: number;
  readonly keepAge: number;
  readonly keepBytes: number;
  /** Of dead letters; undefined: as of the others. */
  readonly keepDeadCount: number | undefined;
  readonly keepDeadAge: number | undefined;
  readonly keepDeadBytes: number | undefined;
  readonly policy: PolicyName | Policy;
  readonly ageing: number | undefined;
  readonly weights: Readonly<Record<string, number>> | undefined;
  readonly concurrency: number;
  readonly keyConcurrency: number;
  readonly rateLimit: RateLimit | undefined;
  readonly backoff: Backoff | undefined;
  readonly runTimeout: number;
  readonly cancelGrace: number;
}

/** How each is read, where it crosses. */
const readers: { readonly [K in keyof TaskDefaults]: (item: Item) => TaskDefaults[K] } = {
  maxSize: (item) => limitOf(item, 'maxSize', 1),
  maxBytes: (item) => limitOf(item, 'maxBytes', 1),
  retries: (item) => limitOf(item, 'retries', 0),
  poisonAfter: (item) => limitOf(item, 'poisonAfter', 1),
  leaseTimeout: (item) => durationOf(item, 'leaseTimeout'),
  keepCount: (item) => limitOf(item, 'keepCount', 0),
  keepAge: (item) => durationOf(item, 'keepAge'),
  keepBytes: (item) => limitOf(item, 'keepBytes', 0),
  keepDeadCount: (item) => limitOf(item, 'keepDeadCount', 0),
  keepDeadAge: (item) => durationOf(item, 'keepDeadAge'),
  keepDeadBytes: (item) => limitOf(item, 'keepDeadBytes', 0),
  policy(item) {
    if (item === 'fifo' || item === 'lifo' || item === 'fair' || item === 'critical-path') return item;
    throw new TypeError('there is no such policy');
  },
  ageing: (item) => durationOf(item, 'ageing'),
  weights: (item) => amountsOf(item, 'weights'),
  concurrency: (item) => limitOf(item, 'concurrency', 1),
  keyConcurrency: (item) => limitOf(item, 'keyConcurrency', 1),
  rateLimit: rateLimitOf,
  backoff: backoffOf,
  runTimeout: (item) => durationOf(item, 'runTimeout'),
  cancelGrace(item) {
    const value = numberOf(item, 'cancelGrace');
    if (value >= 0) return value;
    throw new RangeError('cancelGrace must be 0 ms or more');
  },
};

const names = Object.keys(readers) as (keyof TaskDefaults)[];

const builtIn: TaskDefaults = {
  maxSize: Infinity,
  maxBytes: Infinity,
  retries: 0,
  poisonAfter: 3,
  leaseTimeout: 15_000,
  keepCount: 200_000,
  keepAge: 3_600_000,
  keepBytes: 64 << 20,
  keepDeadCount: undefined,
  keepDeadAge: undefined,
  keepDeadBytes: undefined,
  policy: 'fifo',
  ageing: undefined,
  weights: undefined,
  concurrency: Infinity,
  keyConcurrency: Infinity,
  rateLimit: undefined,
  backoff: undefined,
  runTimeout: Infinity,
  cancelGrace: 5_000,
};

/** What holds for every queue of a manager that says nothing else. */
export function taskDefaults(options: TaskQueueOptions): TaskDefaults {
  const defaults = queueOptions(builtIn, new Map(taskQueueItems(options)));
  return typeof options.policy === 'object' ? { ...defaults, policy: options.policy } : defaults;
}

/** `options` where they say something, `defaults` where they do not. */
export function queueOptions(defaults: TaskDefaults, options: ReadonlyMap<string, Item>): TaskDefaults {
  checkOptions('a task queue', options, names);
  const given = [...options].map(([name, item]) => [name, readers[name as keyof TaskDefaults](item)]);
  return { ...defaults, ...(Object.fromEntries(given) as Partial<TaskDefaults>) };
}

/** A later ask with options must be for the same ones. */
export function checkSameOptions(title: string, are: TaskDefaults, asked: TaskDefaults): void {
  for (const name of names) {
    if (asked[name] === are[name] || text(asked[name]) === text(are[name])) continue;
    throw new TypeMismatchError(
      `${title} exists with ${name} ${text(are[name])}, not ${text(asked[name])}; ask for it with the same options, or with none`,
    );
  }
}

/** No task of that id is there (any more): says for how long the queue `title` remembers one. */
export function unknownTask(title: string, id: string, options: TaskDefaults): UnknownTaskError {
  const { count, age, bytes, dead } = keptBy(options);
  const ofDead = `of those that failed: ${dead.count}, ${dead.age} ms, ${dead.bytes} bytes`;
  const kept = `keepRecords: ${count} records, ${age} ms, ${bytes} bytes of inputs and outputs; ${ofDead}`;
  return new UnknownTaskError(`${title} has no task '${id}': it was never put, or its record has gone (${kept})`);
}

function text(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string' ? String(value) : (JSON.stringify(value) ?? 'none');
}

/** What of the options the queue's core keeps to. */
export function limitsOf(options: TaskDefaults): QueueLimits {
  const { maxSize, maxBytes } = options;
  return { maxSize, maxBytes, keepRecords: keptBy(options), rules: rulesOf(options) };
}

function keptBy(options: TaskDefaults) {
  const { keepCount: count, keepAge: age, keepBytes: bytes } = options;
  const { keepDeadCount = count, keepDeadAge = age, keepDeadBytes = bytes } = options;
  return { count, age, bytes, dead: { count: keepDeadCount, age: keepDeadAge, bytes: keepDeadBytes } };
}

function rulesOf({
  policy,
  ageing,
  weights,
  concurrency,
  keyConcurrency,
  rateLimit,
  backoff,
}: TaskDefaults): QueueRules {
  return {
    policy,
    ageing,
    weights,
    rateLimit,
    backoff,
    concurrency: finite(concurrency),
    keyConcurrency: finite(keyConcurrency),
  };
}

function finite(limit: number): number | undefined {
  return limit === Infinity ? undefined : limit;
}
