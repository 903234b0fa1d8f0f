/** A lock that knows its owner. */
import type { Item } from '../../protocol/wire.ts';
import { checkOptions } from '../arguments.ts';
import type { Answer, Call } from '../call.ts';
import type { Session } from '../session.ts';
import type { Made, SharedObject } from '../shared-object.ts';
import { type Grant, Grantor } from './grantor.ts';

export class Lock extends Grantor {
  /** Of a condition's own lock: the condition. */
  readonly #shown: SharedObject;

  constructor(made: Made, options: ReadonlyMap<string, Item>, shown?: SharedObject) {
    super(made);
    this.#shown = shown ?? this;
    this.attach(options);
  }

  attach(options: ReadonlyMap<string, Item>): void {
    checkOptions('a lock', options, []);
  }

  acquire(call: Call, [lease]: readonly Item[]): Answer {
    return this.ask(call, 1, lease);
  }

  tryAcquire(call: Call, [lease]: readonly Item[]): Answer {
    return this.askNow(call, 1, lease);
  }

  locked(): Answer {
    return this.#grant !== undefined;
  }

  /** Who holds it: [session, pid, name, token]. */
  owner(): Answer {
    const grant = this.#grant;
    if (grant === undefined) return undefined;
    const { session, token } = grant;
    return [session.id, session.peer.pid, session.peer.name, token];
  }

  snapshot(): Answer {
    return this.locked();
  }

  heldBy(session: Session): boolean {
    return this.#grant?.session === session;
  }

  /** Whether clients know it as that object. */
  shownBy(object: SharedObject): boolean {
    return this.#shown === object;
  }

  protected get capacity(): number {
    return 1;
  }

  protected override get shown(): SharedObject {
    return this.#shown;
  }

  get #grant(): Grant | undefined {
    return this.owners().next().value as Grant | undefined;
  }
}
