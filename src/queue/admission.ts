/**
 * The one step in which all rules compose: which ready task a taker gets. Of those that are admissible (the queue's
 * concurrency and rate, the key's limit and rate, the run's concurrency, tags, the worker's name, free amounts) one of
 * the group with the least weighted use, there the one of the highest priority, and among equals whom the policy says.
 *
 * While no ready task has a class, group or key, there is one cell, and taking is a shift from its lanes.
 */
import type { Amounts } from './amounts.ts';
import { Cell } from './cells.ts';
import { type Demand, Demands, type Offer, type OfferSpec } from './demands.ts';
import { type Group, Groups } from './groups.ts';
import { Gates } from './gates.ts';
import { type Key, Keys } from './keys.ts';
import { Lanes } from './lanes.ts';
import { Offers } from './offers.ts';
import { Order } from './order.ts';
import { Quota } from './quota.ts';
import { nothingAsked, type QueueRules, Rules, type TaskRules } from './rules.ts';
import type { Task } from './task.ts';
import { Search } from './search.ts';
import type { Timers } from './timers.ts';
import type { Parts } from './validate.ts';
import type { ByHead, View } from './views.ts';

export class Admission {
  readonly #groups = new Groups();
  readonly #keys: Keys;
  readonly #gates: Gates;
  readonly #demands: Demands;
  readonly #offers: Offers;
  readonly #plain: Cell;
  #order = new Order();
  readonly #byHead: ByHead = (a, b) => this.#order.before(a.shown as Task, b.shown as Task);
  readonly #search: Search;
  readonly #quota = new Quota();
  #size = 0;
  /** Ready tasks with a class, group, key or run that is limited. The views are there while there are any. */
  #special = 0;
  readonly #goOn: () => void;

  /**
   * `goOn` is called when somebody may get what nobody got so far, `unrunnable` with a class when it becomes one that no
   * enrolled offer can run.
   */
  constructor(host: Amounts, timers: Timers, goOn: () => void, unrunnable: (demand: Demand) => void) {
    this.#goOn = goOn;
    this.#keys = new Keys(timers);
    this.#gates = new Gates(this.#keys);
    this.#search = new Search(this.#gates, this.#byHead);
    this.#demands = new Demands(host, (demand) => this.#offers.begun(demand));
    this.#offers = new Offers(this.#demands, unrunnable);
    this.#plain = new Cell(this.#groups.none, this.#demands.plain, this.#order);
    this.#groups.none.cells.set(this.#demands.plain, this.#plain);
  }

  /** Ready tasks, admissible or not. */
  get size(): number {
    return this.#size;
  }

  /** Nothing that is ready asks for anything. */
  get ordinary(): boolean {
    return this.#special === 0;
  }

  /** Leases that hold a slot of the queue's concurrency: all that are not lent. */
  get running(): number {
    return this.#quota.running;
  }

  get policyError(): unknown {
    return this.#order.policyError;
  }

  /** When the queue's rate admits the next one, where somebody waits for that; else Infinity. */
  get opensAt(): number {
    return this.#size > 0 ? this.#quota.opensAt : Infinity;
  }

