/** Inputs of a map on their way to the queue: encoded one by one, put together in bundles. */
import { encodeTo } from '../../protocol/codec.ts';
import { PutFlags, ToManager } from '../../protocol/messages.ts';
import { type Item, Writer } from '../../protocol/wire.ts';
import type { TaskCalls } from '../task-calls.ts';
import { BundleCall, type Receiver } from './bundle-call.ts';

/** Most inputs of a bundle, and the bytes from which on it takes no more. */
const MOST = 4096;
const FULL = 16_000;
/** The same where the size of chunks was chosen, and a bundle holds whole ones. */
const FULL_OF_CHUNKS = 256_000;

export class Inputs {
  readonly #calls: TaskCalls;
  readonly #receiver: Receiver;
  readonly #name: string;
  readonly #options: Item | undefined;
  /** 0: the manager sees to that. */
  readonly #chunk: number;
  readonly #most: number;
  readonly #full: number;
  readonly #writer = new Writer();
  /** Of what is in the writer: index of the first, how many. */
  #first = 0;
  #count = 0;

  constructor(calls: TaskCalls, receiver: Receiver, name: string, options: Item | undefined, chunk: number) {
    this.#calls = calls;
    this.#receiver = receiver;
    this.#name = name;
    this.#options = options;
    this.#chunk = chunk;
    this.#most = chunk === 0 ? MOST : chunk * Math.max(1, Math.floor(MOST / chunk));
    this.#full = chunk === 0 ? FULL : FULL_OF_CHUNKS;
  }

  /**
   * The input of that index goes into a bundle. Returns the bundle that is put by that, if one is; false where the input
   * names proxies or jobs and cannot go with others. @throws UnserializableError
   */
  add(index: number, input: unknown): Sent | false | undefined {
    const writer = this.#writer;
    const start = writer.length;
    try {
      if (encodeTo(writer, input, this.#calls.connection.codec, 'input')) {
        writer.cut(start);
        return false;
      }
    } catch (error) {
      writer.cut(start);
      throw error;
    }
    // A large one is by itself: what is wrong with its size is not the others' fault.
    const before = this.#count > 0 && writer.length - start > this.#full ? this.#put(start) : undefined;
    if (this.#count === 0) this.#first = index;
    this.#count++;
    if (before !== undefined) return before;
    return this.#count >= this.#most || writer.length >= this.#full ? this.send() : undefined;
  }

  /** Puts what is there. */
  send(): Sent | undefined {
    return this.#count === 0 ? undefined : this.#put(this.#writer.length);
  }

  /** Those up to `end` in the writer. */
  #put(end: number): Sent {
    const bytes = this.#writer.takeUntil(end);
    const count = this.#count;
    const call = new BundleCall(this.#receiver, this.#first, count);
    this.#count = 0;
    try {
      this.#write(call, count, bytes);
    } catch (error) {
      call.failed(error as Error);
    }
    return { call, count, bytes: bytes.length };
  }

  #write(call: BundleCall, count: number, bytes: Buffer): void {
    const { connection, handle } = this.#calls;
    connection.handles.check(handle);
    const name = connection.nameIndex(this.#name);
    call.id = connection.begin(call);
    const { link } = connection;
    link.beginEntry(ToManager.PUT, handle);
    const { writer } = link;
    try {
      writer.u32(call.id);
      writer.u8(PutFlags.items | PutFlags.run | (this.#options === undefined ? 0 : PutFlags.options));
      writer.u16(name);
      if (this.#options !== undefined) writer.item(this.#options);
      writer.u32(count);
      writer.u32(this.#chunk);
      writer.raw(bytes);
    } catch (error) {
      connection.dropEntry(call.id);
      throw error;
    }
    connection.finishEntry(call.id);
  }
}

/** A bundle that was put. */
export interface Sent {
  readonly call: BundleCall;
  readonly count: number;
  readonly bytes: number;
}
