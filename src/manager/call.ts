/** One call of a client while the manager has not answered it yet. */
import { ProtocolError } from '../errors.ts';
import { ToClient } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { Gate } from './gate.ts';
import type { Hold } from './hold.ts';
import type { Session } from './session.ts';

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
  /** Of a call that may go on after its first access: the hold that it came through. */
  hold: Hold | undefined = undefined;
  #cancel: (() => void) | undefined;
  #over = false;

  constructor(session: Session, id: number, held: boolean) {
    this.session = session;
    this.id = id;
    this.held = held;
  }

  /** Answered, cancelled by its caller, or its session has ended. */
  get over(): boolean {
    return this.#over;
  }

  /** The call waits; `cancel` takes it out of wherever it waits, should its caller leave first. */
  park(cancel: () => void): typeof PARKED {
    this.#cancel = cancel;
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
    this.#cancel?.();
  }

  answer(item: Item | void): void {
    if (!this.settled()) return;
    const { link } = this.session;
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
    const start = link.begin(ToClient.PROGRESS);
    link.writer.u32(this.id);
    link.writer.item(item);
    link.end(start);
  }

  fail(error: unknown): void {
    if (this.settled()) this.session.failed(this.id, error);
  }

  /** It is answered by a frame of another kind. False where it was over before. */
  settled(): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#cancel !== undefined) this.#unpark();
    return true;
  }

  #unpark(): void {
    const { parked } = this.session;
    if (parked.get(this.id) === this) parked.delete(this.id);
  }
}

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
