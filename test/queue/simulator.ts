/**
 * The real queue and the oracle side by side, through a random history that one seed determines: what happens, which
 * rules there are, who offers what. Everything that the two decide is compared at once, all that they hold now and then.
 */
import { Amounts } from '#qm/queue/amounts.js';
import type { OfferSpec } from '#qm/queue/demands.js';
import type { QueueRules, TaskRules } from '#qm/queue/rules.js';
import { TaskRun } from '#qm/queue/run.js';
import { type Holder, stateNames, type Task } from '#qm/queue/task.js';
import type { OnFailure } from '#qm/tasks.js';
import { isFinished, Oracle, type OracleOffer, type OracleRun, type OracleTask } from './oracle.ts';
import { counter, endOf, failed, QueueRig } from './rig.ts';

/** What can be switched on. */
export const allRules = [
  'priority',
  'ageing',
  'lifo',
  'critical-path',
  'fair',
  'tags',
  'resources',
  'host',
  'key',
  'concurrency',
  'rate',
  'keyed rate',
  'delay',
  'expires',
  'worker',
  'after',
  'retries',
  'lend',
  'pause',
  'run',
] as const;
export type Rule = (typeof allRules)[number];

const TAKERS = 4;
const MOST_LIVE = 40;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Taker extends Holder {
  offer?: NonNullable<Holder['offer']> | undefined;
  spec: OracleOffer;
  /** How often the queue had said that something is ready when this one was refused last; -1 where it was not. */
  refused: number;
}

export class Simulator {
  readonly #rig: QueueRig;
  readonly #oracle: Oracle;
  readonly #on: ReadonlySet<Rule>;
  readonly #takers: Taker[] = [];
  readonly #real: Task[] = [];
  readonly #host: Readonly<Record<string, number>>;
  #state: number;
  #jitter = 0;
  #settled = 0;
  #queueRules: QueueRules;
  /** Both sides of each run. */
  readonly #runs: { readonly oracle: OracleRun; readonly real: TaskRun }[] = [];

