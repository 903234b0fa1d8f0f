/** What every shared object has in common. Its methods are those of its class, listed in protocol/messages.ts. */
import type { Item } from '../protocol/wire.ts';
import type { Answer, Call } from './call.ts';
import type { ManagerCore } from './core.ts';
import { Gate } from './gate.ts';
import type { Hold } from './hold.ts';
import type { Grantor } from './objects/grantor.ts';
import type { Owner } from './wait-for.ts';
import { eachNamed, mayName } from './references.ts';

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
  /** Of sessions: handles, loans, arguments of calls under way. */
  references = 0;
  /** Of values that objects store. Unnamed and without either, or in a cycle that nothing leads to, it ends. */
  stored = 0;
  /** It has ended: nobody finds it any more, and what is still done to it has no effect on others. */
  gone = false;
  readonly #manager: ManagerCore;
  /** The objects that its own values name, and how often: made for the first of them. */
  #names: Map<SharedObject, number> | undefined;

  constructor(made: Made) {
    this.id = made.id;
    this.type = made.type;
    this.name = made.name;
    this.gate = new Gate(made.manager.newMutex);
    this.#manager = made.manager;
  }

  /** The objects that values stored here name, and how often. */
  get names(): Iterable<[SharedObject, number]> {
    return this.#names ?? nothing;
  }

  /** The same, for the last time: it holds on to them no more. */
  forget(): Iterable<[SharedObject, number]> {
    const { names } = this;
    this.#names = undefined;
    return names;
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

  /** A value named an object: what leaves must be let go of. */
  protected get keepsObjects(): boolean {
    return this.#names !== undefined;
  }

  /** The value is stored here from now on: the objects that it names live as long as it is. */
  protected keep(value: Item): void {
    if (mayName(value)) this.#keepNamed(value);
  }

  /** A value that `keep` was told of is stored here no longer. */
  protected letGo(value: Item): void {
    if (this.#names !== undefined && mayName(value)) this.#letGoNamed(value);
  }

  /** Nothing is stored here any more. */
  protected letGoOfAll(): void {
    for (const [object, times] of this.forget()) this.#unnamed(object, times);
  }

  #keepNamed(value: Item): void {
    eachNamed(value, (object) => this.keepObject(object));
  }

  #letGoNamed(value: Item): void {
    eachNamed(value, (object) => this.letGoOfObject(object));
  }

  /** Something stored here names the object once more. */
  protected keepObject(object: SharedObject): void {
    if (this.gone || object.gone) return;
    const names = (this.#names ??= new Map<SharedObject, number>());
    names.set(object, (names.get(object) ?? 0) + 1);
    object.stored++;
  }

  /** Once less. */
  protected letGoOfObject(object: SharedObject): void {
    const names = this.#names;
    const times = names?.get(object);
    if (names === undefined || times === undefined) return;
    if (times > 1) names.set(object, times - 1);
    else if (names.size > 1) names.delete(object);
    else this.#names = undefined;
    this.#unnamed(object, 1);
  }

  #unnamed(object: SharedObject, times: number): void {
    object.stored -= times;
    this.#manager.collector.doubt(object);
  }

  /** Somebody holds the object: what the call wants done is done at its turn, unless its caller leaves before. `named`: what must live until then. */
  protected inTurn(call: Call, access: () => void, named?: unknown): void {
    if (mayName(named)) call.keep(named);
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

const nothing: readonly never[] = [];

/** What a factory needs to make one. */
export interface Made {
  readonly id: number;
  readonly type: ObjectType;
  readonly name: string | undefined;
  readonly manager: ManagerCore;
}
