import type { LockSummary, ObjectFilter, ObjectSummary, QueuedTaskRecord, WorkerSummary } from '../inspection.ts';
import { decode } from '../protocol/codec.ts';
import { methods } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { TaskFilter } from '../tasks.ts';
import type { Connection } from './connection.ts';
import { filterItem } from './task-dict-proxy.ts';

/** What the manager shows of itself: plain data, as it is at the moment of the call. */
export class Inspector {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Records of tasks, over all queues. */
  async tasks(filter: TaskFilter = {}): Promise<QueuedTaskRecord[]> {
    return (await this.#ask('inspectTasks', [filterItem(filter)])) as QueuedTaskRecord[];
  }

  /** Everybody who has taken tasks and is still connected. */
  async workers(): Promise<WorkerSummary[]> {
    return (await this.#ask('inspectWorkers', [])) as WorkerSummary[];
  }

  /** Who holds what and who waits for it: every lock that is held or waited for, and every object under a hold. */
  async locks(): Promise<LockSummary[]> {
    return (await this.#ask('inspectLocks', [])) as LockSummary[];
  }

  /** Shared objects, and who keeps each of them alive: for finding those that nobody has given up. */
  async objects({ typeId, unnamed, limit }: ObjectFilter = {}): Promise<ObjectSummary[]> {
    return (await this.#ask('inspectObjects', [[typeId, unnamed, limit]])) as ObjectSummary[];
  }

  async #ask(method: (typeof methods.manager)[number], args: readonly Item[]): Promise<unknown> {
    const item = await this.#connection.call(0, methods.manager.indexOf(method), args);
    return decode(item, this.#connection.codec);
  }
}
