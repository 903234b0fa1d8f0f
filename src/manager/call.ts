/** One call of a client while the manager has not answered it yet. */
import { ProtocolError } from '../errors.ts';
import { ToClient } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { Gate } from './gate.ts';
import { eachNamed } from './references.ts';
import type { Hold } from './hold.ts';
import type { Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';
import { type Blocker, blocks, breakCycles, type Owner, unblocks } from './wait-for.ts';

/** What a method returns that will answer later. */
export const PARKED = Symbol('parked');
export type Answer = Item | void | typeof PARKED;

export class Call {
  readonly session: Session;
  readonly id: number;
  /** It came through a hold on the object: it enters while others wait, and must not wait itself. */
  readonly held: boolean;
  /** Of a write that counts only while a grant is held: throws once it is not. */
  guard: (() => void) | undefined = undefined;
  /** What its flow holds, as far as it has said. */
  holding: readonly Owner[] = nothing;
  /** What it waits for, where that has owners. */
  waitsFor: Blocker | undefined = undefined;
  /** May be rejected to break a deadlock. */
  refusable = true;
  /** When it began to wait, counted over all calls. */
  began = 0;
  /** The same on the monotonic clock (ms). */
  since = 0;
  /** On which it was made; not known of calls that have frames of their own. */
  object: SharedObject | undefined = undefined;
  /** Of a call that may go on after its first access: the hold that it came through. */
  hold: Hold | undefined = undefined;
  #cancel: (() => void) | undefined;
  #answered: (() => void) | undefined;
  #over = false;
  /** What its arguments name lives until it is over. */
  #kept: SharedObject[] | undefined = undefined;

  constructor(session: Session, id: number, held: boolean) {
    this.session = session;
    this.id = id;
    this.held = held;
  }

  /** Answered, cancelled by its caller, or its session has ended. */
  get over(): boolean {
    return this.#over;
  }

  /** The argument is kept by the call, until it is over, and by whatever stores it. */
  keep(argument: Item): void {
    eachNamed(argument, (object) => {
      object.references++;
      (this.#kept ??= []).push(object);
    });
  }

  /**
   * The call waits; `cancel` takes it out of wherever it waits, should its caller leave first. `answered` is called
   * where it ends in another way.
   */
  park(cancel: () => void, answered?: () => void): typeof PARKED {
    this.#cancel = cancel;
    this.#answered = answered;
    if (this.began === 0) {
      this.began = ++waits;
      this.since = performance.now();
    }
    if (this.holding.length > 0) blocks(this);
    const { parked, link } = this.session;
    const other = parked.get(this.id);
    parked.set(this.id, this);
    if (other !== undefined && other !== this) {
      // Two calls of one number: only one could be found again when the session ends.
      other.cancelled();
      link.close(new ProtocolError(`call ${this.id} is under way already`));
    }
    return PARKED;
  }

  /** Asked when the call's turn comes after a wait: false, and told to the caller, where its grant has ended meanwhile. */
  stillGuarded(): boolean {
    try {
      this.guard?.();
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  /** Its caller no longer waits. */
  cancelled(): void {
    if (this.#over) return;
    this.#over = true;
    this.#unpark();
    if (this.#kept !== undefined) this.#letGo();
    this.#cancel?.();
  }

  answer(item: Item | void): void {
    if (!this.settled()) return;
    const { link } = this.session;
    this.session.lendNamed(item as Item);
    if (item === undefined) {
      this.session.done(this.id);
      return;
    }
    const start = link.begin(ToClient.RESULT);
    link.writer.u32(this.id);
    link.writer.item(item);
    try {
      link.end(start);
    } catch (error) {
      this.session.failed(this.id, error);
    }
  }

  /** Something on the way to the answer. */
  report(item: Item): void {
    const { link } = this.session;
    this.session.lendNamed(item);
    const start = link.begin(ToClient.PROGRESS);
    link.writer.u32(this.id);
    link.writer.item(item);
    link.end(start);
  }

  fail(error: unknown): void {
    if (this.settled()) this.session.failed(this.id, error);
  }

  /** It waits no more: what it waits for cannot come. */
  refuse(error: unknown): void {
    if (this.#over) return;
    this.cancelled();
    this.session.failed(this.id, error);
  }

  /** It is answered by a frame of another kind. False where it was over before. */
  settled(): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#cancel !== undefined) {
      this.#unpark();
      this.#answered?.();
    }
    if (this.#kept !== undefined) this.#letGo();
    return true;
  }

  /** Of its flow only those wait now whose waits may be hopeless. */
  #otherWaits(): void {
    for (const owner of this.holding) {
      for (const { waitsFor } of owner.over ? [] : [...(owner.blocked ?? [])]) {
        if (waitsFor !== undefined) breakCycles(waitsFor);
      }
    }
  }

  #letGo(): void {
    const kept = this.#kept as SharedObject[];
    this.#kept = undefined;
    for (const object of kept) this.session.manager.release(object);
  }

  #unpark(): void {
    const { parked } = this.session;
    if (parked.get(this.id) === this) parked.delete(this.id);
    if (this.holding.length > 0 && unblocks(this)) this.session.manager.later(() => this.#otherWaits());
  }
}

/** Shared by all calls whose flows hold nothing. */
const nothing: readonly Owner[] = [];
let waits = 0;

/** An access that answers in its own turn, or parks the call. */
export function answerNow(call: Call, invoke: () => Answer | Promise<Answer>): void {
  try {
    const answer = invoke();
    if (answer !== PARKED) call.answer(answer as Item | void);
  } catch (error) {
    call.fail(error);
  }
}

/** An access that may await, to an object that is free: where it does, it has taken the object before anybody else runs. */
export function answerFree(call: Call, invoke: () => Answer | Promise<Answer>, gate: Gate): void {
  let answer: Answer | Promise<Answer>;
  try {
    answer = invoke();
    if (!(answer instanceof Promise)) {
      if (answer !== PARKED) call.answer(answer);
      return;
    }
  } catch (error) {
    call.fail(error);
    return;
  }
  call.park(() => {});
  const release = gate.tryAcquire();
  void answerLater(call, () => answer).finally(release);
}

/** An access that may await: it keeps the object until it settles, even if its caller has gone meanwhile. */
export async function answerLater(call: Call, invoke: () => Answer | Promise<Answer>): Promise<void> {
  if (call.over) return;
  try {
    const answer = await invoke();
    if (answer !== PARKED) call.answer(answer);
  } catch (error) {
    call.fail(error);
  }
}