  constructor(seed: number, on: readonly Rule[]) {
    this.#state = seed | 0;
    this.#on = new Set(on);
    this.#host = this.#on.has('host') ? { licence: 2, bus: 3 } : {};
    this.#queueRules = this.#someQueueRules();
    const host = new Amounts(this.#host);
    this.#rig = new QueueRig({ rules: this.#queueRules }, counter(), { random: () => this.#jitter, host });
    this.#oracle = new Oracle(this.#queueRules, this.#host);
    for (let i = 0; i < TAKERS; i++) {
      this.#takers.push({ leases: new Map(), spec: { gone: false, anonymous: i === 0 }, refused: -1 });
      if (i > 0) this.#enrol(i);
    }
  }

  /** So many events; throws at the first difference. */
  run(events: number): void {
    for (let i = 0; i < events; i++) {
      this.#step();
      this.#compareEnds();
      if (i % 16 === 15) this.#compare();
      if (i % 128 === 127) this.#rig.queue.validate();
    }
    this.#compare();
    this.#rig.queue.validate();
  }

  #step(): void {
    const dice = this.#below(100);
    if (dice < 28) this.#put();
    else if (dice < 58) this.#take(this.#below(TAKERS));
    else if (dice < 72) this.#end('complete');
    else if (dice < 78) this.#end('fail');
    else if (dice < 82) this.#end('giveBack');
    else if (dice < 84) this.#end('lose');
    else if (dice < 85) this.#end('expire');
    else if (dice < 91) this.#wait();
    else if (dice < 93) this.#cancel();
    else if (dice < 95) this.#setPriority();
    else if (dice < 96) this.#retry();
    else if (dice < 97) this.#change();
    else if (this.#on.has('lend')) this.#lend();
    else if (this.#on.has('pause')) this.#pause();
  }

  #put(): void {
    if (this.#oracle.live.length >= MOST_LIVE) return;
    const { tasks } = this.#oracle;
    const after: OracleTask[] = [];
    if (this.#on.has('after') && tasks.length > 0) {
      for (let i = this.#below(3); i > 0; i--)
        after.push(tasks[tasks.length - 1 - this.#below(Math.min(6, tasks.length))] as OracleTask);
    }
    const id = this.#below(8) === 0 ? `id${tasks.length}` : undefined;
    const leased = this.#on.has('lend') ? this.#oracle.inState('leased') : [];
    const parent = leased.length > 0 && this.#below(3) === 0 ? this.#pick(leased) : undefined;
    const rules = this.#someRules();
    const jobs = this.#someJob();
    const spec = {
      id,
      priority: this.#on.has('priority') ? this.#below(3) - 1 : 0,
      retries: this.#on.has('retries') ? this.#below(4) : this.#below(2),
      poisonAfter: 1 + this.#below(3),
      rules: rules ?? {},
      after: [...new Set(after)],
      parent,
      job: jobs?.oracle,
    };
    const { now } = this.#rig;
    const task = this.#oracle.put(spec, now);
    const whole = {
      ...spec,
      name: 'work',
      input: 'input',
      bytesIn: this.#below(5),
      rules,
      after: spec.after.map((one) => this.#realOf(one)),
      parent: parent && this.#realOf(parent),
      job: jobs?.real,
    };
    let real: Task | undefined;
    try {
      real = this.#rig.queue.put(whole, now);
    } catch (error) {
      if ((error as { code?: string }).code !== 'QM_DEADLOCK') throw error;
    }
    this.#same('put', real?.number, task?.number);
    if (real !== undefined) this.#real.push(real);
  }

  /** One was refused: where it speaks for its kind, another one of that must be refused, too. */
  #askPeer({ offer }: Taker): void {
    const { queue } = this.#rig;
    const kind = offer?.kind;
    if (offer === undefined || !queue.speaksForKind(offer)) return;
    const at = this.#takers.findIndex((other) => other.offer !== offer && other.offer?.kind === kind);
    if (at < 0) return;
    const { ready } = queue;
    this.#take(at, false);
    this.#same(`ready for ${at}`, queue.ready, ready);
  }

  #take(at: number, asked = true): void {
    const taker = this.#takers[at] as Taker;
    const { now } = this.#rig;
    const expected = this.#oracle.take(at, taker.spec, now);
    const real = this.#rig.queue.take(taker, undefined, now);
    this.#same(`taken by ${at}`, real?.number, expected?.number);
    if (real === undefined) {
      taker.refused = this.#rig.wakes;
      const next = this.#oracle.nextToken(taker.spec, now);
      if (this.#rig.queue.nextWake() > next) throw new Error(`the rate opens at ${next}: it does not want to know`);
      if (asked) this.#askPeer(taker);
      return;
    }
    if (taker.refused === this.#rig.wakes) throw new Error(`taker ${at} was not told that it may go on`);
    taker.refused = -1;
    this.#same('lease', real.lease, expected?.lease);
  }

  #end(how: 'complete' | 'fail' | 'giveBack' | 'lose' | 'expire'): void {
    const leased = this.#oracle.inState('leased');
    if (leased.length === 0) return;
    const task = this.#pick(leased);
    const real = this.#realOf(task);
    const { queue, now } = this.#rig;
    const holder = real.holder as Holder;
    const alone = this.#below(2) === 0;
    switch (how) {
      case 'complete':
        queue.complete(endOf(real), 'output', this.#below(5), now);
        return this.#oracle.complete(task, now);
      case 'fail': {
        const final = this.#below(6) === 0;
        this.#jitter = this.#below(1000) / 1000;
        this.#rig.fail(real, final, failed('boom', this.#below(5)));
        return this.#oracle.fail(task, final, this.#jitter, now);
      }
      case 'giveBack':
        if (this.#below(2) === 0) queue.giveBack(holder, real.lease, now);
        else this.#rig.lose(real, false);
        return this.#oracle.giveBack(task, now);
      case 'lose':
        this.#rig.lose(real, true, alone);
        return this.#oracle.lose(task, alone, now);
      case 'expire':
        this.#rig.expire(real, alone);
        return this.#oracle.lose(task, alone, now);
    }
  }

  #wait(): void {
    this.#rig.now += this.#below(3) === 0 ? this.#below(200) : this.#below(12);
    if (this.#below(2) === 0) return;
    this.#rig.queue.tick(this.#rig.now);
    this.#oracle.tick(this.#rig.now);
  }

  #cancel(): void {
    const { tasks } = this.#oracle;
    if (tasks.length === 0) return;
    const task = this.#pick(this.#below(3) > 0 && this.#oracle.live.length > 0 ? this.#oracle.live : tasks);
    const { now } = this.#rig;
    this.#same('cancel', this.#rig.cancel(this.#realOf(task)), this.#oracle.cancel(task, now));
  }

  #setPriority(): void {
    if (!this.#on.has('priority') || this.#oracle.live.length === 0) return;
    const task = this.#pick(this.#oracle.live);
    const priority = this.#below(3) - 1;
    const real = this.#rig.queue.setPriority(this.#realOf(task), priority, this.#rig.now);
    this.#same('setPriority', real, this.#oracle.setPriority(task, priority));
  }

  #retry(): void {
    const finished = this.#oracle.tasks.filter(isFinished);
    if (finished.length === 0 || this.#oracle.live.length >= MOST_LIVE) return;
    const task = this.#pick(finished);
    const { now } = this.#rig;
    this.#same('retry', this.#rig.queue.retry(this.#realOf(task), now), this.#oracle.retry(task, now));
  }

  /** A taker leaves or comes back with another offer, or the queue gets other rules. */
  #change(): void {
    const at = this.#below(TAKERS + 1);
    if (at === TAKERS) {
      const { now } = this.#rig;
      this.#queueRules = this.#someQueueRules();
      const keepRecords = { count: Infinity, age: Infinity, bytes: Infinity };
      // More keys may be running than the new limit allows: the next ones wait.
      this.#queueRules = { ...this.#queueRules, keyConcurrency: this.#rigKeyLimit() };
      this.#rig.queue.configure({ maxSize: Infinity, maxBytes: Infinity, keepRecords, rules: this.#queueRules }, now);
      this.#oracle.configure(this.#queueRules);
      for (const taker of this.#takers) taker.refused = -1;
    } else if (at > 0 && (this.#takers[at] as Taker).leases.size === 0) {
      this.#enrol(at);
    }
  }

  #lend(): void {
    const leased = this.#oracle.inState('leased');
    if (leased.length === 0) return;
    const task = this.#pick(leased);
    const { holder, lease } = this.#realOf(task);
    if (task.lent) this.#rig.queue.reclaim(holder as Holder, lease);
    else this.#rig.queue.lend(holder as Holder, lease, this.#rig.now);
    task.lent = !task.lent;
  }

  #pause(): void {
    const paused = this.#below(3) === 0;
    if (paused) this.#rig.queue.pause();
    else this.#rig.queue.resume();
    this.#oracle.paused = paused;
  }

  #enrol(at: number): void {
    const taker = this.#takers[at] as Taker;
    if (taker.offer !== undefined) this.#rig.queue.leave(taker.offer);
    taker.spec.gone = true;
    const spec: Mutable<OfferSpec> = {};
    if (this.#on.has('worker')) spec.worker = `w${at % 3}`;
    if (this.#on.has('tags')) spec.tags = ['a', 'b', 'c'].filter(() => this.#below(3) > 0);
    if (this.#on.has('resources')) spec.resources = { gpu: this.#below(4), memory: 2 + this.#below(5) };
    taker.spec = { ...spec, gone: false };
    taker.offer = this.#rig.queue.enrol(spec);
    taker.refused = -1;
  }

  #someQueueRules(): QueueRules {
    const rules: Mutable<QueueRules> = {};
    if (this.#on.has('lifo')) rules.policy = 'lifo';
    if (this.#on.has('critical-path')) rules.policy = 'critical-path';
    if (this.#on.has('ageing')) rules.ageing = 1 + this.#below(8);
    if (this.#on.has('fair')) rules.weights = { x: 1 + this.#below(3), y: 0.5 };
    if (this.#on.has('concurrency')) rules.concurrency = 1 + this.#below(8);
    if (this.#on.has('key')) rules.keyConcurrency = 1 + this.#below(2);
    const bucket = { max: 1 + this.#below(4), per: 1 + this.#below(8) };
    if (this.#on.has('rate')) rules.rateLimit = bucket;
    if (this.#on.has('keyed rate')) rules.rateLimit = { ...bucket, keyed: true };
    if (this.#on.has('retries')) rules.backoff = { base: this.#below(3), max: 6, jitter: this.#pick(['full', 'none']) };
    rules.reserveAfter = 1 + this.#below(4);
    return rules;
  }

  #rigKeyLimit(): number | undefined {
    if (!this.#on.has('key')) return undefined;
    const most = Math.max(
      1,
      ...['k1', 'k2', 'k3'].map(
        (key) => this.#oracle.inState('leased').filter((task) => task.rules.key === key).length,
      ),
    );
    return most + this.#below(2);
  }

  /** A part in one of the last few runs, or in a new one. */
  #someJob() {
    if (!this.#on.has('run') || this.#below(4) === 0) return undefined;
    if (this.#runs.length === 0 || this.#below(10) === 0) {
      const concurrency = this.#below(3) === 0 ? Infinity : 1 + this.#below(3);
      this.#runs.push({ oracle: { concurrency, seat: 0, stoppedBy: undefined }, real: new TaskRun(concurrency) });
    }
    const run = this.#pick(this.#runs.slice(-3));
    const weight = this.#below(4);
    const onFailure = this.#pick<OnFailure>(['skip', 'skip', 'skip', 'ignore', 'fail']);
    return { oracle: { run: run.oracle, weight, onFailure }, real: { run: run.real, weight, onFailure } };
  }

  /** None for some tasks, so that plain ones are among them. */
  #someRules(): TaskRules | undefined {
    if (this.#below(5) === 0) return undefined;
    const rules: Mutable<TaskRules> = {};
    const some = (rule: Rule, share = 2): boolean => this.#on.has(rule) && this.#below(share) === 0;
    if (this.#on.has('fair')) rules.group = this.#pick(['x', 'y', 'z', '']);
    if (some('tags')) rules.tags = ['a', 'b', 'c'].filter(() => this.#below(3) === 0);
    if (some('resources')) rules.resources = { gpu: 1 + this.#below(3) };
    if (some('resources')) rules.resources = { ...rules.resources, memory: 0.5 + this.#below(5) };
    if (some('host')) rules.resources = { ...rules.resources, licence: 1 + this.#below(2) };
    if (some('host', 3)) rules.resources = { ...rules.resources, bus: 1 + this.#below(3) };
    if (some('key') || some('keyed rate')) rules.key = this.#pick(['k1', 'k2', 'k3']);
    if (some('critical-path')) rules.weight = this.#below(4);
    if (some('delay', 3)) rules.delay = this.#below(10);
    if (some('expires', 3)) rules.expires = this.#below(20);
    if (some('worker', 3)) rules.worker = this.#pick(['w0', 'w1', 'w2']);
    if (some('retries', 4)) rules.backoff = { base: 1 };
    return rules;
  }

  /** Both have ended the same tasks. */
  #compareEnds(): void {
    const { settled } = this.#rig;
    const ended = this.#oracle.ended;
    const count = settled.length - this.#settled;
    if (count === 1 && ended.length === 1) this.#same('ended', settled[this.#settled]?.number, ended[0]);
    else if (count + ended.length > 0) {
      const real = settled.slice(this.#settled).map(({ number }) => number);
      this.#same('ended', real.sort((a, b) => a - b).join(), ended.sort((a, b) => a - b).join());
    }
    this.#settled = settled.length;
    ended.length = 0;
  }

  #compare(): void {
    const { queue } = this.#rig;
    for (const task of this.#oracle.tasks) {
      const real = this.#realOf(task);
      if (stateNames[real.state] !== task.state) this.#same(`t${task.number}`, stateNames[real.state], task.state);
      if (isFinished(task)) continue;
      this.#same(`attempt of t${task.number}`, real.attempt, task.attempt);
      this.#same(`failures of t${task.number}`, real.failures, task.failures);
      this.#same(`deaths of t${task.number}`, real.deaths, task.deaths);
      this.#same(`lease of t${task.number}`, real.lease, task.lease);
      this.#same(`runs of t${task.number}`, real.rules?.runs ?? 1, task.runs);
    }
    this.#same('ready', queue.ready, this.#oracle.inState('ready').length);
    if (queue.nextWake() > this.#oracle.nextDue())
      throw new Error(`does not want to know of ${this.#oracle.nextDue()}`);
    const nobody = this.#takers.every(({ offer }) => offer === undefined);
    const offers = this.#takers.slice(1).map(({ spec }) => spec);
    const stuck = this.#oracle.live.filter(
      (task) => task.state !== 'leased' && !nobody && !offers.some((offer) => this.#oracle.possible(task, offer)),
    );
    this.#same(
      'unrunnable',
      [...queue.unrunnable()]
        .map(({ number }) => number)
        .sort()
        .join(),
      stuck
        .map(({ number }) => number)
        .sort()
        .join(),
    );
  }

  #same(what: string, real: unknown, expected: unknown): void {
    if (real !== expected) throw new Error(`${what}: ${String(real)}, where ${String(expected)} was expected`);
  }

  #realOf(task: OracleTask): Task {
    return this.#real[task.number - 1] as Task;
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }

  /** mulberry32, as in kit/random.ts, which prints each seed: here there are a hundred thousand. */
  #below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  }
}
