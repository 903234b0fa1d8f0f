/**
 * What the task queue must do under all its rules, written as plainly as possible: lists that are searched and sorted at
 * every step. The simulator runs it beside the real one. Retention is in model.ts.
 */
import type { OfferSpec } from '#qm/queue/demands.js';
import type { QueueRules, TaskRules } from '#qm/queue/rules.js';
import type { OnFailure } from '#qm/tasks.js';

export type OracleState =
  'blocked' | 'delayed' | 'ready' | 'leased' | 'succeeded' | 'failed' | 'cancelled' | 'expired' | 'skipped';

export interface OracleTask {
  readonly number: number;
  readonly id: string | undefined;
  priority: number;
  readonly retries: number;
  readonly poisonAfter: number;
  readonly after: readonly OracleTask[];
  /** Those of them that it still waits for: what has succeeded once has done its part, even if it is run anew. */
  waitsFor: readonly OracleTask[];
  readonly rules: TaskRules;
  readonly job: OracleJob | undefined;
  parent: OracleTask | undefined;
  readonly group: OracleGroup;
  /** Group and requirement class. */
  cell: string;
  readonly needs: readonly (readonly [string, number])[];
  readonly putAt: number;
  state: OracleState;
  attempt: number;
  failures: number;
  deaths: number;
  aloneDeaths: number;
  /** It has died too often beside others: it runs alone. */
  suspect: boolean;
  lease: number;
  holder: number;
  /** The offer that its amounts come from. */
  offer: OracleOffer | undefined;
  wakeAt: number;
  expiresAt: number;
  lent: boolean;
  runs: number;
}

export interface OracleRun {
  readonly concurrency: number;
  /** The number of its first task. */
  seat: number;
  stoppedBy: OracleTask | undefined;
}

export interface OracleJob {
  readonly run: OracleRun;
  readonly weight: number;
  readonly onFailure: OnFailure;
}

interface OracleGroup {
  readonly name: string;
  readonly number: number;
  use: number;
}

export interface OracleOffer extends OfferSpec {
  gone: boolean;
  /** Nobody knows what else it runs. */
  anonymous?: boolean;
}

/** Tokens in units of 1/per, so that all is whole numbers. */
interface OracleBucket {
  level: number;
  at: number;
}

interface OracleCell {
  passed: number;
  reserved: OracleOffer | undefined;
}

export type OracleSpec = Pick<
  OracleTask,
  'id' | 'priority' | 'retries' | 'poisonAfter' | 'after' | 'rules' | 'parent' | 'job'
>;

const unfinished: readonly OracleState[] = ['blocked', 'delayed', 'ready', 'leased'];
const isFulfilled = ({ state, job }: OracleTask): boolean =>
  state === 'succeeded' || (job?.onFailure === 'ignore' && (state === 'failed' || state === 'expired'));
export const isFinished = (task: OracleTask): boolean => !unfinished.includes(task.state);

export class Oracle {
  readonly tasks: OracleTask[] = [];
  /** Those that have not ended. */
  live: OracleTask[] = [];
  /** Numbers of the tasks that ended since it was emptied. */
  readonly ended: number[] = [];
  paused = false;
  #rules: QueueRules;
  readonly #host: Readonly<Record<string, number>>;
  readonly #groups = new Map<string, OracleGroup>();
  readonly #cells = new Map<string, OracleCell>();
  #buckets = new Map<string, OracleBucket>();
  #served = 0;
  #leases = 0;

  constructor(rules: QueueRules, host: Readonly<Record<string, number>>) {
    this.#rules = rules;
    this.#host = host;
    this.#group('');
  }

  configure(rules: QueueRules): void {
    this.#rules = rules;
    this.#buckets = new Map();
  }

