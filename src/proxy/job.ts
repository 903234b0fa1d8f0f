/** One job of a job graph: what was asked for, checked, and at the same time the reference to its output. */
import { type BrandedJobRef, isJobRef, jobRef, type JobRefTarget } from '../job-ref.ts';
import type { OnFailure, PutOptions } from '../tasks.ts';
import { checkOnFailure, settingItems, settingNames, type TaskSettings } from './put-options.ts';

/**
 * How a job runs: a task's options, and whether its output is kept. `delay` and `expires` count from the moment in which
 * the graph is submitted, as those of a put do, not from when what the job comes after has ended.
 */
export interface JobOptions extends PutOptions {
  /** Its output is part of the run's result, also where other jobs consume it. Default false. */
  keep?: boolean | undefined;
  /**
   * What its failure, after its `retries`, means for the others: `'skip'` skips the jobs that come after it; `'fail'`
   * also stops the run, in which nothing new begins; with `'ignore'` the jobs after it run all the same, and get
   * `undefined` in the place of its output. Cancelling is no failure: it takes what comes after the job in any case.
   * Default: `'skip'`, or `'fail'` where the run has `onFailure: 'stop'`.
   */
  onFailure?: OnFailure | undefined;
}

export class Job {
  readonly id: string;
  readonly name: string;
  /** As its user gave it: references in it are found when the graph is checked or run. */
  readonly input: unknown;
  readonly after: readonly (string | BrandedJobRef)[];
  /** What goes with the job to the queue as it would with a put; ids and dependencies go their own way. */
  readonly settings: TaskSettings;
  readonly keep: boolean;
  readonly onFailure: OnFailure | undefined;
  /** Its place in the order of insertion. */
  readonly index: number;

  /** `options` are checked. */
  constructor(index: number, id: string, name: string, input: unknown, options: JobOptions) {
    this.index = index;
    this.id = id;
    this.name = name;
    this.input = input;
    const { after, keep, onFailure } = options;
    this.after = after === undefined || after.length === 0 ? none : (after as Job['after']).slice();
    this.settings = settingsOf(options);
    this.keep = keep === true;
    this.onFailure = onFailure;
  }

  get [jobRef](): JobRefTarget {
    return { id: this.id };
  }
}

/** A reference to whichever job of the graph has that id: what a graph read from JSON has in its inputs. */
export class JobById {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  get [jobRef](): JobRefTarget {
    return { id: this.id };
  }
}

const none: readonly never[] = [];
const noSettings: TaskSettings = {};

/** Longest id of a job (characters): with the run's id and a slash it is the id of a task. */
export const MAX_JOB_ID = 500;

const optionNames: readonly string[] = ['after', 'id', 'keep', 'onFailure', ...settingNames].sort();

/** Those that are given; most jobs share that there are none. */
function settingsOf(options: JobOptions): TaskSettings {
  const given = settingNames.filter((name) => options[name] !== undefined);
  return given.length === 0 ? noSettings : Object.fromEntries(given.map((name) => [name, options[name]]));
}

/** Refuses options that `add()` does not know or that are not what they should be, and says what to write instead. */
export function checkJobOptions(options: JobOptions, name: string): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(
      `the options of job '${name}' must be an object such as { priority: 1 }, not ${kindOf(options)}`,
    );
  }
  const { id, priority, after, retries, atMostOnce, keep, onFailure } = options;
  if (id !== undefined) checkJobId(id, `job '${name}'`);
  const job = `job '${id ?? name}'`;
  for (const option of Object.keys(options)) {
    if (!optionNames.includes(option)) throw new TypeError(unknownOption(option, job));
  }
  if (priority !== undefined) {
    if (typeof priority !== 'number') throw mustBe('priority', job, 'a number (higher runs sooner)', priority);
    if (Number.isNaN(priority)) throw new RangeError(`priority of ${job} must be a number, not NaN`);
  }
  if (retries !== undefined) {
    if (typeof retries !== 'number') throw mustBe('retries', job, 'a whole number of 0 or more', retries);
    if (!Number.isSafeInteger(retries) || retries < 0) {
      throw new RangeError(`retries of ${job} must be a whole number of 0 or more, not ${retries}`);
    }
  }
  if (atMostOnce !== undefined && typeof atMostOnce !== 'boolean') {
    throw mustBe('atMostOnce', job, 'true or false', atMostOnce);
  }
  if (keep !== undefined && typeof keep !== 'boolean') throw mustBe('keep', job, 'true or false', keep);
  if (onFailure !== undefined) checkOnFailure(onFailure, ` of ${job}`);
  if (after !== undefined) checkAfter(after, job);
  try {
    settingItems(options);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const Class = error instanceof RangeError ? RangeError : TypeError;
    throw new Class(`${job}: ${error.message}`);
  }
}

function unknownOption(name: string, job: string): string {
  switch (name) {
    case 'signal':
    case 'timeout':
      return `${job} has no option ${name}: adding a job waits for nothing; give it to the run of the graph`;
    default:
      return `${job} has no option '${name}': known are ${optionNames.join(', ')}`;
  }
}

function checkJobId(id: unknown, job: string): void {
  if (typeof id !== 'string') throw mustBe('id', job, 'a string', id);
  if (id === '') throw new RangeError(`id of ${job} must not be empty; leave it out to have one chosen`);
  if (id.includes('/')) {
    throw new RangeError(
      `id of ${job} must not contain '/', which parts the run's id from the job's; write ':' or '-'`,
    );
  }
  if (id.length > MAX_JOB_ID) {
    throw new RangeError(`id of ${job} has ${id.length} characters; at most ${MAX_JOB_ID} are allowed`);
  }
}

function checkAfter(after: unknown, job: string): void {
  const wanted = 'the JobRef that add() returned, a TaskHandle, or the id of a job of this graph';
  if (!Array.isArray(after)) throw mustBe('after', job, `a list, each ${wanted}`, after);
  after.forEach((before: unknown, place) => {
    if (typeof before === 'string' ? before !== '' : isJobRef(before)) return;
    const what = before === '' ? 'an empty string' : kindOf(before);
    throw new TypeError(`after[${place}] of ${job} must be ${wanted}, not ${what}`);
  });
}

function mustBe(option: string, job: string, wanted: string, value: unknown): TypeError {
  return new TypeError(`${option} of ${job} must be ${wanted}, not ${kindOf(value)}`);
}

/** What a value is, for the refusal. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Promise) return 'a promise: await it first';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
