/**
 * Job graphs as JSON, of a form that can be written by hand:
 *
 *     { "version": 1, "jobs": [
 *       { "id": "page", "name": "fetch", "input": "index.html" },
 *       { "id": "words", "name": "count", "input": { "page": { "$job": "page" } }, "after": ["page"], "retries": 2 } ] }
 *
 * A key of an input that is itself '$job' (or '$$job', …) is written with one more '$'.
 */
import { UnserializableError } from '../errors.ts';
import { isJobRef, jobRef } from '../job-ref.ts';
import { describe, pathText, type Step } from '../protocol/codec/path.ts';
import type { OnFailure } from '../tasks.ts';
import { type Job, JobById, type JobOptions, kindOf } from './job.ts';
import { settingNames, type TaskSettings } from './put-options.ts';

/** A job graph as data that JSON carries. */
export interface JobGraphJSON {
  readonly version: 1;
  readonly jobs: readonly JobJSON[];
}

/** One job of it, with the options of a put. A reference to another job stands in `input` as `{ "$job": id }`. */
export interface JobJSON extends Readonly<Omit<TaskSettings, 'runAt'>> {
  readonly id: string;
  readonly name: string;
  /** Left out where the job has no input. */
  readonly input?: unknown;
  /** Ids of jobs of this graph. */
  readonly after?: readonly string[];
  /** The time as ISO 8601 has it, such as `new Date().toISOString()` gives. */
  readonly runAt?: string;
  readonly keep?: boolean;
  readonly onFailure?: OnFailure;
}

/** How many objects may stand inside each other: what a task's input may have too. */
const MAX_DEPTH = 1_000;

/** `jobs` are checked: every reference in them is to one of them, or a task's handle. */
export function toJSON(jobs: readonly Job[]): JobGraphJSON {
  return { version: 1, jobs: jobs.map(jobToJSON) };
}

function jobToJSON({ index, id, name, input, after, settings, keep, onFailure }: Job): JobJSON {
  const place = ['jobs', index];
  return {
    id,
    name,
    ...(input === undefined ? {} : { input: new Plain([...place, 'input']).from(input) }),
    ...(after.length === 0 ? {} : { after: after.map((before, i) => idIn(before, [...place, 'after', i])) }),
    ...settingsToJSON(settings, place),
    ...(keep ? { keep } : {}),
    ...(onFailure === undefined ? {} : { onFailure }),
  };
}

function settingsToJSON({ runAt, ...settings }: TaskSettings, place: readonly Step[]): object {
  const entries = Object.entries(settings).map(([name, value]) => [name, new Plain([...place, name]).from(value)]);
  return { ...Object.fromEntries(entries), ...(runAt === undefined ? {} : { runAt: runAt.toISOString() }) };
}

function idIn(before: Job['after'][number], steps: readonly Step[]): string {
  if (typeof before === 'string') return before;
  const { queue, id } = before[jobRef];
  if (queue !== undefined) throw refusal(steps, 'the handle of a task that only its manager knows');
  return id;
}

function finite(value: number, steps: readonly Step[]): number {
  if (Number.isFinite(value)) return value;
  throw refusal(steps, String(value));
}

function refusal(steps: readonly Step[], what: string): UnserializableError {
  const path = pathText('graph', steps);
  return new UnserializableError(`${path} is ${what}: JSON cannot carry it`, path);
}

/** Copies one input to what JSON gives back unchanged. */
class Plain {
  readonly #steps: Step[];
  readonly #around = new Set<object>();

  constructor(steps: Step[]) {
    this.#steps = steps;
  }

  from(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
      case 'boolean':
        return value;
      case 'number':
        if (Object.is(value, -0)) throw refusal(this.#steps, '-0');
        return finite(value, this.#steps);
      case 'object':
        return value === null ? null : this.#object(value);
      case 'undefined':
        throw refusal(this.#steps, 'undefined');
      case 'bigint':
        throw refusal(this.#steps, 'a bigint');
      default:
        throw refusal(this.#steps, describe(value));
    }
  }

  #object(value: object): unknown {
    if (isJobRef(value)) return { $job: idIn(value, this.#steps) };
    if (this.#around.has(value)) throw refusal(this.#steps, 'a part of itself');
    if (this.#around.size >= MAX_DEPTH) {
      throw refusal(this.#steps.slice(0, 8), `more than ${MAX_DEPTH.toLocaleString('en-US')} levels deep`);
    }
    this.#around.add(value);
    const copy = Array.isArray(value) ? this.#array(value) : this.#plain(value);
    this.#around.delete(value);
    return copy;
  }

  #array(value: readonly unknown[]): unknown[] {
    const copy: unknown[] = [];
    // By index, so that a hole is met, and refused, at once.
    for (let i = 0; i < value.length; i++) copy.push(this.#part(i, value[i]));
    return copy;
  }

  #plain(value: object): object {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) throw refusal(this.#steps, describe(value));
    const copy: Record<string, unknown> = {};
    for (const [key, part] of Object.entries(value)) {
      if (part !== undefined) define(copy, /^\$+job$/.test(key) ? `$${key}` : key, this.#part(key, part));
    }
    return copy;
  }

  #part(step: string | number, value: unknown): unknown {
    this.#steps.push(step);
    const copy = this.from(value);
    this.#steps.pop();
    return copy;
  }
}

const jobKeys: readonly string[] = ['after', 'id', 'input', 'keep', 'name', 'onFailure', ...settingNames].sort();

/** Reads a graph; `add` is called for each of its jobs and checks their names and options. */
export function fromJSON(json: unknown, add: (name: unknown, input: unknown, options: JobOptions) => unknown): void {
  if (typeof json === 'string') throw new TypeError('a job graph is read from parsed JSON: call JSON.parse() first');
  const { version, jobs } = record(json, 'a job graph', ['version', 'jobs']);
  if (version !== 1) {
    throw new RangeError(`version of a job graph must be 1, which this release reads, not ${JSON.stringify(version)}`);
  }
  if (!Array.isArray(jobs)) throw new TypeError(`jobs of a job graph must be an array, not ${kindOf(jobs)}`);
  jobs.forEach((job: unknown, index) => {
    const { name, input, runAt, ...options } = record(job, `jobs[${index}]`, jobKeys);
    add(name, wired(input, 0), runAt === undefined ? options : { ...options, runAt: dateIn(runAt, index) });
  });
}

function dateIn(runAt: unknown, index: number): Date {
  const date = new Date(typeof runAt === 'string' ? runAt : NaN);
  if (!Number.isNaN(date.getTime())) return date;
  throw new TypeError(`runAt of jobs[${index}] must be a time such as '2030-01-31T12:00:00Z'`);
}

/** A copy in which every `{ "$job": id }` is a reference. */
function wired(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) {
    throw new RangeError(`an input of a job graph is more than ${MAX_DEPTH.toLocaleString('en-US')} levels deep`);
  }
  if (Array.isArray(value)) return value.map((part) => wired(part, depth + 1));
  const entries = Object.entries(value);
  if (entries.length === 1 && typeof entries[0]?.[1] === 'string' && entries[0][0] === '$job') {
    return new JobById(entries[0][1]);
  }
  const copy = {};
  for (const [key, part] of entries) define(copy, key.replace(/^\$(?=\$+job$)/, ''), wired(part, depth + 1));
  return copy;
}

function record(value: unknown, what: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${what} must be an object, not ${kindOf(value)}`);
  }
  const unknown = Object.keys(value).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw new TypeError(`${what} has no '${unknown}': known are ${keys.join(', ')}`);
  return { ...value };
}

/** Also where the key is '__proto__', which an assignment would not store. */
function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
}
