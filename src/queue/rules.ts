/**
 * What a task asks for beyond its name and input (`TaskRules`), what a queue rules for all of its tasks (`QueueRules`),
 * and what the core keeps of it with each such task (`Rules`). Most tasks have none, and pay for one empty field.
 *
 * Durations are milliseconds, as users give them; times are tenths of a millisecond, as everywhere in the core.
 */
import type { Backoff, Policy, PolicyName, RateLimit } from '../scheduling.ts';
import type { Amounts } from './amounts.ts';
import type { Cell } from './cells.ts';
import type { Key } from './keys.ts';
import type { Part } from './part.ts';
import type { Task } from './task.ts';
import type { Timer } from './timers.ts';

/** What one task asks for. The object may be shared by many tasks, and must not change. */
export interface TaskRules {
  /** The taker must offer all of them. */
  readonly tags?: readonly string[] | undefined;
  /** Held while it is leased: of the host where the host has an amount of that name, else of the taker's offer. */
  readonly resources?: Readonly<Record<string, number>> | undefined;
  /** Only the taker of this name may have it. */
  readonly worker?: string | undefined;
  /** At most `keyConcurrency` tasks of one key are leased at a time. */
  readonly key?: string | undefined;
  /** Groups share the queue fairly, by their weights. Those without are a group of their own, named ''. */
  readonly group?: string | undefined;
  /** For the policy 'critical-path': the heavier of two first. Default 0. */
  readonly weight?: number | undefined;
  /** ms after the put before it may be taken. */
  readonly delay?: number | undefined;
  /** ms that it may wait, after its delay, until it is first leased and started; then it has expired. */
  readonly expires?: number | undefined;
  readonly backoff?: Backoff | undefined;
  /** Id of the task whose handler put it: kept for its record. */
  readonly parent?: string | undefined;
  /** ms that a run of it may take. The core measures no runs: the queue's owner ends those that are too long. */
  readonly runTimeout?: number | undefined;
}

/** What a queue rules for all of its tasks. */
export interface QueueRules {
  /** Breaks ties of priority. 'fair' is 'fifo': groups share fairly under every policy. Default 'fifo'. */
  readonly policy?: PolicyName | Policy | undefined;
  /**
   * A waiting task gains one point of priority in so many ms since its put. Priority then hardly ever ties, so the
   * policy only decides among tasks put at the same moment. Default: none.
   */
  readonly ageing?: number | undefined;
  /** Of groups; 1 where none is given. A group of weight 2 gets twice as many leases. */
  readonly weights?: Readonly<Record<string, number>> | undefined;
  /** Most tasks leased at a time. */
  readonly concurrency?: number | undefined;
  /** Most tasks leased at a time for each key. */
  readonly keyConcurrency?: number | undefined;
  /** Token bucket: `max` leases at once, refilled evenly within `per` ms; with `keyed`, one for each key. */
  readonly rateLimit?: RateLimit | undefined;
  /** A request for amounts that others were given in its place so often reserves them. Default 100. */
  readonly reserveAfter?: number | undefined;
  /** For tasks that bring none of their own. */
  readonly backoff?: Backoff | undefined;
}

/** What the core keeps of one task with rules. */
export class Rules {
  readonly asked: TaskRules;
  /** Its place in the index by requirement class and group. */
  cell: Cell;
  key: Key | undefined;
  /** The task whose handler put it, until it has ended: its ancestors would stay as long as its record. */
  parent: Task | undefined = undefined;
  /** It must not be ready before. */
  wakeAt = 0;
  wake: Timer | undefined = undefined;
  expiry: Timer | undefined = undefined;
  /** What its lease took amounts from. */
  own: Amounts | undefined = undefined;
  /** Its slot and amounts are lent while its handler awaits children. */
  lent = false;
  /** How often it has been run anew, by `retry`, the first time included. */
  runs = 1;
  /** Deaths of workers that ran other tasks beside it. */
  shared = 0;
  /** The inputs of a `map` that it stands for. */
  part: Part | undefined = undefined;

  constructor(asked: TaskRules, cell: Cell, key: Key | undefined) {
    this.asked = asked;
    this.cell = cell;
    this.key = key;
  }
}

/** Of a task that asked for nothing, but needs a place for what happened to it. */
export const nothingAsked: TaskRules = {};
