/** Every value that is no scalar, to bytes and back: the part of the codec that is loaded when such a value comes. */
import { ProtocolError, QuartermasterError, UnserializableError } from '../../errors.ts';
import { type Item, type JobRefInfo, Packed, type ProxyRef, Reader, Verbatim, type Writer } from '../wire.ts';
import { assemble } from './assemble.ts';
import { joined, MarkedTree, readTree, shareTree, sizeOf, writeTree } from './bytes.ts';
import type { CodecContext } from './context.ts';
import { isPlain } from './plain.ts';
import { type Parts, takeApart } from './take-apart.ts';

/** `encode` of a value that is no scalar. */
export function encodeWhole(value: unknown, context: CodecContext, root: string): Packed {
  try {
    if (typeof value === 'object' && isPlain(value as object)) return new Packed(writeTree(value));
    const parts = takeApart(value, context, root, false);
    return new Packed(writeTree(parts.tree, parts.blobs), parts.proxies, parts.jobs);
  } catch (error) {
    throw encodingError(error, root);
  }
}

/** `encodeTo` of a value that is neither a scalar, nor small, nor a lone Buffer. */
export function encodeWholeTo(writer: Writer, value: unknown, context: CodecContext, root: string): boolean {
  if (typeof value === 'object' && isPlain(value as object)) {
    let bytes: Uint8Array;
    try {
      bytes = shareTree(value);
    } catch (error) {
      throw encodingError(error, root);
    }
    if (!writer.store([bytes], bytes.length)) writer.packedBytes(bytes);
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

/** `decode` of an item, a member of a list being one as well. */
export function decodeWhole(item: Item, context: CodecContext): unknown {
  if (item instanceof Packed) return unpack(item, context);
  if (typeof item !== 'object' || item === null) return item;
  if (item instanceof Verbatim) return decodeWhole(verbatimItem(item), context);
  return item.map((member) => decodeWhole(member, context));
}

/**
 * The bytes by which two values are the same: keys sorted, Map and Set in insertion order, equal parts alike whether
 * they are one object or two, errors without their stack. Nothing decodes them. With a context, the references of proxies
 * and jobs count; without one they are refused. In a value of over 10,000 objects shared references do make a difference.
 */
export function canonical(value: unknown, context: CodecContext): Uint8Array {
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

/** Whether two items that are no scalars stand for the same value. */
export function sameBytes(a: Item, b: Item): boolean {
  return Buffer.compare(canonical(decodeWhole(a, mirror), mirror), canonical(decodeWhole(b, mirror), mirror)) === 0;
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

/** The value of bytes. `owned`: their memory is nobody else's, and may become part of the value; else it is copied. */
export function unpack(packed: Packed, context: CodecContext, owned = false): unknown {
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
