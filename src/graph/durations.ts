/**
 * How long jobs take, learned from those that have run: per job (its handler's name and its id in the graph), and where
 * that job has never run, per handler. A new figure counts as much as all before it together, so that what has changed is
 * known after a few runs.
 */

/** Share of a new figure in what is kept. */
const NEWEST = 0.5;
/** So many jobs, and so many handlers, are remembered: at least those that ran last. */
const MOST_JOBS = 100_000;
const MOST_HANDLERS = 1_000;

/** What is known of a job, or of the jobs of a handler. */
export class Estimate {
  ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }

  note(ms: number): void {
    this.ms += (ms - this.ms) * NEWEST;
  }
}

/**
 * Estimates by their keys. What is asked for stays where it is: when there are as many as are remembered, those that have
 * not been asked for since it was so the last time are forgotten, all at once.
 */
class Remembered {
  readonly #most: number;
  #young = new Map<string, Estimate>();
  #old = new Map<string, Estimate>();

  constructor(most: number) {
    this.#most = most;
  }

  get(key: string): Estimate | undefined {
    const found = this.#young.get(key);
    if (found !== undefined || this.#old.size === 0) return found;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.set(key, old);
    return old;
  }

  set(key: string, estimate: Estimate): void {
    if (this.#young.size >= this.#most && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, estimate);
  }

  note(key: string, ms: number): void {
    const known = this.get(key);
    if (known === undefined) this.set(key, new Estimate(ms));
    else known.note(ms);
  }

  get empty(): boolean {
    return this.#young.size + this.#old.size === 0;
  }

  /** No more than are remembered. */
  toJSON(): Record<string, number> {
    const all = [...this.#old, ...this.#young];
    return Object.fromEntries(all.slice(-this.#most).map(([key, { ms }]) => [key, Math.round(ms * 10) / 10]));
  }
}

/** Estimates as data that JSON carries, in ms. */
export interface LearnedDurations {
  readonly version: 1;
  /** By handler and id, parted by a space: names of handlers may have any form, so the last ones win where two fall together. */
  readonly jobs: Readonly<Record<string, number>>;
  readonly handlers: Readonly<Record<string, number>>;
}

export class Durations {
  readonly #jobs = new Remembered(MOST_JOBS);
  readonly #handlers = new Remembered(MOST_HANDLERS);

  /** A job has run for `ms`; without an `id` something is learned of its handler alone. */
  note(name: string, id: string | undefined, ms: number): void {
    if (id !== undefined) this.#jobs.note(keyOf(name, id), ms);
    this.#handlers.note(name, ms);
  }

  /** How long it will take (ms): undefined where nothing is known of it or of its handler. */
  of(name: string, id: string): number | undefined {
    return this.job(name, id)?.ms ?? this.handler(name);
  }

  /** How long jobs of that handler take (ms). */
  handler(name: string): number | undefined {
    return this.#handlers.get(name)?.ms;
  }

  /** What is known of that very job. Whoever keeps it may note there, as `note` does with an id. */
  job(name: string, id: string): Estimate | undefined {
    return this.#jobs.get(keyOf(name, id));
  }

  get empty(): boolean {
    return this.#handlers.empty;
  }

  toJSON(): LearnedDurations {
    return { version: 1, jobs: this.#jobs.toJSON(), handlers: this.#handlers.toJSON() };
  }

  /** What `toJSON()` gave, parsed. @throws TypeError where it is not of that form */
  static fromJSON(json: unknown): Durations {
    const durations = new Durations();
    if (!isRecord(json) || json['version'] !== 1) throw new TypeError("it is not a file of durations of 'version' 1");
    read(json['jobs'], durations.#jobs, 'jobs');
    read(json['handlers'], durations.#handlers, 'handlers');
    return durations;
  }
}

function keyOf(name: string, id: string): string {
  return `${name} ${id}`;
}

function read(json: unknown, into: Remembered, what: string): void {
  if (!isRecord(json)) throw new TypeError(`'${what}' is not an object of durations`);
  for (const [key, ms] of Object.entries(json)) {
    if (typeof ms !== 'number' || !(ms >= 0 && ms < Infinity)) {
      throw new TypeError(`'${what}' has '${key}', which is not a number of ms of 0 or more`);
    }
    into.set(key, new Estimate(ms));
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
