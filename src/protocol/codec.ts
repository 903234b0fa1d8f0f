/**
 * Values to bytes and back: what `put()` takes and a handler gets. The client encodes once, the receiver decodes once,
 * the manager between them never looks inside.
 *
 *     value ──isPlain──> writeTree ──> bytes         nearly every value
 *       └─no─> takeApart ──────┘                     Map, Date, Error, binaries, cycles, …; or refused with the path
 *     bytes ──> readTree ──> value
 *                  └─marked─> assemble ──> value
 *
 * In front of that, `codec/small.ts` has a short cut for objects of a few properties, and `codec/lone.ts` one for a large
 * Buffer: the same bytes.
 *
 * Scalars cross as they are (`wire.ts`). `codec/form.ts` has the form of the bytes, docs/decisions/0001 why it is that.
 *
 * Exact are: the scalars, also -0, NaN and lone surrogates; plain objects (key order; without a prototype where they had
 * none) and arrays (holes); Date, Map, Set, RegExp, URL, ArrayBuffer, Buffer, typed arrays, DataView; errors; references
 * shared inside a value, and cycles. Non-enumerable properties, and that an object is frozen, do not cross; a getter that
 * stands in for an array's element is read. Everything else is refused: see `encode`.
 */
import { notSmall, readSmall, writeSmall } from './codec/small.ts';
import type { CodecContext } from './codec/context.ts';
import { lazily } from './lazily.ts';
import { type Item, Packed, type Reader, type Scalar, Writer } from './wire.ts';

export type { CodecContext } from './codec/context.ts';

/** Values that are neither scalars nor small are rare enough in many processes: a manager reads none at all. */
const whole = lazily<typeof import('./codec/whole.ts')>(new URL('./codec/whole.js', import.meta.url));
const lone = lazily<typeof import('./codec/lone.ts')>(new URL('./codec/lone.js', import.meta.url));

/** A lone Buffer below this (bytes) is a value like any other. */
const LONE = 1 << 16;

const nothing: CodecContext = {};

/**
 * A value as it crosses. Nothing of it is changed, and the bytes own their memory.
 *
 * Throws `UnserializableError`, with the path from `root` on (`input.callback`, `args[0].cb`, `value.get("k")`), for
 * functions, symbols as values or keys, getters, promises, weak collections, JavaScript Proxies, SharedArrayBuffers,
 * instances of classes that are not built in, extra properties of arrays and other built-in objects, and more than
 * `MAX_DEPTH` levels.
 */
export function encode(value: unknown, context: CodecContext = nothing, root = 'value'): Item {
  if (isScalar(value)) return value;
  if (typeof value === 'object') {
    if (writeSmall(scratch, value)) return new Packed(exactly(scratch.take()));
    scratch.cut(0);
  }
  return whole().encodeWhole(value, context, root);
}

/** Nothing of a user's runs while something is written to it. */
const scratch = new Writer();

/** A copy that keeps nothing but itself. */
function exactly(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}

/** `encode` straight into a frame. Returns whether the item names proxies or jobs. Nothing whole is written when it throws. */
export function encodeTo(writer: Writer, value: unknown, context: CodecContext = nothing, root = 'value'): boolean {
  if (isScalar(value)) {
    writer.item(value);
    return false;
  }
  if (typeof value === 'object') {
    const start = writer.startPacked();
    if (writeSmall(writer, value)) {
      writer.endPacked(start);
      return false;
    }
    writer.cut(start);
    if (ArrayBuffer.isView(value) && value.byteLength >= LONE && lone().writeLone(writer, value)) return false;
  }
  return whole().encodeWholeTo(writer, value, context, root);
}

/** `decode` straight from a frame: the value of the item that stands next in it. */
export function decodeFrom(reader: Reader, context: CodecContext = nothing): unknown {
  const size = reader.packedSize();
  if (size < 0) return decode(reader.item(), context);
  const { buffer } = reader;
  const from = reader.claim(size);
  const value = readSmall(buffer, from, from + size);
  if (value !== notSmall) return value;
  // What of the bytes goes into the value is copied by then, but for large buffers in memory that is nobody else's.
  return unpack(buffer.subarray(from, from + size), context, reader.owns);
}

/** The value that an item stands for; a list gives an array. Throws `ProtocolError` where the bytes are none of ours. */
export function decode(item: Item, context: CodecContext = nothing): unknown {
  if (typeof item !== 'object' || item === null) return item;
  if (item instanceof Packed && item.bytes instanceof Buffer) {
    const value = readSmall(item.bytes, 0, item.bytes.length);
    if (value !== notSmall) return value;
  }
  return whole().decodeWhole(item, context);
}

function unpack(bytes: Buffer, context: CodecContext, owned: boolean): unknown {
  if (bytes.length > LONE) {
    const value = lone().readLone(bytes, owned);
    if (value !== undefined) return value;
  }
  return whole().unpack(new Packed(bytes), context, owned);
}

/** See `canonical` in codec/whole.ts. */
export function canonical(value: unknown, context: CodecContext = nothing): Uint8Array {
  return whole().canonical(value, context);
}

/** Scalars by SameValueZero, other values by their canonical bytes. */
export function sameValue(a: Item, b: Item): boolean {
  return isScalar(a) || isScalar(b) ? a === b || (a !== a && b !== b) : whole().sameBytes(a, b);
}

function isScalar(value: unknown): value is Scalar {
  switch (typeof value) {
    case 'object':
      return value === null;
    case 'function':
    case 'symbol':
      return false;
    default:
      return true;
  }
}
