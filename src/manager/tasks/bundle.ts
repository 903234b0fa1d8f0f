/** Inputs of a `map` that came together, by one call: where their bytes are, and what has become of them. */
import { ProtocolError } from '../../errors.ts';
import type { Reader } from '../../protocol/wire.ts';
import type { Inputs } from '../../queue/part.ts';
import type { Task } from '../../queue/task.ts';
import type { Call } from '../call.ts';
import type { PutOptionItems } from './put-options.ts';

export class Bundle implements Inputs {
  /** Parked until each has its outcome: whoever maps leaves by its cancel. */
  readonly call: Call;
  readonly name: string;
  readonly options: PutOptionItems;
  /** How many of them with one lease; 0: as many as is best. */
  readonly chunk: number;
  readonly count: number;
  readonly #bytes: Buffer;
  /** Where each begins, and where the last ends. */
  readonly #offsets: Uint32Array;
  /** So many have become tasks; the others wait for room. */
  admitted = 0;
  /** So many have no outcome yet. */
  left: number;
  /** The tasks that stand for them and have not ended. */
  readonly tasks = new Set<Task>();
  /** Takes it out of the line of those who wait for room. */
  leaveLine: (() => void) | undefined = undefined;

  /** Reads them, up to the end of the entry. */
  constructor(call: Call, name: string, options: PutOptionItems, reader: Reader, end: number) {
    this.call = call;
    this.name = name;
    this.options = options;
    this.count = this.left = reader.u32();
    this.chunk = reader.u32();
    const { position } = reader;
    // Each takes a byte at least: a count beyond that is a lie.
    if (this.count < 1 || this.count > end - position) {
      throw new ProtocolError(`a put claims ${this.count} inputs in ${end - position} bytes`);
    }
    this.#offsets = new Uint32Array(this.count + 1);
    for (let i = 0; i < this.count;) {
      reader.skip();
      this.#offsets[++i] = reader.position - position;
    }
    reader.endEntry(end);
    this.#bytes = Buffer.from(reader.buffer.subarray(position, end));
  }

  cut(from: number, to: number): Buffer {
    return this.#bytes.subarray(this.#offsets[from], this.#offsets[to]);
  }

  bytes(from: number, to: number): number {
    return (this.#offsets[to] as number) - (this.#offsets[from] as number);
  }
}
