/**
 * Requirement classes: what tasks demand of a taker (tags, resource amounts, its name), each distinct one interned, and
 * the offers of takers beside them. An offer can run a task of a class if it has all the tags, the name, and in total
 * (its own or the host's) the amounts; whether the amounts are free at the moment is another question.
 */
import { Amounts, type Pool } from './amounts.ts';
import type { TaskRules } from './rules.ts';
import type { View } from './views.ts';

/** What a taker says of itself. */
export interface OfferSpec {
  /** The name by which tasks may ask for it. */
  readonly worker?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly resources?: Readonly<Record<string, number>> | undefined;
}

/** A registered taker's side: made by `TaskQueue.enrol`. */
export class Offer {
  /** The same for all that offer the same, whatever their names are. */
  readonly kind: string;
  readonly worker: string | undefined;
  readonly tags: ReadonlySet<string>;
  /** What of its own amounts is free. */
  readonly amounts: Amounts;
  /** The ready tasks of the classes that have its tags. */
  readonly view: View;
  /** Those that ask for it by name. */
  readonly named: View | undefined;
  /** It has left. */
  gone = false;
  /** Its leases, but for those that are lent. */
  running = 0;
  /** Those of them that must have their taker to themselves. */
  isolated = 0;

  constructor({ worker, resources }: OfferSpec, tags: readonly string[], view: View, named: View | undefined) {
    this.kind = JSON.stringify([tags, needsOf({ resources })]);
    this.worker = worker;
    this.tags = new Set(tags);
    this.amounts = new Amounts(resources);
    this.view = view;
    this.named = named;
  }

  begins({ alone }: Demand): void {
    this.running++;
    if (alone) this.isolated++;
  }

  /** True where it has room by that for what had none before. */
  ends({ alone }: Demand): boolean {
    this.running--;
    if (alone) this.isolated--;
    return alone || this.running === 0;
  }
}

/** One resource of a demand. `host` where the host has an amount of it. */
interface Need {
  readonly name: string;
  readonly amount: number;
  readonly host: Pool | undefined;
}

export class Demand {
  readonly tags: readonly string[];
  readonly worker: string | undefined;
  readonly needs: readonly Need[];
  /** It needs its taker to itself: it may be what its workers died of. */
  readonly alone: boolean;
  /** Whoever looks at it may run it, at any time. */
  readonly open: boolean;
  /** What tells it from other classes. */
  readonly signature: string;
  readonly #host: Amounts;
  /** The views whose takers have its tags. */
  readonly views: View[] = [];
  /** Unfinished tasks of the class. */
  live = 0;
  /** Enrolled offers that could run it. */
  able = 0;
  /** It has been told that nobody can run it. */
  told = false;

  constructor(signature: string, tags: readonly string[], rules: TaskRules, host: Amounts, alone = false) {
    this.signature = signature;
    this.alone = alone;
    this.#host = host;
    this.tags = tags;
    this.worker = rules.worker;
    this.needs = needsOf(rules).map(([name, amount]) => ({ name, amount, host: host.pool(name) }));
    this.open = this.needs.length === 0 && this.worker === undefined && !alone;
  }

  /** Nothing is demanded: whoever comes can run it. */
  get plain(): boolean {
    return this.tags.length === 0 && this.worker === undefined && this.needs.length === 0;
  }

  /** All its tags are among these. */
  within(tags: ReadonlySet<string>): boolean {
    return this.tags.every((tag) => tags.has(tag));
  }

  /** This offer could run it, if everything were free. */
  possible(offer: Offer): boolean {
    if (this.worker !== undefined && this.worker !== offer.worker) return false;
    if (!this.within(offer.tags)) return false;
    for (const { name, amount, host } of this.needs) {
      const pool = host ?? offer.amounts.pool(name);
      if (pool === undefined || amount > pool.total) return false;
    }
    return true;
  }

  /** All of it is free. */
  fits({ amounts, running }: Offer): boolean {
    if (this.alone && running > 0) return false;
    for (const { name, amount, host } of this.needs) {
      if (!((host ?? amounts.pool(name)) as Pool).fits(amount)) return false;
    }
    return true;
  }

  take(amounts: Amounts): void {
    for (const { name, amount, host } of this.needs) (host ?? amounts.pool(name))?.take(amount);
  }

  free(amounts: Amounts): void {
    let shared = false;
    for (const { name, amount, host } of this.needs) {
      (host ?? amounts.pool(name))?.free(amount);
      if (host !== undefined) shared = true;
    }
    if (shared) this.#host.freed();
  }

  /** It needs one of these. */
  asksFor(names: readonly string[]): boolean {
    return this.needs.some(({ name }) => names.includes(name));
  }

  /** Where the other one runs, this one finds less of what it needs. */
  competes(other: Demand): boolean {
    return this.alone || this.needs.some(({ name }) => other.needs.some((need) => need.name === name));
  }
}

/** All classes that unfinished tasks belong to. */
export class Demands {
  readonly #host: Amounts;
  readonly #bySignature = new Map<string, Demand>();
  /** Called with each class when it begins. */
  readonly #begun: (demand: Demand) => void;
  readonly plain: Demand;

  constructor(host: Amounts, begun: (demand: Demand) => void) {
    this.#host = host;
    this.#begun = begun;
    this.plain = new Demand('', [], {}, host);
  }

  values(): IterableIterator<Demand> {
    return this.#bySignature.values();
  }

  /** The class of a task, which may have to run `alone`; it counts as one more of it. */
  enter(rules: TaskRules, alone = false): Demand {
    if (!alone && rules.tags === undefined && rules.resources === undefined && rules.worker === undefined)
      return this.plain;
    const tags = sortedTags(rules.tags ?? []);
    const needs = needsOf(rules);
    if (!alone && tags.length === 0 && needs.length === 0 && rules.worker === undefined) return this.plain;
    const signature = `${alone ? 'alone ' : ''}${signatureOf(tags, needs, rules.worker)}`;
    let demand = this.#bySignature.get(signature);
    if (demand === undefined) {
      demand = new Demand(signature, tags, rules, this.#host, alone);
      this.#bySignature.set(signature, demand);
      this.#begun(demand);
    }
    demand.live++;
    return demand;
  }

  /** A task of the class has ended. */
  left(demand: Demand): void {
    if (demand !== this.plain && --demand.live === 0) this.#bySignature.delete(demand.signature);
  }
}

/** Of most classes one tag, which needs no quoting: a list begins with a bracket. */
function signatureOf(tags: readonly string[], needs: readonly unknown[], worker: string | undefined): string {
  if (tags.length === 1 && needs.length === 0 && worker === undefined) return `tag ${tags[0]}`;
  return JSON.stringify([tags, needs, worker]);
}

function needsOf({ resources }: TaskRules): (readonly [string, number])[] {
  if (resources === undefined) return [];
  return Object.entries(resources)
    .filter(([, amount]) => amount > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Each once, in one order. */
export function sortedTags(tags: readonly string[]): readonly string[] {
  return tags.length < 2 ? tags : [...new Set(tags)].sort();
}
