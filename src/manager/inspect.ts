/** What `client.inspect` shows: computed here, sent as data. */
import { encode } from '../protocol/codec.ts';
import type { Item } from '../protocol/wire.ts';
import type {
  LockHolder,
  LockSummary,
  LockUser,
  LockWaiter,
  ObjectSummary,
  QueuedTaskRecord,
  WorkerSummary,
} from '../inspection.ts';
import { countOf } from './arguments.ts';
import type { Call } from './call.ts';
import type { ManagerCore } from './core.ts';
import { Grant } from './objects/grantor.ts';
import type { Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';
import { filterFrom } from './tasks/record.ts';
import type { Tasks } from './tasks/tasks.ts';
import type { Blocker } from './wait-for.ts';

/** The token that clients know a grant by. */
type TokenOf = (grant: number) => bigint;

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

/** Every lock that is held or waited for, and every object under a hold. */
export function inspectLocks(objects: Iterable<SharedObject>, sessions: Iterable<Session>, tokenOf: TokenOf): Item {
  const waiting = waitingBy(sessions);
  const locks: LockSummary[] = [];
  // A condition and the lock that it was made with are one.
  for (const lock of new Set([...objects].map((object) => object.grantor ?? object))) {
    const holders = [...lock.owners()].map((owner): LockHolder => {
      const grant = owner instanceof Grant ? owner : undefined;
      const heldMs = performance.now() - owner.since;
      if (grant === undefined) return { ...userOf(owner.session), token: undefined, weight: 1, heldMs };
      return { ...userOf(owner.session), token: tokenOf(grant.token), weight: grant.object.weightOf(grant), heldMs };
    });
    const waiters = (waiting.get(lock) ?? []).map((call): LockWaiter => ({
      ...userOf(call.session),
      waitingMs: performance.now() - call.since,
      holding: call.holding.filter(({ over }) => !over).map(({ title }) => title),
    }));
    if (holders.length + waiters.length === 0) continue;
    locks.push({ typeId: lock.type.typeId, name: lock.name, title: lock.title, holders, waiters });
  }
  return encode(locks);
}

/** The calls that wait for something with owners, in the order in which they began to. */
function waitingBy(sessions: Iterable<Session>): Map<Blocker, Call[]> {
  const calls = [...sessions].flatMap(({ parked }) => [...parked.values()]).sort((a, b) => a.began - b.began);
  const by = new Map<Blocker, Call[]>();
  for (const call of calls) {
    if (call.waitsFor === undefined) continue;
    const others = by.get(call.waitsFor);
    if (others === undefined) by.set(call.waitsFor, [call]);
    else others.push(call);
  }
  return by;
}

function userOf({ id, peer }: Session): LockUser {
  return { session: id, pid: peer.pid, name: peer.name };
}

/** Of the objects that store values with a proxy of one object, so many are named. */
const HOLDERS = 10;

interface Keepers {
  readonly sessions: Map<number, number>;
  readonly storedIn: ObjectSummary['storedIn'][number][];
}

/** `filter`: [type id, unnamed, limit]. What nobody can reach ends first: what is shown is alive. */
export function inspectObjects(manager: ManagerCore, filter: Item): Item {
  const [typeId, unnamed, limit] = Array.isArray(filter) ? (filter as readonly Item[]) : [];
  const most = limit === undefined ? 1000 : countOf(limit, 'limit');
  manager.collector.collect();
  const shown = new Map<SharedObject, Keepers>();
  for (const object of manager.objects.values()) {
    if (shown.size >= most) break;
    if (typeof typeId === 'string' && object.type.typeId !== typeId) continue;
    if (typeof unnamed === 'boolean' && (object.name === undefined) !== unnamed) continue;
    shown.set(object, { sessions: new Map(), storedIn: [] });
  }
  for (const session of manager.sessions.values()) {
    for (const { object } of session.handles.values()) {
      const sessions = object === undefined ? undefined : shown.get(object)?.sessions;
      sessions?.set(session.id, (sessions.get(session.id) ?? 0) + 1);
    }
  }
  for (const holder of manager.objects.values()) {
    for (const [object, times] of holder.names) {
      const storedIn = shown.get(object)?.storedIn;
      if (storedIn !== undefined && storedIn.length < HOLDERS) storedIn.push({ ...identityOf(holder), times });
    }
  }
  return encode(Array.from(shown, ([object, keepers]) => summaryOf(manager, object, keepers)));
}

function summaryOf(manager: ManagerCore, object: SharedObject, keepers: Keepers): ObjectSummary {
  const sessions = Array.from(keepers.sessions, ([session, references]) => {
    const { pid = 0, name = '' } = manager.sessions.get(session)?.peer ?? {};
    return { session, pid, name, references };
  });
  const handles = sessions.reduce((sum, { references }) => sum + references, 0);
  const { stored } = object;
  return {
    ...identityOf(object),
    sessions,
    inFlight: object.references - handles,
    stored,
    storedIn: keepers.storedIn,
  };
}

function identityOf({ id, type, name }: SharedObject): { id: number; typeId: string; name?: string } {
  return { id, typeId: type.typeId, ...(name === undefined ? {} : { name }) };
}
