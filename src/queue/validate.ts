/** The invariants of the queue's counts, links and indexes; for tests. */
import type { Admission } from './admission.ts';
import type { Cell } from './cells.ts';
import type { Demands } from './demands.ts';
import type { Group } from './groups.ts';
import type { Keys } from './keys.ts';
import { weightOf } from './ranges.ts';
import type { Records } from './records.ts';
import { State, stateNames, type Task } from './task.ts';
import type { Timers } from './timers.ts';

/** What it looks at in the ready index. */
export interface Parts {
  readonly groups: Iterable<Group>;
  readonly keys: Keys;
  readonly demands: Demands;
  readonly special: number;
  readonly named: number;
  readonly alone: number;
  readonly plain: Cell;
}

/** Throws naming the first that is broken. Returns the bytes of input that wait. */
export function validate(records: Records, counted: readonly number[], admission: Admission, timers: Timers): number {
  const counts = new Array<number>(stateNames.length).fill(0);
  const tasks = [...records.values()];
  let bytes = 0;
  let keptBytes = 0;
  for (const task of tasks) {
    counts[task.state] = (counts[task.state] as number) + weightOf(task);
    checkTask(task);
    if (!task.finished && task.state !== State.leased) bytes += task.bytesIn;
    if (task.finished && !task.overdue) keptBytes += task.payloadBytes;
  }
  check(records.bytes === keptBytes, `${records.bytes} bytes of finished tasks counted, found ${keptBytes}`);
  for (const state of Object.values(State)) {
    check(
      counts[state] === counted[state],
      `${counted[state]} counted as ${stateNames[state]}, found ${counts[state]}`,
    );
  }
  checkIndex(tasks, admission);
  checkTimers(tasks, admission, timers);
  return bytes;
}

function checkTask(task: Task): void {
  const leased = task.state === State.leased;
  check(
    leased === (task.lease !== 0) && leased === (task.holder?.leases.get(task.lease) === task),
    `${task.key}: its lease does not fit its state`,
  );
  check(
    task.waiting > 0 === (task.state === State.blocked),
    `${task.key}: waits for ${task.waiting} while it is ${stateNames[task.state]}`,
  );
  check(
    (task.state === State.ready) === (task.spot !== undefined),
    `${task.key}: in a lane while it is ${stateNames[task.state]}`,
  );
  check(task.rules?.lent !== true || leased, `${task.key}: has lent what it does not hold`);
}

