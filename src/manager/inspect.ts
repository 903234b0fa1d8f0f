/** What `client.inspect` shows: computed here, sent as data. */
import { encode } from '../protocol/codec.ts';
import type { Item } from '../protocol/wire.ts';
import type { QueuedTaskRecord, WorkerSummary } from '../inspection.ts';
import type { ManagerCore } from './core.ts';
import { filterFrom } from './tasks/record.ts';
import type { Tasks } from './tasks/tasks.ts';

export function inspectTasks(boards: Iterable<Tasks>, filter: Item): Item {
  const wanted = filterFrom(filter);
  const found: QueuedTaskRecord[] = [];
  for (const board of boards) {
    for (const record of board.recordsFor(wanted)) found.push({ queue: board.name ?? '', ...record });
  }
  return encode(found.slice(0, wanted.limit ?? 1000));
}

export function inspectWorkers(manager: ManagerCore): Item {
  const workers: WorkerSummary[] = [];
  for (const board of manager.boards) {
    for (const taker of board.takers.values()) {
      const { session } = taker;
      workers.push({
        name: taker.worker.name,
        pid: taker.worker.pid,
        host: taker.worker.host,
        session: session.id,
        queue: board.name ?? '',
        owned: manager.vouchers.owned(session),
        leased: taker.leases.size,
        running: taker.leases.size - taker.spare,
        done: taker.done,
        lastHeardMs: Math.max(0, performance.now() - session.lastHeard),
      });
    }
  }
  return encode(workers);
}
