/**
 * Objects on loan to a session: named in values that are on their way to its client, which has no handle on them yet.
 * The value may be gone from where it was stored by then; the loan is what keeps the object.
 *
 *     manager                                    client
 *       RESULT, OUTCOME, … with proxies    ──▶
 *       LENT, once the turn is over        ──▶   opens a handle for each proxy that somebody reads
 *                                          ◀──   RETURNED, once all that came before LENT has been read
 *
 * So a value that nobody reads gives its loan back all the same. Only one LENT is under way at a time, and an object is
 * in a batch once: a client that never answers makes the manager keep two references for each object, and no more.
 */
import { ProtocolError } from '../errors.ts';
import { ToClient } from '../protocol/messages.ts';
import type { Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';

export class Loans {
  readonly #session: Session;
  /** No LENT has been sent for these. */
  #next = new Set<SharedObject>();
  /** Of the LENT that is under way. */
  #told: ReadonlySet<SharedObject> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  lend(object: SharedObject): void {
    // The name keeps a named one.
    if (object.name !== undefined || object.gone || this.#session.ended || this.#next.has(object)) return;
    object.references++;
    this.#next.add(object);
    if (this.#told === undefined) this.#session.manager.later(this.#tell);
  }

  /** The client has read all that came before LENT. */
  returned(): void {
    const returned = this.#told;
    if (returned === undefined) throw new ProtocolError('a client returned objects that it was not lent');
    this.#told = undefined;
    this.#release(returned);
    if (this.#next.size > 0) this.#tell();
  }

  /** The session has ended. */
  end(): void {
    if (this.#told !== undefined) this.#release(this.#told);
    this.#release(this.#next);
    this.#told = undefined;
    this.#next = new Set();
  }

  readonly #tell = (): void => {
    const session = this.#session;
    if (session.ended || this.#told !== undefined || this.#next.size === 0) return;
    this.#told = this.#next;
    this.#next = new Set();
    session.link.end(session.link.begin(ToClient.LENT));
  };

  #release(objects: Iterable<SharedObject>): void {
    for (const object of objects) this.#session.manager.release(object);
  }
}
