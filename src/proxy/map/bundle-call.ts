/** Inputs of a map that were put by one call, while some of them have no outcome. */
import { decodeFrom } from '../../protocol/codec.ts';
import { errorFrom } from '../../protocol/errors.ts';
import { Outcome } from '../../protocol/messages.ts';
import type { Reader } from '../../protocol/wire.ts';
import type { Connection } from '../connection.ts';
import { Pending } from '../pending.ts';
import { Failure } from './results.ts';

/** Whose inputs they are. */
export interface Receiver {
  readonly connection: Connection;
  /** Name of the queue. */
  readonly queue: string;
  /** The input of that index has come to this: an output, or a `Failure`. */
  came(index: number, result: unknown): void;
  /** So many have, by one message of so many bytes. */
  heard(count: number, bytes: number): void;
  over(call: BundleCall): void;
}

export class BundleCall extends Pending {
  /** Number of the call. */
  id = 0;
  readonly #receiver: Receiver;
  readonly #first: number;
  /** By place: 1 once it has an outcome. */
  readonly #done: Uint8Array;
  #left: number;

  /** `first`: index of its first input. */
  constructor(receiver: Receiver, first: number, count: number) {
    super();
    this.#receiver = receiver;
    this.#first = first;
    this.#done = new Uint8Array(count);
    this.#left = count;
  }

  /** Whoever reads them keeps the process alive. */
  override get waits(): boolean {
    return false;
  }

  override get queue(): string {
    return this.#receiver.queue;
  }

  override items(reader: Reader): boolean {
    const at = reader.u32();
    const count = reader.u32();
    const succeeded = reader.u8() === Outcome.succeeded;
    const { codec, arenas } = this.#receiver.connection;
    const outputs = succeeded ? arenas.rest(reader) : reader;
    const bytes = outputs.left;
    const failure = succeeded ? undefined : new Failure(errorFrom(reader.item(), codec));
    for (let place = at; place < at + count; place++) {
      this.#settle(place, failure ?? this.#read(outputs));
    }
    this.#receiver.heard(count, bytes);
    if (this.#left > 0) return false;
    this.#receiver.over(this);
    return true;
  }

  /** None of those without an outcome will have one. */
  override failed(error: Error): void {
    const failure = new Failure(error);
    const { length } = this.#done;
    for (let place = 0; place < length; place++) this.#settle(place, failure);
    this.#receiver.heard(length, 0);
    this.#receiver.over(this);
  }

  #settle(place: number, result: unknown): void {
    if (this.#done[place] !== 0) return;
    this.#done[place] = 1;
    this.#left--;
    this.#receiver.came(this.#first + place, result);
  }

  #read(reader: Reader): unknown {
    const { buffer, position, left } = reader;
    try {
      return decodeFrom(reader, this.#receiver.connection.codec);
    } catch (error) {
      reader.reset(buffer, position, position + left);
      reader.skip();
      return new Failure(error);
    }
  }
}
