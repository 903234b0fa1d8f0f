/**
 * Trees to bytes and back, by @msgpack/msgpack: the one file that imports it. The library trusts what it reads: five
 * bytes make it allocate 256 MiB, and depth is bounded by nothing. So bytes are measured before it sees them.
 */
import { Decoder, Encoder, ExtData, type ExtensionCodecType } from '@msgpack/msgpack';
import { ProtocolError } from '../../errors.ts';
import * as form from './form.ts';
import { MAX_DEPTH, type MarkCode } from './form.ts';

/** First element of an array that stands for something else. */
export class Marked {
  readonly code: MarkCode;
  constructor(code: MarkCode) {
    this.code = code;
  }
}
/** What stands where another object goes: the number-th one of this value, of its proxies or of its jobs. */
export class Stand {
  readonly type: number;
  readonly index: number;
  constructor(type: number, index: number) {
    this.type = type;
    this.index = index;
  }
}
/** An element that an array does not have. */
export const hole: unique symbol = Symbol('hole');

const marks: readonly Marked[] = Object.values(form.Mark).map((code) => new Marked(code));
const byte = (value: number): Uint8Array => Uint8Array.of(value);

/** The tree's leaves and marks as the library takes them. */
export const written = {
  undefined: new ExtData(form.CONSTANT, byte(form.UNDEFINED)),
  negativeZero: new ExtData(form.CONSTANT, byte(form.NEGATIVE_ZERO)),
  hole: new ExtData(form.CONSTANT, byte(form.HOLE)),
  marks: marks.map(({ code }) => new ExtData(form.MARK, byte(code))),

  bigint(value: bigint): ExtData {
    const digits = (value < 0n ? -value : value).toString(16);
    const sign = value < 0n ? '01' : '00';
    return new ExtData(form.BIGINT, Buffer.from(sign + (digits.length % 2 === 0 ? '' : '0') + digits, 'hex'));
  },
  text(value: string): string | ExtData {
    return form.isExactText(value) ? value : new ExtData(form.UTF16, Buffer.from(value, 'utf16le'));
  },
  date(value: Date): ExtData {
    const data = Buffer.allocUnsafe(8);
    data.writeDoubleLE(value.getTime());
    return new ExtData(form.DATE, data);
  },
  url(value: URL): ExtData {
    return new ExtData(form.URL_TEXT, Buffer.from(value.href, 'utf8'));
  },
  stand(type: number, index: number): ExtData {
    const data = Buffer.allocUnsafe(4);
    data.writeUInt32LE(index);
    return new ExtData(type, data);
  },
};

let marked = false;

const extensions: ExtensionCodecType<undefined> = {
  tryToEncode: (value) => (value instanceof ExtData ? value : null),

  decode(data, type) {
    switch (type) {
      case form.CONSTANT:
        return readConstant(data);
      case form.BIGINT: {
        const size = BigInt(`0x${bufferOf(data).toString('hex', 1)}`);
        return data[0] === 1 ? -size : size;
      }
      case form.UTF16:
        return bufferOf(data).toString('utf16le');
      case form.DATE:
        return new Date(bufferOf(data).readDoubleLE());
      case form.URL_TEXT:
        return new URL(bufferOf(data).toString('utf8'));
      case form.MARK: {
        marked = true;
        const mark = marks[data[0] ?? -1];
        if (mark === undefined) throw new ProtocolError(`a payload has an unknown mark ${data[0]}`);
        return mark;
      }
      case form.REFERENCE:
      case form.PROXY:
      case form.JOB:
        marked = true;
        return new Stand(type, bufferOf(data).readUInt32LE());
      default:
        throw new ProtocolError(`a payload has an unknown extension ${type}`);
    }
  },
};

const bufferOf = (data: Uint8Array): Buffer => Buffer.from(data.buffer, data.byteOffset, data.length);

function readConstant(data: Uint8Array): unknown {
  switch (data[0]) {
    case form.UNDEFINED:
      return undefined;
    case form.NEGATIVE_ZERO:
      return -0;
    case form.HOLE:
      marked = true;
      return hole;
    default:
      throw new ProtocolError(`a payload has an unknown constant ${data[0]}`);
  }
}

/** An encoder's buffer grows and stays: after a payload over this size (bytes) it is thrown away. */
const KEPT = 1 << 16;

// The tree may stand one level deeper than the value; the library counts leaves as a level of their own.
const newEncoder = (): Encoder => new Encoder({ extensionCodec: extensions, maxDepth: MAX_DEPTH + 2 });
const newDecoder = (): Decoder => new Decoder({ extensionCodec: extensions });
let encoder = newEncoder();
let decoder = newDecoder();

