/**
 * A condition: flows that hold its lock wait for others to say that something has changed. Waiting gives the lock up and
 * takes it again before it ends, whatever ended it. The lock is one of its own, or the one that it was made with.
 */
import { NotLockOwnerError, TypeMismatchError } from '../../errors.ts';
import { type Item, Packed } from '../../protocol/wire.ts';
import { checkOptions, countOf } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import { ObjectRef } from '../references.ts';
import { type Made, SharedObject } from '../shared-object.ts';
import { WaitList } from '../wait-list.ts';
import { attemptEnded } from './grantor.ts';
import { Lock } from './lock.ts';

interface Waiting {
  readonly call: Call;
  /** The grant that it gave up: what it is known by. */
  readonly token: number;
  readonly lease: number | undefined;
  readonly leave: () => void;
}

export class Condition extends SharedObject {
  readonly #lock: Lock;
  readonly #waiting = new WaitList<Waiting>();
  readonly #byToken = new Map<number, Waiting>();

  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made);
    const given = lockOf(options);
    this.#lock = given ?? new Lock(made, new Map(), this);
    if (given !== undefined) this.keepObject(given);
  }

  override get grantor(): Lock {
    return this.#lock;
  }

  attach(options: ReadonlyMap<string, Item>): void {
    const given = lockOf(options);
    if (given !== undefined && given !== this.#lock) {
      throw new TypeMismatchError(`${this.title} belongs to another lock than ${given.title}`);
    }
  }

  acquire(call: Call, args: readonly Item[]): Answer {
    return this.#lock.acquire(call, args);
  }

  tryAcquire(call: Call, args: readonly Item[]): Answer {
    return this.#lock.tryAcquire(call, args);
  }

  release(call: Call, args: readonly Item[]): Answer {
    return this.#lock.release(call, args);
  }

  locked(): Answer {
    return this.#lock.locked();
  }

  owner(): Answer {
    return this.#lock.owner();
  }

  /** Answers, when the lock is held again, [the new grant, whether it was notified]. */
  wait(call: Call, [token, lease]: readonly Item[]): Answer {
    const at = countOf(token, 'a token');
    if (!this.#lock.holds(at, call.session)) {
      throw new NotLockOwnerError(`only a guard that holds ${this.#lock.title} can wait for ${this.title}`);
    }
    const of = lease === undefined ? undefined : countOf(lease, 'a lease', 1);
    const unbind = of === undefined ? undefined : call.session.bind(of, () => call.refuse(attemptEnded(this)), true);
    const left = (): void => {
      remove();
      this.#byToken.delete(at);
      unbind?.();
    };
    const waiting: Waiting = { call, token: at, lease: of, leave: left };
    const remove = this.#waiting.add(waiting);
    this.#byToken.set(at, waiting);
    this.#lock.release(call, [at]);
    return call.park(left);
  }

  /** Whoever waited with that grant waits no more but for the lock. */
  giveUp(call: Call, [token]: readonly Item[]): Answer {
    const waiting = this.#byToken.get(countOf(token, 'a token'));
    if (waiting?.call.session === call.session) this.#goOn(waiting, false);
  }

  /** Answers how many go on. */
  notify(call: Call, [count]: readonly Item[]): Answer {
    if (!this.#lock.heldBy(call.session)) {
      throw new NotLockOwnerError(`only whoever holds ${this.#lock.title} can notify ${this.title}`);
    }
    const most = count === undefined ? Infinity : countOf(count, 'how many to notify', 0);
    let told = 0;
    for (let next = this.#waiting.peek(); next !== undefined && told < most; next = this.#waiting.peek()) {
      this.#goOn(next, true);
      told++;
    }
    return told;
  }

  snapshot(): Answer {
    return [this.#lock.locked() as boolean, this.#waiting.size];
  }

  override dropped(reason: Error): void {
    for (const { call } of [...this.#waiting]) call.fail(reason);
    if (this.#lock.shownBy(this)) this.#lock.dropped(reason);
  }

  #goOn(waiting: Waiting, notified: boolean): void {
    const { call, lease } = waiting;
    waiting.leave();
    // To be rejected would be to go on without the lock that the flow counts on.
    call.refusable = false;
    this.#lock.join(call, 1, lease, (granted) => [granted, notified]);
  }
}

/** The lock that the options name, if they name one. */
function lockOf(options: ReadonlyMap<string, Item>): Lock | undefined {
  checkOptions('a condition', options, ['lock']);
  const given = options.get('lock');
  if (given === undefined) return undefined;
  const [ref] = given instanceof Packed ? given.proxies : [];
  if (ref instanceof ObjectRef && ref.object instanceof Lock) return ref.object;
  throw new TypeError('the lock of a condition must be a proxy of a lock or a re-entrant lock');
}