  /** Undefined where it would be a deadlock. */
  put(spec: OracleSpec, now: number): OracleTask | undefined {
    const { rules } = spec;
    let held = 0;
    for (let one = spec.parent; one?.state === 'leased'; one = one.parent) if (one.rules.key === rules.key) held++;
    if (rules.key !== undefined && held > 0 && held >= (this.#rules.keyConcurrency ?? Infinity)) return undefined;
    const needs = Object.entries(rules.resources ?? {});
    const task: OracleTask = {
      ...spec,
      number: this.tasks.length + 1,
      waitsFor: spec.after.filter((before) => !isFulfilled(before)),
      group: this.#group(rules.group ?? ''),
      cell: JSON.stringify([rules.group ?? '', [...(rules.tags ?? [])].sort(), needs.sort(), rules.worker]),
      needs,
      putAt: now,
      state: 'blocked',
      attempt: 0,
      failures: 0,
      deaths: 0,
      aloneDeaths: 0,
      suspect: false,
      lease: 0,
      holder: -1,
      offer: undefined,
      wakeAt: now + (rules.delay ?? 0) * 10,
      expiresAt: now + ((rules.delay ?? 0) + (rules.expires ?? Infinity)) * 10,
      lent: false,
      runs: 1,
    };
    this.tasks.push(task);
    this.live.push(task);
    const { job } = task;
    if (job !== undefined && job.run.seat === 0) job.run.seat = task.number;
    const failed = task.after.some((before) => isFinished(before) && !isFulfilled(before));
    if (failed || job?.run.stoppedBy !== undefined) this.#settle(task, 'skipped');
    else this.#release(task, now);
    return task;
  }

  take(holder: number, offer: OracleOffer, now: number): OracleTask | undefined {
    this.tick(now);
    if (this.paused || this.#running() >= (this.#rules.concurrency ?? Infinity)) return undefined;
    const { rateLimit, reserveAfter = 100 } = this.#rules;
    if (rateLimit !== undefined && rateLimit.keyed !== true && !this.#rateOpen('', now)) return undefined;
    const beside = offer.anonymous === true ? [] : this.#runningAt(offer);
    if (beside.some(({ suspect }) => suspect)) return undefined;
    const passed: OracleTask[] = [];
    const blocked: string[] = [];
    for (const task of this.#heads(now)) {
      if (!this.possible(task, offer)) continue;
      const names = task.needs.map(([name]) => name);
      if (names.some((name) => blocked.includes(name))) continue;
      if (
        (!task.suspect || beside.length === 0) &&
        task.needs.every(([name, amount]) => this.#used(name, offer) + amount <= this.#total(name, offer))
      ) {
        for (const other of passed) {
          if (other.suspect || other.needs.some(([name]) => names.includes(name))) this.#cell(other).passed++;
        }
        return this.#lease(task, holder, offer, now);
      }
      passed.push(task);
      const cell = this.#cell(task);
      if (cell.passed < reserveAfter) continue;
      if (cell.reserved === undefined || cell.reserved.gone) cell.reserved = offer;
      if (task.suspect && cell.reserved === offer) return undefined;
      blocked.push(...names.filter((name) => name in this.#host || cell.reserved === offer));
    }
    return undefined;
  }

  complete(task: OracleTask, now: number): void {
    task.attempt++;
    this.#end(task, 'succeeded', now);
  }

  fail(task: OracleTask, final: boolean, jitter: number, now: number): void {
    task.attempt++;
    if (final || task.failures === task.retries || task.job?.run.stoppedBy) return this.#end(task, 'failed', now);
    task.failures++;
    const backoff = task.rules.backoff ?? this.#rules.backoff;
    let pause = 0;
    if (backoff !== undefined) {
      pause = Math.min(backoff.max ?? 3_600_000, backoff.base * (backoff.factor ?? 2) ** (task.failures - 1));
      pause = Math.round((backoff.jitter === 'none' ? pause : pause * jitter) * 10);
    }
    task.expiresAt = Infinity;
    task.wakeAt = now + pause;
    this.#endLease(task);
    if (pause > 0) task.state = 'delayed';
    else this.#again(task);
  }

  giveBack(task: OracleTask, now: number): void {
    task.group.use -= this.#cost(task.group);
    const { rateLimit } = this.#rules;
    const text = rateLimit?.keyed === true ? task.rules.key : '';
    if (rateLimit !== undefined && text !== undefined) {
      const bucket = this.#bucket(text, now);
      bucket.level = Math.min(rateLimit.max * rateLimit.per * 10, bucket.level + rateLimit.per * 10);
    }
    this.#endLease(task);
    this.#again(task);
    if (!isFinished(task) && task.expiresAt <= now) this.#end(task, 'expired', now);
  }

  /** The worker died, or was silent, while it ran the task. */
  lose(task: OracleTask, alone: boolean, now: number): void {
    task.attempt++;
    task.deaths++;
    if (alone) task.aloneDeaths++;
    if (task.deaths >= task.poisonAfter && (alone || task.aloneDeaths >= 2 || task.poisonAfter === 1)) {
      return this.#end(task, 'failed', now);
    }
    if (task.deaths >= task.poisonAfter && !task.suspect) {
      this.#moveTo(task, `alone ${task.cell}`);
      task.suspect = true;
    }
    task.expiresAt = Infinity;
    this.#endLease(task);
    this.#again(task);
  }

  cancel(task: OracleTask, now: number): boolean {
    if (isFinished(task)) return false;
    if (task.state === 'leased') task.attempt++;
    this.#end(task, 'cancelled', now);
    return true;
  }

  setPriority(task: OracleTask, priority: number): boolean {
    if (isFinished(task)) return false;
    task.priority = priority;
    return true;
  }

  retry(task: OracleTask, now: number): boolean {
    if (!isFinished(task) || (task.state === 'succeeded' && task.id === undefined)) return false;
    if (task.after.some((before) => isFinished(before) && !isFulfilled(before))) return false;
    const run = task.job?.run;
    if (run?.stoppedBy !== undefined) {
      if (run.stoppedBy !== task) return false;
      run.stoppedBy = undefined;
    }
    Object.assign(task, { state: 'blocked', failures: 0, deaths: 0, aloneDeaths: 0, wakeAt: now, suspect: false });
    task.cell = task.cell.replace(/^alone /, '');
    task.expiresAt = now + (task.rules.expires ?? Infinity) * 10;
    task.runs++;
    task.waitsFor = task.after.filter((before) => !isFulfilled(before));
    this.live.push(task);
    this.#release(task, now);
    return true;
  }

  /** All that is due, in the order of its times; delays before expiries. */
  tick(now: number): void {
    const due: { at: number; kind: number; task: OracleTask }[] = [];
    for (const task of this.live) {
      if (task.state === 'delayed' && task.wakeAt <= now) due.push({ at: task.wakeAt, kind: 0, task });
      if (task.state !== 'leased' && task.expiresAt <= now) due.push({ at: task.expiresAt, kind: 1, task });
    }
    if (due.length > 1) due.sort((a, b) => a.at - b.at || a.kind - b.kind || a.task.number - b.task.number);
    for (const { kind, task } of due) {
      if (kind === 0 && task.state === 'delayed') this.#ready(task);
      else if (kind === 1 && !isFinished(task)) this.#end(task, 'expired', now);
    }
  }

  /** When something will be due by delays and expiries alone. */
  nextDue(): number {
    let next = Infinity;
    for (const task of this.live) {
      if (task.state === 'delayed') next = Math.min(next, task.wakeAt);
      if (task.state !== 'leased') next = Math.min(next, task.expiresAt);
    }
    return next;
  }

  /** When a rate will admit what this taker could have but for it; Infinity where nothing waits for a rate alone. */
  nextToken(offer: OracleOffer, now: number): number {
    const { rateLimit, concurrency = Infinity, keyConcurrency = Infinity } = this.#rules;
    if (rateLimit === undefined || this.paused || this.#running() >= concurrency) return Infinity;
    const ready = this.live.filter((task) => task.state === 'ready');
    // It gets nothing whatever the rates are: its suspect has it to itself, or one waits to have it.
    if (offer.anonymous !== true && this.#runningAt(offer).some(({ suspect }) => suspect)) return Infinity;
    if (ready.some(({ suspect, cell }) => suspect && this.#cells.get(cell)?.reserved === offer)) return Infinity;
    const opens = (text: string): number =>
      now + Math.max(0, Math.ceil((rateLimit.per * 10 - this.#bucket(text, now).level) / rateLimit.max));
    if (rateLimit.keyed !== true) return ready.length === 0 || this.#rateOpen('', now) ? Infinity : opens('');
    const open = new Set(ready.filter((task) => this.#keyOpen(task, now)).map(({ cell }) => cell));
    let next = Infinity;
    for (const task of ready) {
      const { key } = task.rules;
      if (!this.#runOpen(task.job)) continue;
      if (key === undefined || open.has(task.cell) || !this.possible(task, offer)) continue;
      if (this.#keyRunning(key) < keyConcurrency) next = Math.min(next, opens(key));
    }
    return next;
  }

  /** The taker could run it if all amounts were free. */
  possible(task: OracleTask, offer: OfferSpec): boolean {
    const { tags = [], worker } = task.rules;
    if (worker !== undefined && worker !== offer.worker) return false;
    if (!tags.every((tag) => offer.tags?.includes(tag))) return false;
    return task.needs.every(([name, amount]) => amount <= this.#total(name, offer));
  }

  inState(state: OracleState): OracleTask[] {
    return this.live.filter((task) => task.state === state);
  }

  /** The first task of each cell whose key is open, in the order in which they are looked at. */
  #heads(now: number): OracleTask[] {
    const heads = new Map<string, OracleTask>();
    for (const task of this.live) {
      if (task.state !== 'ready' || !this.#keyOpen(task, now)) continue;
      const head = heads.get(task.cell);
      if (head === undefined || this.#compare(task, head) < 0) heads.set(task.cell, task);
    }
    return [...heads.values()].sort(
      (a, b) => a.group.use - b.group.use || a.group.number - b.group.number || this.#compare(a, b),
    );
  }

  #compare(a: OracleTask, b: OracleTask): number {
    const { ageing, policy } = this.#rules;
    // What a task has gained by waiting, all have gained since the last of them was put.
    const age = ageing === undefined ? 0 : a.putAt - b.putAt - (a.priority - b.priority) * ageing * 10;
    const byPriority = ageing === undefined ? b.priority - a.priority : age;
    if (byPriority !== 0) return byPriority;
    if (policy === 'lifo') return b.number - a.number;
    const weightOf = ({ job, rules }: OracleTask): number => job?.weight ?? rules.weight ?? 0;
    const byWeight = policy === 'critical-path' ? weightOf(b) - weightOf(a) : 0;
    const bySeat = (a.job?.run.seat ?? a.number) - (b.job?.run.seat ?? b.number);
    return byWeight || bySeat || weightOf(b) - weightOf(a) || a.number - b.number;
  }

  #lease(task: OracleTask, holder: number, offer: OracleOffer, now: number): OracleTask {
    const { rateLimit } = this.#rules;
    const text = rateLimit?.keyed === true ? task.rules.key : '';
    if (rateLimit !== undefined && text !== undefined) this.#bucket(text, now).level -= rateLimit.per * 10;
    this.#served = Math.max(this.#served, task.group.use);
    task.group.use += this.#cost(task.group);
    this.#cells.delete(task.cell);
    return Object.assign(task, { state: 'leased', lease: ++this.#leases, holder, offer });
  }

  #runningAt(offer: OracleOffer): OracleTask[] {
    return this.live.filter((task) => task.state === 'leased' && !task.lent && task.offer === offer);
  }

  #moveTo(task: OracleTask, cell: string): void {
    const { cell: before } = task;
    task.cell = cell;
    if (!this.live.some((other) => other.cell === before)) this.#cells.delete(before);
  }

  #running(): number {
    return this.live.filter((task) => task.state === 'leased' && !task.lent).length;
  }

  #keyRunning(key: string): number {
    return this.live.filter((task) => task.state === 'leased' && task.rules.key === key).length;
  }

  #keyOpen({ rules: { key }, job }: OracleTask, now: number): boolean {
    if (!this.#runOpen(job)) return false;
    if (key === undefined) return true;
    const { keyConcurrency = Infinity, rateLimit } = this.#rules;
    if (keyConcurrency !== Infinity && this.#keyRunning(key) >= keyConcurrency) return false;
    return rateLimit?.keyed !== true || this.#rateOpen(key, now);
  }

  #runOpen(job: OracleJob | undefined): boolean {
    if (job === undefined || job.run.concurrency === Infinity) return true;
    const running = this.live.filter((task) => task.job?.run === job.run && task.state === 'leased' && !task.lent);
    return running.length < job.run.concurrency;
  }

  #rateOpen(text: string, now: number): boolean {
    return this.#bucket(text, now).level >= (this.#rules.rateLimit?.per ?? 0) * 10;
  }

  #bucket(text: string, now: number): OracleBucket {
    const { max, per } = this.#rules.rateLimit ?? { max: 1, per: 1 };
    const bucket = this.#buckets.get(text) ?? { level: max * per * 10, at: now };
    this.#buckets.set(text, bucket);
    bucket.level = Math.min(max * per * 10, bucket.level + (now - bucket.at) * max);
    bucket.at = now;
    return bucket;
  }

  #total(name: string, offer: OfferSpec): number {
    return this.#host[name] ?? offer.resources?.[name] ?? -1;
  }

  #used(name: string, offer: OracleOffer): number {
    let used = 0;
    for (const task of this.live) {
      if (task.state !== 'leased' || task.lent || (!(name in this.#host) && task.offer !== offer)) continue;
      for (const [needed, amount] of task.needs) if (needed === name) used += amount;
    }
    return used;
  }

  #cell(task: OracleTask): OracleCell {
    const cell = this.#cells.get(task.cell) ?? { passed: 0, reserved: undefined };
    this.#cells.set(task.cell, cell);
    return cell;
  }

  #cost(group: OracleGroup): number {
    return 1 / (this.#rules.weights?.[group.name] ?? 1);
  }

  #group(name: string): OracleGroup {
    const group = this.#groups.get(name) ?? { name, number: this.#groups.size, use: 0 };
    this.#groups.set(name, group);
    return group;
  }

  #release(task: OracleTask, now: number): void {
    if (task.waitsFor.length > 0) return;
    if (task.wakeAt > now) task.state = 'delayed';
    else this.#ready(task);
  }

  #ready(task: OracleTask): void {
    const others = this.live.some((one) => one.group === task.group && one.state === 'ready');
    if (!others) task.group.use = Math.max(task.group.use, this.#served);
    task.state = 'ready';
  }

  /** Back, unless nothing of its run begins any more. */
  #again(task: OracleTask): void {
    if (task.job?.run.stoppedBy === undefined) return this.#ready(task);
    this.#settle(task, 'skipped');
    this.#skipAfter(task);
  }

  #endLease(task: OracleTask): void {
    Object.assign(task, { lease: 0, lent: false, offer: undefined });
  }

  #end(task: OracleTask, state: OracleState, now: number): void {
    this.#settle(task, state);
    const blocked = (): OracleTask[] => this.live.filter((other) => other.state === 'blocked');
    if (isFulfilled(task)) {
      for (const other of blocked()) {
        if (!other.waitsFor.includes(task)) continue;
        other.waitsFor = other.waitsFor.filter((before) => before !== task);
        this.#release(other, now);
      }
      return;
    }
    this.#skipAfter(task);
    const run = task.job?.run;
    if (task.job?.onFailure !== 'fail' || state === 'cancelled' || run === undefined || run.stoppedBy) return;
    run.stoppedBy = task;
    for (const other of [...this.live]) {
      if (other.job?.run !== run || isFinished(other) || other.state === 'leased') continue;
      this.#settle(other, 'skipped');
      this.#skipAfter(other);
    }
  }

  #skipAfter(task: OracleTask): void {
    const list = [task];
    for (const failed of list) {
      for (const other of this.live.filter(({ state }) => state === 'blocked')) {
        if (!other.waitsFor.includes(failed)) continue;
        this.#settle(other, 'skipped');
        list.push(other);
      }
    }
  }

  #settle(task: OracleTask, state: OracleState): void {
    this.#endLease(task);
    task.state = state;
    task.parent = undefined;
    this.ended.push(task.number);
    this.live.splice(this.live.indexOf(task), 1);
    if (!this.live.some((other) => other.cell === task.cell)) this.#cells.delete(task.cell);
  }
}