/** Below this size (bytes), memory full of zeros costs less than memory as it comes. */
const FILLED = 1 << 12;

/** The tree's bytes and the blobs behind them, in memory of exactly that size which the caller owns. */
export function writeTree(tree: unknown, blobs: readonly Uint8Array[] = []): Uint8Array {
  const head = blobs.length === 0 ? encoder.encode(tree) : encoder.encodeSharedRef(tree);
  if (head.length > KEPT) encoder = newEncoder();
  return blobs.length === 0 ? head : joined(head, blobs);
}

export function sizeOf(head: Uint8Array, blobs: readonly Uint8Array[]): number {
  return blobs.reduce((sum, blob) => sum + blob.length, head.length);
}

/** A copy of all of it, in memory of exactly that size which the caller owns. */
export function joined(head: Uint8Array, blobs: readonly Uint8Array[]): Uint8Array {
  const size = sizeOf(head, blobs);
  const bytes = size < FILLED ? new Uint8Array(size) : Buffer.allocUnsafeSlow(size);
  bytes.set(head);
  let at = head.length;
  for (const blob of blobs) {
    bytes.set(blob, at);
    at += blob.length;
  }
  return bytes;
}

/** The bytes of a tree in memory that the next call overwrites: copy them first. */
export function shareTree(tree: unknown): Uint8Array {
  const bytes = encoder.encodeSharedRef(tree);
  if (bytes.length > KEPT) encoder = newEncoder();
  return bytes;
}

/** A tree in which something stands for something else, and where in the bytes it ends. */
export class MarkedTree {
  readonly tree: unknown;
  readonly end: number;
  constructor(tree: unknown, end: number) {
    this.tree = tree;
    this.end = end;
  }
}

/** The value itself where it is plain; else a `MarkedTree`. Throws whatever the bytes make the library throw. */
export function readTree(bytes: Uint8Array): unknown {
  const end = measure(bytes);
  marked = false;
  const tree = decoder.decode(end === bytes.length ? bytes : bytes.subarray(0, end));
  if (bytes.length > KEPT) decoder = newDecoder(); // it keeps the last payload alive
  if (marked) return new MarkedTree(tree, end);
  if (end !== bytes.length) throw new ProtocolError(`a payload has ${bytes.length - end} bytes too many`);
  return tree;
}

/** How many values are left at each level above the current one. */
const levels = new Uint32Array(MAX_DEPTH + 2);

/**
 * Where the MessagePack value at the start of `bytes` ends. Throws where it does not end, nests too deep, or claims more
 * elements than there are bytes: after this, what the library allocates is in proportion to the bytes.
 */
function measure(bytes: Uint8Array): number {
  const { length } = bytes;
  let at = 0;
  let depth = 0;
  let left = 1;
  let pending = 1; // `left` over all levels
  for (;;) {
    while (left === 0) {
      if (depth === 0) {
        if (at > length) throw new ProtocolError('a payload ends too early');
        return at;
      }
      left = levels[--depth] as number;
    }
    if (pending > length - at) throw new ProtocolError('a payload ends too early');
    left--;
    pending--;
    const head = bytes[at++] as number;
    let parts = 0;
    if (head < 0x80 || head >= 0xe0) continue;
    else if (head < 0x90) parts = (head & 0x0f) * 2;
    else if (head < 0xa0) parts = head & 0x0f;
    else if (head < 0xc0) at += head & 0x1f;
    else {
      const width = sizeWidth[head - 0xc0] as number;
      if (width < 0) throw new ProtocolError(`a payload has the unknown head ${head}`);
      const size = unsigned(bytes, at, width);
      at += width + (besides[head - 0xc0] as number);
      if (head >= 0xde) parts = size * 2;
      else if (head >= 0xdc) parts = size;
      else at += size;
    }
    if (parts === 0) continue;
    if (depth >= levels.length) throw new ProtocolError(`a payload nests deeper than ${MAX_DEPTH} levels`);
    levels[depth++] = left;
    left = parts;
    pending += parts;
  }
}

// For the head bytes from 0xc0: nil, unused, false, true, bin 8 16 32, ext 8 16 32, float 32 64, uint 8 16 32 64,
// int 8 16 32 64, fixext 1 2 4 8 16, str 8 16 32, array 16 32, map 16 32.
/** Bytes of the size that follows the head; -1 for what our payloads do not have. */
// prettier-ignore
const sizeWidth = [0, -1, 0, 0, -1, -1, -1, 1, 2, 4, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4];
/** Bytes of fixed number beside it: an extension's type, a number. */
// prettier-ignore
const besides = [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0];

function unsigned(bytes: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
