/**
 * A lock that knows its owner. The owner is the grant (a guard of one flow), the session its lifetime; every grant has
 * a token that is larger than all before it. Waiters are first come, first served, and leave in O(1).
 */
import { DeadlockError, NotLockOwnerError } from '../../errors.ts';
import type { Item } from '../../protocol/wire.ts';
import { checkOptions, countOf } from '../arguments.ts';
import { type Answer, type Call } from '../call.ts';
import type { Session } from '../session.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { WaitList } from '../wait-list.ts';

interface Grant {
  readonly token: number;
  readonly session: Session;
  readonly forget: () => void;
}

export class Lock extends SharedObject {
  readonly #waiters = new WaitList<Call>();
  #grant: Grant | undefined;

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a lock', options, []);
  }

  acquire(call: Call): Answer {
    if (this.#grant === undefined) return this.#grantTo(call);
    if (call.held) throw new DeadlockError(`${this.title} is taken, and a held object must not wait`);
    const leave = this.#waiters.add(call);
    return call.park(leave);
  }

  tryAcquire(call: Call): Answer {
    return this.#grant === undefined ? this.#grantTo(call) : undefined;
  }

  release(call: Call, [token]: readonly Item[]): Answer {
    if (this.#grant === undefined || !this.holds(countOf(token, 'a token'), call.session)) {
      throw new NotLockOwnerError(`${this.title} is not held by this guard any more; its grant has ended`);
    }
    this.#grant.forget();
    this.#pass();
  }

  locked(): Answer {
    return this.#grant !== undefined;
  }

  /** Who holds it: [session, pid, name, token]. */
  owner(): Answer {
    if (this.#grant === undefined) return undefined;
    const { session, token } = this.#grant;
    return [session.id, session.peer.pid, session.peer.name, token];
  }

  snapshot(): Answer {
    return this.#grant !== undefined;
  }

  /** Whether that session still holds that very grant. */
  holds(token: number, session: Session): boolean {
    return this.#grant?.token === token && this.#grant.session === session;
  }

  override dropped(reason: Error): void {
    for (let call = this.#waiters.shift(); call !== undefined; call = this.#waiters.shift()) call.fail(reason);
  }

  #grantTo(call: Call): number {
    const { session } = call;
    const token = session.manager.nextGrant();
    const broken = (): void => {
      session.manager.tellHolders(this, 'lockBroken', [session.peer.pid, session.peer.name, token]);
      this.#pass();
    };
    session.holdings.add(broken);
    this.#grant = { token, session, forget: () => session.holdings.delete(broken) };
    return token;
  }

  #pass(): void {
    this.#grant = undefined;
    const next = this.#waiters.shift();
    if (next !== undefined) next.answer(this.#grantTo(next));
  }
}
