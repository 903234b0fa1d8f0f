/** What every shared object has in common. Its methods are those of its class, listed in protocol/messages.ts. */
import type { Item } from '../protocol/wire.ts';
import type { Answer, Call } from './call.ts';
import type { ManagerCore } from './core.ts';
import { Gate } from './gate.ts';
import type { Hold } from './hold.ts';
import type { Grantor } from './objects/grantor.ts';
import type { Owner } from './wait-for.ts';

/** A method of a shared object as the manager calls it: checks its arguments, changes the object, answers. */
export type Method = (this: SharedObject, call: Call, args: readonly Item[]) => Answer | Promise<Answer>;

export interface ObjectType {
  readonly typeId: string;
  /** By number. */
  readonly methods: readonly Method[];
  readonly methodNames: readonly string[];
  /** Methods that may be called while somebody else holds the object. */
  readonly ungated: ReadonlySet<number>;
  /** Its methods may await: each takes the object for itself until it settles. */
  readonly awaits: boolean;
}

export abstract class SharedObject {
  readonly id: number;
  readonly type: ObjectType;
  readonly name: string | undefined;
  readonly gate: Gate;
  /** The hold that is on, if any: only its calls enter. */
  holder: Hold | undefined = undefined;
  /** Handles of sessions on it. An unnamed object without any is gone. */
  references = 0;
  /** A stored value names it: it stays. */
  pinned = false;

  constructor(made: Made) {
    this.id = made.id;
    this.type = made.type;
    this.name = made.name;
    this.gate = new Gate(made.manager.newMutex);
  }

  /** For messages: "dict 'jobs'". */
  get title(): string {
    return this.name === undefined ? `an unnamed ${this.type.typeId}` : `${this.type.typeId} '${this.name}'`;
  }

  /** Whose grants a guard given with a call is one of, where the object has any. */
  get grantor(): Grantor | undefined {
    return undefined;
  }

  /** Who has it to themselves now, as far as that is known: what a call that waits for its turn waits for. */
  owners(): Iterable<Owner> {
    return this.holder === undefined ? [] : [this.holder];
  }

  /** Somebody holds the object: what the call wants done is done at its turn, unless its caller leaves before. */
  protected inTurn(call: Call, access: () => void): void {
    call.waitsFor = this;
    call.park(() => {});
    this.gate.enter(
      () => {
        call.settled();
        access();
      },
      () => !call.over,
    );
  }

  /** Options of a later ask for the same name: throw where they differ from what is. */
  abstract attach(options: ReadonlyMap<string, Item>): void;

  /** A hold has ended: whoever was parked meanwhile is served. */
  served(): void {}

  /** The object has gone, with the manager or with its last reference: whoever waits is told. */
  dropped(_reason: Error): void {}
}

/** What a factory needs to make one. */
export interface Made {
  readonly id: number;
  readonly type: ObjectType;
  readonly name: string | undefined;
  readonly manager: ManagerCore;
}
