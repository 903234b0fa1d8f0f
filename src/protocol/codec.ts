/**
 * Values to bytes and back: what `put()` takes and a handler gets. The client encodes once, the receiver decodes once,
 * the manager between them never looks inside.
 *
 *     value ──isPlain──> writeTree ──> bytes         nearly every value
 *       └─no─> takeApart ──────┘                     Map, Date, Error, binaries, cycles, …; or refused with the path
 *     bytes ──> readTree ──> value
 *                  └─marked─> assemble ──> value
 *
 * Between a value and a frame, `codec/small.ts` has a short cut for flat objects of a few properties: the same bytes.
 *
 * Scalars cross as they are (`wire.ts`). `codec/form.ts` has the form of the bytes, docs/decisions/0001 why it is that.
 *
 * Exact are: the scalars, also -0, NaN and lone surrogates; plain objects (key order; without a prototype where they had
 * none) and arrays (holes); Date, Map, Set, RegExp, URL, ArrayBuffer, Buffer, typed arrays, DataView; errors; references
 * shared inside a value, and cycles. Non-enumerable properties, and that an object is frozen, do not cross; a getter that
 * stands in for an array's element is read. Everything else is refused: see `encode`.
 */
import { ProtocolError, QuartermasterError, UnserializableError } from '../errors.ts';
import { assemble } from './codec/assemble.ts';
import { joined, MarkedTree, readTree, shareTree, sizeOf, writeTree } from './codec/bytes.ts';
import type { CodecContext } from './codec/context.ts';
import { isPlain } from './codec/plain.ts';
import { notSmall, readSmall, writeSmall } from './codec/small.ts';
import { type Parts, takeApart } from './codec/take-apart.ts';
import {
  type Item,
  type JobRefInfo,
  Packed,
  type ProxyRef,
  Reader,
  type Scalar,
  Verbatim,
  type Writer,
} from './wire.ts';

export type { CodecContext } from './codec/context.ts';
export { MAX_DEPTH } from './codec/form.ts';

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
  try {
    if (typeof value === 'object' && isPlain(value)) return new Packed(writeTree(value));
    const parts = takeApart(value, context, root, false);
    return new Packed(writeTree(parts.tree, parts.blobs), parts.proxies, parts.jobs);
  } catch (error) {
    throw encodingError(error, root);
  }
}

/** `encode` straight into a frame. Returns whether the item names proxies or jobs. Nothing whole is written when it throws. */
export function encodeTo(writer: Writer, value: unknown, context: CodecContext = nothing, root = 'value'): boolean {
  if (typeof value === 'object' && value !== null) {
    const start = writer.startPacked();
    if (writeSmall(writer, value)) {
      writer.endPacked(start);
      return false;
    }
    writer.cut(start);
  }
  if (typeof value === 'object' && value !== null && isPlain(value)) {
    let bytes: Uint8Array;
    try {
      bytes = shareTree(value);
    } catch (error) {
      throw encodingError(error, root);
    }
    if (!writer.store([bytes], bytes.length)) writer.packedBytes(bytes);
    return false;
  }
  if (isScalar(value)) {
    writer.item(value);
    return false;
  }
  let parts: Parts;
  let head: Uint8Array;
  try {
    parts = takeApart(value, context, root, false);
    head = shareTree(parts.tree);
  } catch (error) {
    throw encodingError(error, root);
  }
  const { blobs, proxies, jobs } = parts;
  const named = proxies.length + jobs.length > 0;
  if (named || !writer.store([head, ...blobs], sizeOf(head, blobs))) {
    writer.item(new Packed(joined(head, blobs), proxies, jobs));
  }
  return named;
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
  return unpack(new Packed(buffer.subarray(from, from + size)), context, reader.owns);
}

/** The value that an item stands for; a list gives an array. Throws `ProtocolError` where the bytes are none of ours. */
export function decode(item: Item, context: CodecContext = nothing): unknown {
  if (item instanceof Packed) return unpack(item, context);
  if (typeof item !== 'object' || item === null) return item;
  if (item instanceof Verbatim) return decode(verbatimItem(item), context);
  return item.map((member) => decode(member, context));
}

/**
 * The bytes by which two values are the same: keys sorted, Map and Set in insertion order, equal parts alike whether
 * they are one object or two, errors without their stack. Nothing decodes them. With a context, the references of proxies
 * and jobs count; without one they are refused. In a value of over 10,000 objects shared references do make a difference.
 */
export function canonical(value: unknown, context: CodecContext = nothing): Uint8Array {
  try {
    const { tree, blobs, proxies, jobs } = takeApart(value, context, 'value', true);
    return writeTree(
      proxies.length + jobs.length === 0 ? tree : [tree, proxies.map(proxyKey), jobs.map(jobKey)],
      blobs,
    );
  } catch (error) {
    throw encodingError(error, 'value');
  }
}

/** Scalars by SameValueZero, other values by their canonical bytes. */
export function sameValue(a: Item, b: Item): boolean {
  if (isScalar(a) || isScalar(b)) return a === b || (a !== a && b !== b);
  return Buffer.compare(canonical(decode(a, mirror), mirror), canonical(decode(b, mirror), mirror)) === 0;
}

/** A reference in the place of the proxy or job that it names. */
class Mirrored {
  readonly proxy: ProxyRef | undefined;
  readonly job: JobRefInfo | undefined;
  constructor(proxy: ProxyRef | undefined, job: JobRefInfo | undefined) {
    this.proxy = proxy;
    this.job = job;
  }
}
const mirror: CodecContext = {
  proxyRef: (value) => (value instanceof Mirrored ? value.proxy : undefined),
  jobRef: (value) => (value instanceof Mirrored ? value.job : undefined),
  proxy: (ref) => new Mirrored(ref, undefined),
  job: (ref) => new Mirrored(undefined, ref),
};

const proxyKey = ({ id, local, typeId, name }: ProxyRef): unknown[] => [id, local, typeId, name ?? null];
const jobKey = ({ queue, id }: JobRefInfo): unknown[] => [queue, id];

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

/** `owned`: the memory of the bytes is nobody else's, and may become part of the value. */
function unpack(packed: Packed, context: CodecContext, owned = false): unknown {
  try {
    const tree = readTree(packed.bytes);
    return tree instanceof MarkedTree ? assemble(tree, packed, context, owned) : tree;
  } catch (error) {
    // Ours says what it is, and so does what a context throws (a disposed proxy); the rest is the engine's and the library's answer to bad bytes.
    if (error instanceof QuartermasterError) throw error;
    throw new ProtocolError('a payload cannot be decoded', { cause: error });
  }
}

function verbatimItem({ bytes }: Verbatim): Item {
  return new Reader(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes)).item();
}

/** Not ours: out of stack or memory, or a value that changed while it was read. */
function encodingError(error: unknown, root: string): QuartermasterError {
  if (error instanceof QuartermasterError) return error;
  return new UnserializableError(`${root} cannot be sent to another process: ${String(error)}`, root, { cause: error });
}