  /** Other rules from here on; `ready` are all ready tasks, in the order of their puts. Buckets begin full. */
  configure(rules: QueueRules, ready: Iterable<Task>, now: number): void {
    const { keyConcurrency = Infinity, rateLimit } = rules;
    const tasks = [...ready];
    for (const cell of this.#cells()) this.#hide(cell);
    this.#order = new Order(rules);
    this.#quota.configure(rules);
    this.#search.configure(rules.reserveAfter);
    this.#groups.configure(rules.weights);
    this.#keys.configure(keyConcurrency, rateLimit?.keyed === true ? rateLimit : undefined);
    this.#gates.configure(this.#order);
    for (const cell of this.#cells()) cell.lanes = new Lanes(this.#order);
    for (const task of tasks) this.#cellOf(task).lanes.push(task);
    if (this.#special > 0) for (const cell of this.#cells()) this.#refresh(cell, now);
  }

  pause(paused: boolean): void {
    this.#quota.pause(paused);
  }

  get paused(): boolean {
    return this.#quota.paused;
  }

  // --- offers ---

  enrol(spec: OfferSpec): Offer {
    const { offer, made } = this.#offers.enrol(spec);
    for (const view of made) this.#fill(view);
    return offer;
  }

  leave(offer: Offer): void {
    this.#offers.leave(offer);
    if (this.#search.reserving.size > 0) this.#goOn();
  }

  /** Whether some enrolled offer could run it; true while there is none at all. */
  runnable(task: Task): boolean {
    return this.#offers.runnable(this.#cellOf(task).demand);
  }

  /** It was refused: whether all that offer the same would be. */
  speaksForKind(offer: Offer): boolean {
    return this.#search.speaksForKind(offer);
  }

  // --- tasks, from put to end ---

  /** The task has rules, from here to `exit`. */
  enter(task: Task, asked: TaskRules): Rules {
    const group = asked.group === undefined ? this.#groups.none : this.#groups.enter(asked.group);
    const cell = this.#enterCell(group, this.#demands.enter(asked));
    const key = asked.key === undefined ? undefined : this.#keys.enter(asked.key);
    return (task.rules = new Rules(asked, cell, key));
  }

  /** The rules of a task; made where it has none. */
  rulesOf(task: Task): Rules {
    return task.rules ?? this.enter(task, nothingAsked);
  }

  /** It may be what its workers died of: from here to `exit` it has its taker to itself. It is not ready. */
  isolate(task: Task): void {
    const rules = this.rulesOf(task);
    const { cell } = rules;
    if (cell.demand.alone) return;
    rules.cell = this.#enterCell(cell.group, this.#demands.enter(rules.asked, true));
    this.#leaveCell(cell);
  }

  exit(task: Task, now: number): void {
    const { cell, key, asked } = task.rules as Rules;
    if (key !== undefined) this.#keys.left(key, now);
    this.#leaveCell(cell);
    if (asked.group !== undefined) this.#groups.left(cell.group);
  }

  #enterCell(group: Group, demand: Demand): Cell {
    let cell = group.cells.get(demand);
    if (cell === undefined) {
      cell = new Cell(group, demand, this.#order);
      group.cells.set(demand, cell);
    }
    cell.live++;
    return cell;
  }

  #leaveCell(cell: Cell): void {
    if (--cell.live === 0 && cell !== this.#plain) {
      cell.group.cells.delete(cell.demand);
      this.#search.reserving.delete(cell);
    }
    this.#demands.left(cell.demand);
  }

  /** Ancestors that hold a slot of the key as long as they await such a task, where there are no other slots. */
  heldByAncestors(text: string | undefined, parent: Task): Task[] {
    return this.#keys.heldByAncestors(text, parent);
  }

  // --- ready tasks ---

  add(task: Task, now: number): void {
    this.#size++;
    const cell = this.#cellOf(task);
    this.#groups.arrived(cell.group);
    cell.lanes.push(task);
    if (this.#special === 0 && task.rules === undefined && task.job === undefined) return;
    if (this.#isSpecial(task) && ++this.#special === 1) this.#refresh(this.#plain, now);
    if (this.#special > 0) this.#refresh(cell, now);
  }

  /** It is not ready any more, and nobody has taken it. */
  remove(task: Task, now: number): void {
    this.#size--;
    this.#cellOf(task).group.ready--;
    this.#withdraw(task, now);
    if (this.#isSpecial(task) && --this.#special === 0) this.#hide(this.#plain);
  }

  /** Another priority for a ready task. */
  setPriority(task: Task, priority: number, now: number): void {
    this.#withdraw(task, now);
    task.priority = priority;
    const cell = this.#cellOf(task);
    cell.lanes.push(task);
    if (this.#special > 0) this.#refresh(cell, now);
  }

  /** The task that this taker gets, which is ready no more and holds all that it needs; undefined where there is none. */
  take(offer: Offer | undefined, now: number): Task | undefined {
    if (this.#quota.limited && !this.#quota.open(now)) return undefined;
    if (offer !== undefined && offer.isolated > 0) return undefined;
    let task: Task | undefined;
    if (this.#special === 0) {
      task = this.#plain.lanes.shift();
      if (task === undefined) return undefined;
      this.#plain.group.ready--;
      this.#groups.charge(this.#plain.group);
    } else {
      task = this.#choose(offer ?? this.#anonymousOffer(), now);
      if (task === undefined) return undefined;
    }
    this.#size--;
    offer?.begins(this.#cellOf(task).demand);
    this.#quota.take(now);
    return task;
  }

  /** It was taken for so many inputs more, or fewer, than were charged for. */
  chargeMore(task: Task, inputs: number): void {
    this.#groups.refund(this.#cellOf(task).group, -inputs);
  }

  // --- leases ---

  /** It was cut out of a leased task, is leased itself by the same taker, and holds all that the other one holds. */
  beginLike(task: Task, { rules: from, holder }: Task): void {
    const rules = task.rules as Rules;
    const { cell, key } = rules;
    this.#quota.running++;
    holder?.offer?.begins(cell.demand);
    if (from?.own !== undefined) {
      rules.own = from.own;
      cell.demand.take(from.own);
    }
    if (key !== undefined) key.running++;
  }

  /** A lease by that offer has ended: what it held is free. True where somebody may go on because of that. */
  ended(task: Task, offer: Offer | undefined, started: boolean, now: number): boolean {
    const { rules } = task;
    const again = rules?.lent !== true && this.#leaves(task, now);
    if (!started) {
      this.#quota.refund();
      this.#groups.refund(this.#cellOf(task).group, rules?.part?.size);
    }
    if (rules === undefined) {
      this.#quota.running--;
      const room = offer?.ends(this.#plain.demand) === true && this.#search.alone > 0;
      // While nothing special is ready, nobody is held up.
      return again || this.#quota.limited || room || (this.#special > 0 && this.#search.reserving.size > 0);
    }
    const room = this.#free(rules, offer);
    rules.lent = false;
    rules.own = undefined;
    const { key } = rules;
    if (key === undefined) {
      if (again || this.#quota.limited || room) return true;
      return rules.cell.demand.needs.length > 0 || this.#search.reserving.size > 0;
    }
    key.running--;
    if (!started) key.bucket?.refund();
    this.reopen(key, now);
    return true;
  }

  /** Its slot and amounts are free while its handler awaits children; its key is not: that would undo its purpose. */
  lend(task: Task, now: number): boolean {
    const rules = this.rulesOf(task);
    if (rules.lent) return false;
    this.#free(rules, task.holder?.offer);
    this.#leaves(task, now);
    rules.lent = true;
    return true;
  }

  /** It goes on, at once, even if for a while more is used than there is. */
  reclaim(task: Task): void {
    const { rules } = task;
    if (rules?.lent !== true) return;
    rules.lent = false;
    this.#quota.running++;
    if (task.job?.run.limited === true) task.job.run.running++;
    task.holder?.offer?.begins(rules.cell.demand);
    if (rules.own !== undefined) rules.cell.demand.take(rules.own);
  }

  // --- time ---

  /** The first of each line of an open key is ready again; of one closed by its rate, a timer is set. */
  reopen(key: Key, now: number): void {
    if (key.lines.length === 0 || key.running >= this.#keys.limit) return;
    if (!this.#keys.open(key, now)) return this.#keys.schedule(key);
    for (const { cell } of [...key.lines]) {
      this.#gates.return(key, cell, now);
      this.#refresh(cell, now);
    }
  }

  /** A key's timer has come. */
  due(key: Key, now: number): void {
    key.timer = undefined;
    this.reopen(key, now);
  }

  /** Keys that have rested long enough are forgotten, even while nothing else happens. */
  rested(now: number): void {
    this.#keys.rested(now);
  }

  /** Whether the queue's rate, because of which somebody was refused, admits another one. */
  rateOpened(now: number): boolean {
    return this.#quota.opened(now);
  }

  /** For validation: all that is in the index, each task once. */
  *ready(): IterableIterator<Task> {
    for (const cell of this.#cells()) yield* cell.lanes;
    for (const lanes of this.#gates.waiting()) yield* lanes;
  }

  /** For validation. */
  get parts(): Parts {
    return {
      groups: this.#groups.values(),
      keys: this.#keys,
      demands: this.#demands,
      special: this.#special,
      named: this.#search.named,
      alone: this.#search.alone,
      plain: this.#plain,
    };
  }

  #anonymousOffer(): Offer {
    const { offer, made } = this.#offers.anonymous();
    for (const view of made) this.#fill(view);
    return offer;
  }

  /** A new view shows what is shown by then. */
  #fill(view: View): void {
    for (const cell of this.#cells()) {
      if (cell.shown !== undefined && view.sees(cell.demand)) view.add(cell, this.#byHead);
    }
  }

  #choose(offer: Offer, now: number): Task | undefined {
    for (;;) {
      const cell = this.#search.find(offer, now);
      if (cell === undefined) return undefined;
      // Its key or run has closed since it was shown: its cell shows another one, and the search begins anew.
      if (cell.shown !== undefined && this.#gates.closed(cell.shown, now) !== undefined) this.#refresh(cell, now);
      else return this.#admit(cell, offer, now);
    }
  }

  #admit(cell: Cell, offer: Offer, now: number): Task {
    const task = cell.lanes.shift() as Task;
    const { group } = cell;
    const { rules } = task;
    group.ready--;
    this.#groups.charge(group);
    cell.passed = 0;
    cell.reserved = undefined;
    if (this.#search.reserving.size > 0) {
      this.#search.reserving.delete(cell);
      this.#goOn();
    }
    if (rules !== undefined) {
      if (cell.demand.needs.length > 0) {
        cell.demand.take(offer.amounts);
        rules.own = offer.amounts;
      }
      if (rules.key !== undefined) this.#gates.begins(rules.key, cell, now);
    }
    const run = task.job?.run;
    if (run?.limited === true) {
      run.running++;
      this.#gates.stepIn(run, cell, now);
    }
    this.#refresh(cell, now);
    if (this.#isSpecial(task) && --this.#special === 0) this.#hide(this.#plain);
    return task;
  }

  /** Shows the cell's first task, having moved those of closed keys and runs out of the way. */
  #refresh(cell: Cell, now: number): void {
    const head = this.#gates.clear(cell, now);
    if (head !== cell.shown) this.#search.show(cell, head);
  }

  /** A lease of the task has ended, or is lent: whoever waits for a place in its run may have it. */
  #leaves({ job }: Task, now: number): boolean {
    if (job?.run.limited !== true) return false;
    const { run } = job;
    run.running--;
    for (const { cell } of [...run.lines]) {
      this.#gates.stepIn(run, cell, now);
      this.#refresh(cell, now);
    }
    return true;
  }

  #hide(cell: Cell): void {
    if (cell.shown !== undefined) this.#search.show(cell, undefined);
  }

  #withdraw(task: Task, now: number): void {
    const cell = this.#cellOf(task);
    if (cell.shown === task) this.#hide(cell);
    Lanes.remove(task);
    if (this.#search.reserving.size > 0) this.#goOn();
    this.#gates.left(task, cell, now);
    if (this.#special > 0) this.#refresh(cell, now);
  }

  /** True where its taker has room by that for what had none before. */
  #free({ lent, own, cell: { demand } }: Rules, offer: Offer | undefined): boolean {
    if (lent) return false;
    this.#quota.running--;
    if (own !== undefined) demand.free(own);
    return offer?.ends(demand) === true && (demand.alone || this.#search.alone > 0);
  }

  #isSpecial({ rules, job }: Task): boolean {
    if (job?.run.limited === true) return true;
    return rules !== undefined && (rules.key !== undefined || rules.cell !== this.#plain);
  }

  #cellOf({ rules }: Task): Cell {
    return rules === undefined ? this.#plain : rules.cell;
  }

  *#cells(): IterableIterator<Cell> {
    for (const group of this.#groups.values()) yield* group.cells.values();
  }
}