function checkIndex(tasks: readonly Task[], admission: Admission): void {
  const ready = [...admission.ready()];
  const really = tasks.filter((task) => task.state === State.ready);
  check(
    ready.length === really.length && new Set(ready).size === ready.length && ready.length === admission.size,
    'the ready index and the records disagree',
  );
  const { groups, keys, demands, special, named, alone, plain } = admission.parts;
  const live = tasks.filter((task) => !task.finished);
  const leased = live.filter((task) => task.state === State.leased);
  check(
    admission.running === leased.filter((task) => task.rules?.lent !== true).length,
    'the leases that hold slots are not counted right',
  );
  const isSpecial = ({ rules, job }: Task): boolean =>
    job?.run.limited === true || (rules !== undefined && (rules.key !== undefined || rules.cell !== plain));
  check(special === really.filter(isSpecial).length, 'the ready tasks with rules are not counted right');
  let shownByName = 0;
  let shownAlone = 0;
  for (const group of groups) {
    const inGroup = (task: Task): boolean => (task.rules?.cell ?? plain).group === group;
    check(group.ready === really.filter(inGroup).length, `group '${group.name}': ready tasks not counted right`);
    for (const cell of group.cells.values()) {
      const inCell = live.filter((task) => (task.rules?.cell ?? plain) === cell);
      if (cell !== plain) check(cell.live === inCell.length, 'a class: unfinished tasks not counted right');
      if (cell.shown !== undefined && cell.demand.worker !== undefined) shownByName++;
      if (cell.shown !== undefined && cell.demand.alone) shownAlone++;
      check(cell.shown === undefined || special > 0, 'a plain queue shows its tasks in views');
      check(special === 0 || cell.shown === cell.lanes.head(), 'a class does not show its first task');
      for (const view of cell.demand.views) {
        const share = group.shares.find((one) => one.view === view);
        const times = share?.cells.filter((one) => one === cell).length ?? 0;
        check(times === (cell.shown === undefined ? 0 : 1), 'a view does not show a class once');
      }
    }
    for (const { view, cells } of group.shares) {
      check(cells.length > 0 && view.shares.some((share) => share.cells === cells), 'an empty share in a view');
    }
  }
  check(named === shownByName, 'classes that ask for a worker by name are not counted right');
  check(alone === shownAlone, 'classes that need a worker to themselves are not counted right');
  for (const offer of new Set(leased.map(({ holder }) => holder?.offer))) {
    const here = leased.filter((task) => task.holder?.offer === offer && task.rules?.lent !== true);
    const isolated = here.filter((task) => task.rules?.cell.demand.alone === true).length;
    check(
      offer === undefined || (offer.running === here.length && offer.isolated === isolated),
      'the leases of a taker are not counted right',
    );
  }
  for (const key of keys.values()) {
    const running = leased.filter((task) => task.rules?.key === key).length;
    check(
      key.running === running && running <= keys.limit,
      `key '${key.text}': ${key.running} running, not ${running}`,
    );
    check(key.live === live.filter((task) => task.rules?.key === key).length, `key '${key.text}': not counted right`);
    const inLines = key.lines.reduce((sum, { lanes }) => sum + lanes.size, 0);
    check(
      inLines === key.lines.flatMap(({ lanes }) => [...lanes]).length,
      `key '${key.text}': lines not counted right`,
    );
  }
  for (const run of new Set(live.map(({ job }) => job?.run))) {
    const running = leased.filter((task) => task.job?.run === run && task.rules?.lent !== true).length;
    check(run?.limited !== true || run.running === running, `a run: ${running} running, not ${run?.running}`);
  }
  for (const demand of demands.values()) checkDemand(live, leased, demand);
}

function checkDemand(
  live: readonly Task[],
  leased: readonly Task[],
  demand: ReturnType<Admission['parts']['demands']['values']> extends Iterable<infer D> ? D : never,
): void {
  const of = (list: readonly Task[]): Task[] => list.filter((task) => task.rules?.cell.demand === demand);
  check(demand.live === of(live).length && demand.live > 0, `class ${demand.signature}: not counted right`);
  for (const { name, host } of demand.needs) {
    if (host === undefined) continue;
    const used = leased
      .filter((task) => task.rules?.lent !== true)
      .flatMap((task) => task.rules?.cell.demand.needs ?? [])
      .filter((need) => need.host === host)
      .reduce((sum, { amount }) => sum + amount, 0);
    check(host.used >= used * (1 - 1e-6), `resource '${name}': ${host.used} in use, at least ${used} are leased`);
  }
}

function checkTimers(tasks: readonly Task[], admission: Admission, timers: Timers): void {
  const slots = [...timers.values()];
  slots.forEach((timer, at) => {
    check(timer.slot === at, 'a timer does not know its place');
    const parent = slots[(at - 1) >> 1];
    check(at === 0 || parent === undefined || !timer.before(parent), 'the timers are out of order');
  });
  for (const task of tasks) {
    const { wake, expiry } = task.rules ?? {};
    check((task.state === State.delayed) === (wake !== undefined && wake.slot >= 0), `${task.key}: its delay is amiss`);
    check(expiry === undefined || !task.finished, `${task.key}: has ended, and would expire`);
  }
  check(admission.opensAt > 0, 'the rate opens in the past');
}

/** Says what is inconsistent. */
export function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the queue's state is inconsistent: ${what}`);
}
