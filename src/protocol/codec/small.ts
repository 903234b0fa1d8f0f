/**
 * The commonest payloads, an object of a few properties, flat or with a few more inside, written straight into a frame
 * and read straight out of it: the very bytes that the library writes (bytes.ts), and the very value that it reads. Whatever does not fit is the
 * library's. Why there are two ways: docs/decisions/0010-small-payloads.md.
 */
import { types } from 'node:util';
import type { Writer } from '../wire.ts';

const { isProxy } = types;
const { getPrototypeOf, getOwnPropertyDescriptor, getOwnPropertySymbols, keys: keysOf } = Object;
const objectPrototype = Object.prototype;

/** Most objects in one payload, and most levels of them in bytes that came. */
const MAX_OBJECTS = 8;
/** Most properties of an object, and most characters of a key: what goes into one head byte. */
const MAX_PROPERTIES = 15;
const MAX_KEY = 31;
/** Most characters of a text: what goes into one byte of length. */
const MAX_TEXT = 255;
/** Most bytes of a value that is no text; what stands before a text. */
const NUMBER = 9;
const TEXT_HEAD = 2;

// Heads, as MessagePack has them.
const MAP = 0x80;
const ARRAY = 0x90;
const TEXT = 0xa0;
const NIL = 0xc0;
const FALSE = 0xc2;
const TRUE = 0xc3;
const FLOAT64 = 0xcb;
const UINT8 = 0xcc;
const UINT16 = 0xcd;
const UINT32 = 0xce;
const INT8 = 0xd0;
const INT16 = 0xd1;
const INT32 = 0xd2;
const TEXT8 = 0xd9;
const NEGATIVE = 0xe0;

/** The objects of the payload in hand that are inside of others: one that comes twice is a reference, and the library's. */
const inner = new Array<object | undefined>(MAX_OBJECTS).fill(undefined);
let inners = 0;

/** Writes the payload. False where it is the library's: what has been written by then is for the caller to cut off. */
export function writeSmall(writer: Writer, value: object): boolean {
  const written = writeObject(writer, value);
  while (inners > 0) inner[--inners] = undefined;
  return written;
}

/** One more object inside the payload. One around itself comes back here, however it does. */
function writeInner(writer: Writer, value: object): boolean {
  if (inners + 1 === MAX_OBJECTS) return false;
  for (let i = 0; i < inners; i++) if (inner[i] === value) return false;
  inner[inners++] = value;
  return writeObject(writer, value);
}

/**
 * In one piece, as `readObject` is, on purpose: what is too large to be compiled into its callers is compiled once, and
 * not once more for each of them.
 */
function writeObject(writer: Writer, value: object): boolean {
  // First of all: any other question to a JavaScript Proxy would run its traps.
  if (isProxy(value) || getPrototypeOf(value) !== objectPrototype) return false;
  const keys = keysOf(value);
  const { length } = keys;
  if (length > MAX_PROPERTIES) return false;
  writer.u8(MAP | length);
  for (let i = 0; i < length; i++) {
    const key = keys[i] as string;
    if (key.length > MAX_KEY || key === '__proto__') return false;
    // By descriptor, so that no getter runs: one shows as undefined here, which does not fit.
    const part: unknown = getOwnPropertyDescriptor(value, key)?.value;
    if (typeof part === 'string' && part.length > MAX_TEXT) return false;
    const most = 1 + key.length + (typeof part === 'string' ? TEXT_HEAD + part.length : NUMBER);
    const start = writer.claim(most);
    const { data } = writer;
    data.setUint8(start, TEXT | key.length);
    if (!writeAscii(data, start + 1, key)) return false;
    let at = start + 1 + key.length;
    if (typeof part === 'number') {
      if ((part | 0) !== part) {
        if (Number.isInteger(part)) return false;
        data.setUint8(at, FLOAT64);
        data.setFloat64(at + 1, part);
        at += 9;
      } else if (1 / part === -Infinity) {
        return false; // -0
      } else if (part < 0x80 && part >= -0x20) {
        data.setUint8(at++, part);
      } else {
        // Of all sizes alike: a branch for each would be code that was compiled before it ran, and then once more.
        const size = part < 0x100 && part >= -0x80 ? 0 : part < 0x1_0000 && part >= -0x8000 ? 1 : 2;
        data.setUint8(at++, (part < 0 ? INT8 : UINT8) + size);
        for (let shift = (8 << size) - 8; shift >= 0; shift -= 8) data.setUint8(at++, part >> shift);
      }
    } else if (typeof part === 'string') {
      if (part.length <= MAX_KEY) {
        data.setUint8(at++, TEXT | part.length);
      } else {
        data.setUint8(at, TEXT8);
        data.setUint8(at + 1, part.length);
        at += 2;
      }
      if (!writeAscii(data, at, part)) return false;
      at += part.length;
    } else if (typeof part === 'boolean' || part === null) {
      data.setUint8(at++, part === null ? NIL : part ? TRUE : FALSE);
    } else if (typeof part === 'object') {
      writer.unclaim(start + most - at);
      if (!writeInner(writer, part)) return false;
      continue;
    } else {
      return false;
    }
    writer.unclaim(start + most - at);
  }
  return getOwnPropertySymbols(value).length === 0;
}

