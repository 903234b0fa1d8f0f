/**
 * How long jobs take, learned from those that have run: per job (its handler's name and its id in the graph), and where
 * that job has never run, per handler. A new figure counts as much as all before it together, so that what has changed is
 * known after a few runs.
 */

/** Share of a new figure in what is kept. */
const NEWEST = 0.5;
/** So many jobs, and so many handlers, are remembered: those that ran last. */
const MOST_JOBS = 100_000;
const MOST_HANDLERS = 1_000;

/** Estimates as data that JSON carries, in ms. */
export interface LearnedDurations {
  readonly version: 1;
  /** By handler and id, parted by a space: names of handlers may have any form, so the last ones win where two fall together. */
  readonly jobs: Readonly<Record<string, number>>;
  readonly handlers: Readonly<Record<string, number>>;
}

export class Durations {
  readonly #jobs = new Map<string, number>();
  readonly #handlers = new Map<string, number>();

  /** A job has run for `ms`; without an `id` something is learned of its handler alone. */
  note(name: string, id: string | undefined, ms: number): void {
    if (id !== undefined) learn(this.#jobs, `${name} ${id}`, ms, MOST_JOBS);
    learn(this.#handlers, name, ms, MOST_HANDLERS);
  }

  /** How long it will take (ms): undefined where nothing is known of it or of its handler. */
  of(name: string, id: string): number | undefined {
    return this.#jobs.get(`${name} ${id}`) ?? this.#handlers.get(name);
  }

  get empty(): boolean {
    return this.#handlers.size === 0;
  }

  toJSON(): LearnedDurations {
    return { version: 1, jobs: rounded(this.#jobs), handlers: rounded(this.#handlers) };
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

function learn(known: Map<string, number>, key: string, ms: number, most: number): void {
  const before = known.get(key);
  // Deleted first, so that what was learned longest ago stands first.
  if (before !== undefined) known.delete(key);
  known.set(key, before === undefined ? ms : before + (ms - before) * NEWEST);
  if (known.size <= most) return;
  for (const oldest of known.keys()) {
    known.delete(oldest);
    return;
  }
}

function rounded(known: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...known].map(([key, ms]) => [key, Math.round(ms * 10) / 10]));
}

function read(json: unknown, into: Map<string, number>, what: string): void {
  if (!isRecord(json)) throw new TypeError(`'${what}' is not an object of durations`);
  for (const [key, ms] of Object.entries(json)) {
    if (typeof ms !== 'number' || !(ms >= 0 && ms < Infinity)) {
      throw new TypeError(`'${what}' has '${key}', which is not a number of ms of 0 or more`);
    }
    into.set(key, ms);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
