/** The options of a put, checked at the caller: what is wrong is named before anything is sent. */
import { isJobRef, jobRef } from '../job-ref.ts';
import type { PutOptions } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';

/** Options of every task that is put, and how far ahead to read. */
export interface PutManyOptions extends Omit<PutOptions, 'id'>, WaitOptions {
  /** How many puts may be on their way at once. Default 1,000. */
  inFlight?: number | undefined;
}

const known = ['id', 'priority', 'after', 'retries', 'atMostOnce', 'signal', 'timeout'];

export interface CheckedPut {
  readonly id: string | undefined;
  readonly priority: number | undefined;
  readonly after: readonly string[] | undefined;
  readonly retries: number | undefined;
  readonly atMostOnce: boolean | undefined;
}

export function checkPutOptions(options: PutOptions & WaitOptions, queue: string): CheckedPut {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`put() has no option '${name}'; it takes ${known.join(', ')}`);
  }
  const { id, priority, after, retries, atMostOnce } = options;
  if (id !== undefined && (typeof id !== 'string' || id === '')) {
    throw new TypeError('id must be a string that is not empty');
  }
  if (id !== undefined && /^t[1-9]\d*$/.test(id)) {
    throw new RangeError(`ids like '${id}' are the manager's own; choose one of another form`);
  }
  if (priority !== undefined && (typeof priority !== 'number' || Number.isNaN(priority))) {
    throw new TypeError('priority must be a number; higher runs sooner');
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0)) {
    throw new RangeError(`retries must be a whole number of 0 or more, not ${String(retries)}`);
  }
  if (atMostOnce !== undefined && typeof atMostOnce !== 'boolean') throw new TypeError('atMostOnce must be a boolean');
  return { id, priority, retries, atMostOnce, after: after === undefined ? undefined : idsOf(after, queue) };
}

function idsOf(after: NonNullable<PutOptions['after']>, queue: string): string[] {
  if (!Array.isArray(after)) throw new TypeError('after must be a list of task ids, handles or job references');
  return after.map((before: unknown) => {
    if (typeof before === 'string') return before;
    if (!isJobRef(before)) throw new TypeError('after must hold task ids, handles or job references only');
    const target = before[jobRef];
    if (target.queue === undefined) {
      throw new TypeError(`job '${target.id}' is part of a graph that is not running: only its own jobs come after it`);
    }
    if (target.queue !== queue) {
      throw new TypeError(`task '${target.id}' is in queue '${target.queue}', and this is queue '${queue}'`);
    }
    return target.id;
  });
}
