/** What a connection keeps of a call until its answer has come. Each kind of call listens to the frames that can answer it. */
import { ProtocolError } from '../errors.ts';
import type { Item, Reader } from '../protocol/wire.ts';

export abstract class Pending {
  /** Ends the watch over its signal and timeout, if it has one. */
  endWatch: (() => void) | undefined = undefined;

  /** Whether it keeps the process alive. */
  get waits(): boolean {
    return true;
  }

  /** Each returns whether the call is over with it. */
  result(_item: Item): boolean {
    throw unexpected('a result');
  }
  done(): boolean {
    throw unexpected('an empty answer');
  }
  accepted(_number: number): boolean {
    throw unexpected('an acceptance');
  }
  outcome(_succeeded: boolean, _reader: Reader): boolean {
    throw unexpected('an outcome');
  }
  taken(_count: number): boolean {
    throw unexpected('the end of a take');
  }
  report(_item: Item): void {}
  /** Its caller no longer waits. Returns whether it still listens to the answer, which must then come. */
  abandoned(): boolean {
    return false;
  }
  abstract failed(error: Error): void;
}

function unexpected(what: string): ProtocolError {
  return new ProtocolError(`the manager answered a call with ${what}, which is none of its answers`);
}

/** A call that resolves with what the manager says. */
export class PendingCall extends Pending {
  readonly #resolve: (item: Item) => void;
  readonly #reject: (error: unknown) => void;

  constructor(resolve: (item: Item) => void, reject: (error: unknown) => void) {
    super();
    this.#resolve = resolve;
    this.#reject = reject;
  }

  override result(item: Item): boolean {
    this.#resolve(item);
    return true;
  }

  override done(): boolean {
    this.#resolve(undefined);
    return true;
  }

  override failed(error: Error): void {
    this.#reject(error);
  }
}
