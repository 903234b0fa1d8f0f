/**
 * The commonest large value, a Buffer alone, without a tree: the same bytes, and the same refusals, as by the long way
 * (take-apart.ts, assemble.ts), which a process that sends few of them runs slowly, since nothing has compiled it yet,
 * and need not even load.
 *
 *     93 d4 MARK BLOBS  93 d4 MARK VIEW cc BUFFER_KIND 00  ce length   bytes
 */
import { types } from 'node:util';
import { Packed, type Writer } from '../wire.ts';
import { BUFFER_KIND, Mark, MARK } from './form.ts';
import { hasOnlyIndices } from './plain.ts';

const start = Buffer.from([0x93, 0xd4, MARK, Mark.BLOBS, 0x93, 0xd4, MARK, Mark.VIEW, 0xcc, BUFFER_KIND, 0, 0xce]);
const HEAD = start.length + 4;
/** From this length (bytes) on MessagePack writes it in four bytes. */
const SHORTEST = 1 << 16;

/** Writes such a value; false, and nothing written, of any other. */
export function writeLone(writer: Writer, value: ArrayBufferView): boolean {
  const head = headOf(value);
  if (head === undefined) return false;
  const bytes = value as Buffer;
  const length = HEAD + bytes.length;
  if (!writer.store([head, bytes], length)) writer.item(new Packed(Buffer.concat([head, bytes], length)));
  return true;
}

/** What stands before the bytes of such a value. */
function headOf(value: ArrayBufferView): Uint8Array | undefined {
  if (Object.getPrototypeOf(value) !== Buffer.prototype) return undefined;
  const { buffer, length } = value as Buffer;
  if (length < SHORTEST || length > 0xffff_ffff || types.isSharedArrayBuffer(buffer)) return undefined;
  if ((buffer as { readonly resizable?: boolean }).resizable === true || !hasOnlyIndices(value as Buffer))
    return undefined;
  const head = Buffer.allocUnsafe(HEAD);
  start.copy(head);
  head.writeUInt32BE(length, start.length);
  return head;
}

/** The value of such bytes; undefined of any other. `owned`: their memory is nobody else's and may become part of it. */
export function readLone(bytes: Uint8Array, owned: boolean): Buffer | undefined {
  const length = bytes.length - HEAD;
  if (length < SHORTEST) return undefined;
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i < start.length; i++) if (all[i] !== start[i]) return undefined;
  if (all.readUInt32BE(start.length) !== length) return undefined;
  const value = all.subarray(HEAD);
  return owned && length * 2 > value.buffer.byteLength ? value : Buffer.from(value);
}
