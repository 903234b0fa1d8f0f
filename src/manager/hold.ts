/**
 * `withLock`: one object for one flow of one session, over several calls. Only calls through the hold's own handle
 * enter. It ends when the flow says so, when its session ends, or when its time is up.
 */
import { NotLockOwnerError } from '../errors.ts';
import { Gate } from './gate.ts';
import type { Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';

export class Hold {
  readonly #object: SharedObject;
  readonly #release: () => void;
  readonly #timeout: number;
  /** Among the calls of the hold itself, for methods that await. */
  readonly gate: Gate;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  /** The handle that was held: what the session knows the object by otherwise. */
  readonly handle: number;

  /** `timeout` in ms; 0 for none. */
  constructor(object: SharedObject, session: Session, handle: number, release: () => void, timeout: number) {
    this.handle = handle;
    this.#object = object;
    this.#release = release;
    this.#timeout = timeout;
    this.gate = new Gate(session.manager.newMutex);
    object.holder = session;
    if (timeout > 0) this.#timer = setTimeout(() => this.end(), Math.min(timeout, 0x7fff_ffff));
  }

  get over(): boolean {
    return this.#over;
  }

  /** Throws where the hold has ended. */
  check(): void {
    if (!this.#over) return;
    const why = this.#timeout > 0 ? `; its holdTimeout is ${this.#timeout} ms` : '';
    throw new NotLockOwnerError(`the hold on ${this.#object.title} has ended${why}`);
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    // A method that awaits has the object until it settles, also past the hold that it was called through.
    if (this.gate.free) this.#letGo();
    else void this.gate.acquire().then(() => this.#letGo());
  }

  #letGo(): void {
    this.#object.holder = undefined;
    // Before the next in line gets the object: whoever was parked while it was held.
    this.#object.served();
    this.#release();
  }
}
