/**
 * What locks, semaphores and read-write locks have in common. The owner of a grant is its guard (one flow), the session
 * its lifetime; a grant that was asked for through a task's `context.client` ends with that attempt, too. Every grant
 * has a token that is larger than all before it. Waiters are first come, first served: nobody passes one who needs more;
 * any of them may leave in O(1).
 */
import { DeadlockError, LeaseLostError, NotLockOwnerError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { countOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import type { Session } from '../session.ts';
import { SharedObject } from '../shared-object.ts';
import { type Blocker, breakCycles, Owner, refuseCycle } from '../wait-for.ts';
import { WaitList } from '../wait-list.ts';

/** What a waiter is given when its turn comes. */
export type Granted = (token: number) => Item;

interface Waiter {
  readonly call: Call;
  readonly weight: number;
  readonly granted: Granted;
  readonly lease: number | undefined;
}

/** One grant: its guard holds so much of the object. */
export class Grant extends Owner {
  readonly object: Grantor;
  readonly token: number;
  /** How much of the object's capacity it has; a semaphore's permits may be given back one by one. */
  weight: number;
  over = false;
  /** The session and the attempt need not end it any more. */
  forget: () => void = () => {};

  constructor(object: Grantor, session: Session, token: number, weight: number) {
    super(session);
    this.object = object;
    this.token = token;
    this.weight = weight;
  }

  get title(): string {
    return this.object.title;
  }
}

export abstract class Grantor extends SharedObject implements Blocker {
  readonly #waiters = new WaitList<Waiter>();
  readonly #grants = new Map<number, Grant>();
  #used = 0;

  /** How much of it can be granted at once. */
  protected abstract get capacity(): number;

  override owners(): IterableIterator<Grant> {
    return this.#grants.values();
  }

  override get grantor(): Grantor {
    return this;
  }

  /** How much a grant has, as people are told. */
  weightOf(grant: Grant): number | 'read' | 'write' {
    return grant.weight;
  }

  /** The grant of that token, if that session still has it. */
  grantOf(token: number, session: Session): Grant | undefined {
    const grant = this.#grants.get(token);
    return grant?.session === session ? grant : undefined;
  }

  holds(token: number, session: Session): boolean {
    return this.grantOf(token, session) !== undefined;
  }

  release(call: Call, [token]: readonly Item[]): Answer {
    const grant = this.grantOf(countOf(token, 'a token'), call.session);
    if (grant === undefined) {
      throw new NotLockOwnerError(`${this.title} is not held by this guard any more; its grant has ended`);
    }
    this.end(grant);
  }

  /** Joins those who wait with a call that is parked already: it is granted, or waits, whatever comes. */
  join(call: Call, weight: number, lease: number | undefined, granted: Granted): void {
    if (this.#open(weight)) {
      this.#answer({ call, weight, granted, lease });
    } else {
      this.#wait({ call, weight, granted, lease });
      breakCycles(this);
    }
  }

  override dropped(reason: Error): void {
    for (let next = this.#waiters.shift(); next !== undefined; next = this.#waiters.shift()) next.call.fail(reason);
  }

  protected get free(): number {
    return this.capacity - this.#used;
  }

  protected get waiting(): number {
    return this.#waiters.size;
  }

  /** `lease`: of the task's attempt that asks. */
  protected ask(call: Call, weight: number, lease: Item): Answer {
    const of = leaseOf(lease);
    if (this.#open(weight)) return this.#grant(call.session, weight, of).token;
    if (call.held) throw new DeadlockError(`${this.title} is taken, and a held object must not wait`);
    refuseCycle(call, this);
    return this.#wait({ call, weight, granted: (token) => token, lease: of });
  }

  protected askNow(call: Call, weight: number, lease: Item): Answer {
    return this.#open(weight) ? this.#grant(call.session, weight, leaseOf(lease)).token : undefined;
  }

  /** So much of the grant is free again, all of it by default. */
  protected end(grant: Grant, weight = grant.weight): void {
    grant.weight -= weight;
    this.#used -= weight;
    if (grant.weight === 0) {
      grant.over = true;
      grant.forget();
      this.#grants.delete(grant.token);
    }
    this.pass();
  }

  /** Whoever is next, and fits, has it. */
  protected pass(): void {
    for (let next = this.#waiters.peek(); next !== undefined && this.free >= next.weight; next = this.#waiters.peek()) {
      this.#waiters.shift();
      this.#answer(next);
    }
    if (this.#waiters.size > 0) breakCycles(this);
  }

  #answer({ call, weight, granted, lease }: Waiter): void {
    let token: number;
    try {
      token = this.#grant(call.session, weight, lease).token;
    } catch (error) {
      call.fail(error);
      return;
    }
    call.answer(granted(token));
  }

  #open(weight: number): boolean {
    return this.#waiters.size === 0 && this.free >= weight;
  }

  #wait(waiter: Waiter): Answer {
    const { call, lease } = waiter;
    const unbind =
      lease === undefined ? undefined : call.session.bind(lease, () => call.refuse(attemptEnded(this)), true);
    const leave = this.#waiters.add(waiter);
    call.waitsFor = this;
    return call.park(() => {
      unbind?.();
      // One who needed much may have stood before others who need less.
      if (leave()) this.pass();
    }, unbind);
  }

  #grant(session: Session, weight: number, lease: number | undefined): Grant {
    const { manager } = session;
    const grant = new Grant(this, session, manager.nextGrant(), weight);
    const broken = (): void => {
      if (grant.over) return;
      manager.tellHolders(this.shown, 'lockBroken', [session.peer.pid, session.peer.name, grant.token]);
      this.end(grant);
    };
    const unbind = lease === undefined ? undefined : session.bind(lease, broken, false);
    session.holdings.add(broken);
    grant.forget = () => {
      session.holdings.delete(broken);
      unbind?.();
    };
    this.#used += weight;
    this.#grants.set(grant.token, grant);
    return grant;
  }

  /** The object that clients know it by. */
  protected get shown(): SharedObject {
    return this;
  }
}

/** Who waited for the object belonged to an attempt that is over. */
export function attemptEnded({ title }: SharedObject): LeaseLostError {
  return new LeaseLostError(`the attempt that waited for ${title} has ended`);
}

function leaseOf(item: Item): number | undefined {
  return item === undefined ? undefined : countOf(item, 'a lease', 1);
}
