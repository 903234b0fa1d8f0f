/** A task's record as users read it: made when somebody asks, from the compact form. */
import type { Item } from '../../protocol/wire.ts';
import { RELEASED } from '../../queue/history.ts';
import { type Change, NEVER, State, stateNames, type Task } from '../../queue/task.ts';
import type { TaskError, TaskFilter, TaskRecord, TaskState } from '../../tasks.ts';
import type { ManagerCore } from '../core.ts';
import type { WorkerInfo } from './taker.ts';

export function recordOf(task: Task, manager: ManagerCore): TaskRecord {
  const time = (at: number): number => manager.wallTime(at);
  const state = stateNames[task.state] as TaskState;
  const worker = task.worker as WorkerInfo | undefined;
  const part = task.rules?.part;
  const started = task.startedAt !== NEVER;
  const ended = task.endedAt !== NEVER;
  const ran = started && ended && task.state !== State.skipped;
  return {
    id: task.key,
    name: task.name,
    ...(part === undefined || part.count === 1 ? {} : { inputs: part.size }),
    state,
    priority: task.priority,
    attempt: attemptOf(task),
    ...(worker === undefined ? {} : { worker: worker.name, pid: worker.pid, host: worker.host }),
    putAt: time(task.putAt),
    ...(task.readyAt === NEVER ? {} : { readyAt: time(task.readyAt) }),
    ...(started ? { startedAt: time(task.startedAt), waitMs: (task.startedAt - task.readyAt) / 10 } : {}),
    ...(ended ? { endedAt: time(task.endedAt) } : {}),
    ...(ran ? { runMs: (task.endedAt - task.startedAt) / 10 } : {}),
    bytesIn: task.bytesIn,
    ...(task.state === State.succeeded ? { bytesOut: task.bytesOut } : {}),
    after: task.after?.map((before) => before.key) ?? [],
    ...(task.rules?.asked.parent === undefined ? {} : { parent: task.rules.asked.parent }),
    ...(task.failure === undefined ? {} : { error: errorOf(task.failure) }),
    history: historyOf(task, time),
  };
}

/** Executions that started, the one under way included. */
function attemptOf(task: Task): number {
  return task.state === State.leased ? task.attempt + 1 : task.attempt;
}

function historyOf(task: Task, time: (at: number) => number): TaskRecord['history'] {
  const history: { -readonly [K in keyof HistoryEntry]: HistoryEntry[K] }[] = [];
  const name = (state: number): TaskState => stateNames[state] as TaskState;
  const blocked = task.after !== undefined && task.after.length > 0;
  const first = blocked ? 'blocked' : (task.rules?.asked.delay ?? 0) > 0 ? 'delayed' : 'ready';
  history.push({ at: time(task.putAt), from: 'new', to: first, why: 'put' });
  if (blocked && task.readyAt !== NEVER && task.changes === undefined) {
    history.push({ at: time(task.readyAt), from: 'blocked', to: 'ready', why: RELEASED });
  }
  for (const change of task.changes ?? []) {
    history.push({
      at: time(change.at),
      from: name(change.from),
      to: name(change.to),
      why: change.why,
      ...errorIn(change),
    });
  }
  if (task.startedAt !== NEVER) {
    history.push({ at: time(task.startedAt), from: 'ready', to: 'leased', why: `attempt ${attemptOf(task)}` });
  }
  if (task.finished) {
    const from = history.at(-1)?.to ?? first;
    history.push({ at: time(task.endedAt), from, to: name(task.state), why: task.failure?.message ?? 'completed' });
  }
  return history;
}

type HistoryEntry = TaskRecord['history'][number];

function errorIn({ error }: Change): { error?: TaskError } {
  return error === undefined ? {} : { error: errorOf(error) };
}

/** With the fields of a lost worker: pid, exitCode, signal, reason. */
function errorOf({ code, message, fields, stack }: NonNullable<Change['error']>): TaskError {
  const known: Record<string, string | number> = {};
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1];
    if (value !== undefined) known[String(fields[i])] = value;
  }
  return { code, message, ...known, ...(stack === undefined ? {} : { stack }) };
}

/** Those of the tasks that a filter names, whatever its limit. */
export function* matching(tasks: Iterable<Task>, filter: TaskFilter): IterableIterator<Task> {
  const { name, group, key } = filter;
  const states = filter.state === undefined ? undefined : [filter.state].flat();
  for (const task of tasks) {
    if (name !== undefined && task.name !== name) continue;
    if (group !== undefined && task.rules?.asked.group !== group) continue;
    if (key !== undefined && task.rules?.asked.key !== key) continue;
    if (states !== undefined && !states.includes(stateNames[task.state] as TaskState)) continue;
    yield task;
  }
}

/** A filter as it crosses: [state | states, name, limit, group, key, unrunnable]. */
export function filterFrom(item: Item): TaskFilter {
  if (!Array.isArray(item)) return {};
  const [states, name, limit, group, key, unrunnable] = item as readonly Item[];
  const filter: TaskFilter = {};
  if (typeof states === 'string') filter.state = states as TaskState;
  else if (Array.isArray(states)) filter.state = states.map(String) as TaskState[];
  if (typeof name === 'string') filter.name = name;
  if (typeof limit === 'number') filter.limit = limit;
  if (typeof group === 'string') filter.group = group;
  if (typeof key === 'string') filter.key = key;
  if (unrunnable === true) filter.unrunnable = true;
  return filter;
}
