import type { Item } from '../protocol/wire.ts';
import type { TaskFilter, TaskRecord, TaskState } from '../tasks.ts';
import { checkNames } from './scheduling-items.ts';
import type { TaskCalls } from './task-calls.ts';

/** The task dict: the record of every task that waits, runs, or ended not too long ago. */
export class TaskDictProxy {
  readonly #calls: TaskCalls;

  constructor(calls: TaskCalls) {
    this.#calls = calls;
  }

  /** A task's record; undefined where it was never put, or has gone by `keepRecords`. */
  async get(id: string): Promise<TaskRecord | undefined> {
    return this.#calls.unpack(await this.#calls.call('record', [id])) as TaskRecord | undefined;
  }

  /** Whether there is a record. */
  async has(id: string): Promise<boolean> {
    return (await this.#calls.call('has', [id])) as boolean;
  }

  /** How many records there are. */
  async size(): Promise<number> {
    return (await this.#calls.call('size', [])) as number;
  }

  /** [id, record] in the order of the puts. */
  async entries(filter: TaskFilter = {}): Promise<[string, TaskRecord][]> {
    return this.#calls.unpack(await this.#calls.call('entries', [filterItem(filter)])) as [string, TaskRecord][];
  }

  /** How many tasks are in each state, of those whose record is kept or that are pending. */
  async counts(): Promise<Record<TaskState, number>> {
    return this.#calls.unpack(await this.#calls.call('counts', [])) as Record<TaskState, number>;
  }
}

const known = ['state', 'name', 'group', 'key', 'unrunnable', 'limit'];

export function filterItem(filter: TaskFilter): Item {
  checkNames('a task filter', filter, known);
  const { state, name, limit, group, key, unrunnable } = filter;
  return [typeof state === 'object' ? [...state] : state, name, limit, group, key, unrunnable];
}