function writeAscii(data: DataView, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    data.setUint8(at + i, code);
  }
  return true;
}

/** What `readSmall` gives where the payload is the library's. */
export const notSmall: unique symbol = Symbol('not small');

/** Keys that were read last, each at the hash of its bytes. */
const known = new Array<string>(64).fill('');

/** Where in the payload reading has come to. One at a time: nothing of a user's runs in between. */
let at = 0;

/** Reads the payload from `from` to `to`, which lies in `buffer`. */
export function readSmall(buffer: Buffer, from: number, to: number): unknown {
  at = from;
  const value = readObject(buffer, to, 1);
  return at === to ? value : notSmall;
}

/** The object at `at`, which moves behind it, or anywhere where it does not fit. */
function readObject(buffer: Buffer, to: number, level: number): unknown {
  const count = (buffer[at++] as number) - MAP;
  if (!(count >= 0 && count <= MAX_PROPERTIES)) return notSmall;
  const value: Record<string, unknown> = {};
  for (let i = 0; i < count; i++) {
    const size = (buffer[at] as number) - TEXT;
    if (!(size >= 0 && size <= MAX_KEY && size < to - at)) return notSmall;
    // Keys come again and again: those read last, by a hash of their bytes.
    const first = at + 1;
    at += 1 + size;
    const slot = (size * 31 + (size === 0 ? 0 : (buffer[first] as number) + 7 * (buffer[at - 1] as number))) & 63;
    let key = known[slot] as string;
    let same = key.length === size ? 0 : -1;
    while (same >= 0 && same < size && key.charCodeAt(same) === buffer[first + same]) same++;
    if (same !== size) {
      if (!isAscii(buffer, first, at)) return notSmall;
      key = known[slot] = buffer.toString('latin1', first, at);
    }
    if (at >= to || key === '__proto__') return notSmall;
    const head = buffer[at] as number;
    if (head < MAP) {
      at++;
      value[key] = head;
    } else if (head === UINT16 && at + 2 < to) {
      value[key] = ((buffer[at + 1] as number) << 8) | (buffer[at + 2] as number);
      at += 3;
    } else {
      const part =
        head >= ARRAY ? readPart(buffer, to) : level < MAX_OBJECTS ? readObject(buffer, to, level + 1) : notSmall;
      if (part === notSmall) return notSmall;
      value[key] = part;
    }
  }
  return value;
}

/** Moves `at` behind the part, or anywhere where it does not fit. Of a number that is cut, `at` ends behind `to`. */
function readPart(buffer: Buffer, to: number): unknown {
  const head = buffer[at++] as number;
  if (head < MAP) return head;
  if (head >= NEGATIVE) return head - 0x100;
  if (head >= TEXT && head < NIL) return readText(buffer, head - TEXT, to);
  const from = at;
  switch (head) {
    case UINT8:
      at += 1;
      return buffer[from];
    case UINT16:
      at += 2;
      return at > to ? notSmall : buffer.readUInt16BE(from);
    case UINT32:
      at += 4;
      return at > to ? notSmall : buffer.readUInt32BE(from);
    case INT8:
      at += 1;
      return ((buffer[from] as number) << 24) >> 24;
    case INT16:
      at += 2;
      return at > to ? notSmall : buffer.readInt16BE(from);
    case INT32:
      at += 4;
      return at > to ? notSmall : buffer.readInt32BE(from);
    case FLOAT64:
      at += 8;
      return at > to ? notSmall : buffer.readDoubleBE(from);
    case TEXT8:
      at += 1;
      return at > to ? notSmall : readText(buffer, buffer[from] as number, to);
    case NIL:
      return null;
    case FALSE:
      return false;
    case TRUE:
      return true;
    default:
      return notSmall;
  }
}

function readText(buffer: Buffer, size: number, to: number): unknown {
  const from = at;
  at += size;
  return at > to || !isAscii(buffer, from, at) ? notSmall : buffer.toString('latin1', from, at);
}

function isAscii(buffer: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((buffer[i] as number) > 0x7f) return false;
  return true;
}
