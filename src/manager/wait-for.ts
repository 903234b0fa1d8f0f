/**
 * The wait-for graph: who holds what, who waits for it, and which of those who wait are known to hold something.
 *
 *     call ──waits for──▶ blocker (lock, object under a hold) ──owners──▶ grant or hold ──blocked──▶ calls of its flow
 *
 * A call is stuck when every owner of what it waits for has calls that wait, and all of those are stuck: one owner that
 * is not known to wait may free it ("any of them may free me"), and a call that waits for something without owners (an
 * item, an event) may be served by anybody. So nothing is rejected on a guess.
 */
import { DeadlockError } from '../errors.ts';
import type { Call } from './call.ts';
import type { Session } from './session.ts';

/** One grant of a lock, or one hold on an object: what a flow has, and others wait for. */
export abstract class Owner {
  readonly session: Session;
  /** On the monotonic clock (ms). */
  readonly since = performance.now();
  /** Calls of its flow that wait, as far as they have said that they are of it. */
  blocked: Set<Call> | undefined = undefined;

  constructor(session: Session) {
    this.session = session;
  }

  /** It has ended, and frees nobody any more. */
  abstract get over(): boolean;
  /** What it holds. */
  abstract get title(): string;
}

/** What one waits for. */
export interface Blocker {
  readonly title: string;
  /** Who has it now. */
  owners(): Iterable<Owner>;
}

/** The call begins to wait: whatever its flow holds waits with it. */
export function blocks(call: Call): void {
  for (const owner of call.holding) (owner.blocked ??= new Set()).add(call);
}

/** It waits no more. Returns whether others of its flow still do: what they wait for may have become hopeless. */
export function unblocks(call: Call): boolean {
  let others = false;
  for (const owner of call.holding) {
    owner.blocked?.delete(call);
    if (!owner.over && (owner.blocked?.size ?? 0) > 0) others = true;
  }
  return others;
}

/** Throws where waiting for `blocker` would close a cycle. The call has not begun to wait. */
export function refuseCycle(call: Call, blocker: Blocker): void {
  if (call.holding.length === 0) return;
  call.waitsFor = blocker;
  blocks(call);
  try {
    const path = cycleOf(call);
    if (path !== undefined) throw deadlock(path);
  } finally {
    unblocks(call);
  }
}

/**
 * Something changed other than by a call that begins to wait: where those who wait for `blocker` have become stuck, the
 * newest of a cycle is rejected, until nobody is stuck.
 */
export function breakCycles(blocker: Blocker): void {
  for (;;) {
    const stuck = stuckFrom(blocker);
    if (stuck === undefined) return;
    const newest = [...stuck].sort((a, b) => b.began - a.began);
    const victim = newest.find((call) => call.refusable && cycleOf(call) !== undefined);
    if (victim === undefined) return;
    victim.refuse(deadlock(cycleOf(victim) as Call[]));
  }
}

/** All calls that have to be served before anybody who waits for `blocker` is; undefined where one of them may be. */
function stuckFrom(blocker: Blocker): Set<Call> | undefined {
  const calls = new Set<Call>();
  const blockers = new Set([blocker]);
  for (const each of blockers) {
    let owned = false;
    for (const owner of each.owners()) {
      owned = true;
      if (owner.blocked === undefined || owner.blocked.size === 0) return undefined;
      for (const call of owner.blocked) {
        if (call.waitsFor === undefined) return undefined;
        calls.add(call);
        blockers.add(call.waitsFor);
      }
    }
    if (!owned) return undefined;
  }
  return calls;
}

/** The shortest way from the call back to itself, by calls, where all that it waits for is stuck. */
function cycleOf(call: Call): Call[] | undefined {
  if (call.waitsFor === undefined) return undefined;
  const stuck = stuckFrom(call.waitsFor);
  if (stuck === undefined || !stuck.has(call)) return undefined;
  const from = new Map<Call, Call>();
  const queue = [call];
  for (const next of queue) {
    for (const owner of (next.waitsFor as Blocker).owners()) {
      for (const after of owner.blocked ?? []) {
        if (after === call) return pathTo(next, from);
        if (from.has(after)) continue;
        from.set(after, next);
        queue.push(after);
      }
    }
  }
  return undefined;
}

function pathTo(last: Call, from: ReadonlyMap<Call, Call>): Call[] {
  const path: Call[] = [];
  for (let call: Call | undefined = last; call !== undefined; call = from.get(call)) path.unshift(call);
  return path;
}

/** Each of the path holds what the one before it waits for; the first holds what the last waits for. */
function deadlock(path: readonly Call[]): DeadlockError {
  const wanted = path.map((call) => (call.waitsFor as Blocker).title);
  const cycle = [wanted.at(-1) as string, ...wanted];
  const each = path.map(({ session: { id, peer } }, at) => {
    const who = `pid ${peer.pid}, session ${id}${peer.name === '' ? '' : ` (${peer.name})`}`;
    return `${who} holds ${cycle[at]} and waits for ${wanted[at]}`;
  });
  return new DeadlockError(`waiting for ${wanted[0]} would never end: ${each.join('; ')}`, cycle);
}
