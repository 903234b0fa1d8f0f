/**
 * The commonest payloads, a flat object of a few properties, written straight into a frame and read straight out of it:
 * the very bytes that the library writes (bytes.ts), and the very value that it reads. Whatever does not fit is the
 * library's. Why there are two ways: docs/decisions/0010-small-payloads.md.
 */
import { types } from 'node:util';
import type { Writer } from '../wire.ts';

const { isProxy } = types;
const { getPrototypeOf, getOwnPropertyDescriptor, getOwnPropertySymbols, keys: keysOf } = Object;
const objectPrototype = Object.prototype;

/** Most properties of an object, and most characters of a key: what goes into one head byte. */
const MAX_PROPERTIES = 15;
const MAX_KEY = 31;
/** Most characters of a text: what goes into one byte of length. */
const MAX_TEXT = 255;

// Heads, as MessagePack has them.
const MAP = 0x80;
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

/** Writes the payload. False where it is the library's: what has been written by then is for the caller to cut off. */
export function writeSmall(writer: Writer, value: object): boolean {
  // First of all: any other question to a JavaScript Proxy would run its traps.
  if (isProxy(value) || getPrototypeOf(value) !== objectPrototype) return false;
  const keys = keysOf(value);
  const { length } = keys;
  if (length > MAX_PROPERTIES) return false;
  writer.u8(MAP | length);
  for (let i = 0; i < length; i++) {
    const key = keys[i] as string;
    // By descriptor, so that no getter runs: one shows as undefined here, which does not fit.
    const part: unknown = getOwnPropertyDescriptor(value, key)?.value;
    const size = sizeOf(part);
    if (size === 0 || key.length > MAX_KEY || key === '__proto__') return false;
    const at = writer.claim(1 + key.length + size);
    const { data } = writer;
    data.setUint8(at, TEXT | key.length);
    if (!writeAscii(data, at + 1, key)) return false;
    if (!writePart(data, at + 1 + key.length, size, part)) return false;
  }
  return getOwnPropertySymbols(value).length === 0;
}

/** Bytes that it takes; 0 where it does not fit. */
function sizeOf(part: unknown): number {
  switch (typeof part) {
    case 'number':
      if ((part | 0) !== part) return Number.isInteger(part) ? 0 : 9;
      if (part === 0) return 1 / part > 0 ? 1 : 0;
      if (part > 0) return part < 0x80 ? 1 : part < 0x100 ? 2 : part < 0x1_0000 ? 3 : 5;
      return part >= -0x20 ? 1 : part >= -0x80 ? 2 : part >= -0x8000 ? 3 : 5;
    case 'string':
      return part.length <= MAX_KEY ? 1 + part.length : part.length <= MAX_TEXT ? 2 + part.length : 0;
    case 'boolean':
      return 1;
    default:
      return part === null ? 1 : 0;
  }
}

/** False where it does not fit after all. */
function writePart(data: DataView, at: number, size: number, part: unknown): boolean {
  if (typeof part === 'number') {
    writeNumber(data, at, size, part);
  } else if (typeof part === 'string') {
    if (part.length <= MAX_KEY) {
      data.setUint8(at, TEXT | part.length);
    } else {
      data.setUint8(at, TEXT8);
      data.setUint8(at + 1, part.length);
    }
    return writeAscii(data, at + size - part.length, part);
  } else {
    data.setUint8(at, part === null ? NIL : part === true ? TRUE : FALSE);
  }
  return true;
}

function writeNumber(data: DataView, at: number, size: number, value: number): void {
  switch (size) {
    case 1:
      return data.setUint8(at, value);
    case 2:
      data.setUint8(at, value < 0 ? INT8 : UINT8);
      return data.setUint8(at + 1, value);
    case 3:
      data.setUint8(at, value < 0 ? INT16 : UINT16);
      return data.setUint16(at + 1, value);
    case 5:
      data.setUint8(at, value < 0 ? INT32 : UINT32);
      return data.setUint32(at + 1, value);
    default:
      data.setUint8(at, FLOAT64);
      return data.setFloat64(at + 1, value);
  }
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

/** Where in the payload reading has come to. One at a time: nothing of a user's runs in between. */
let at = 0;

/** Reads the payload from `from` to `to`, which lies in `buffer`. */
export function readSmall(buffer: Buffer, from: number, to: number): unknown {
  const count = (buffer[from] as number) - MAP;
  if (!(count >= 0 && count <= MAX_PROPERTIES)) return notSmall;
  const value: Record<string, unknown> = {};
  at = from + 1;
  for (let i = 0; i < count; i++) {
    const size = (buffer[at] as number) - TEXT;
    if (!(size >= 0 && size <= MAX_KEY && size < to - at)) return notSmall;
    const key = readKey(buffer, at + 1, size);
    if (key === undefined || key === '__proto__') return notSmall;
    at += 1 + size;
    if (at >= to) return notSmall;
    const part = readPart(buffer, to);
    if (part === notSmall) return notSmall;
    value[key] = part;
  }
  return at === to ? value : notSmall;
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

/** Keys come again and again: those read last, by a hash of their bytes. */
const known = new Array<string>(64).fill('');

/** Undefined where it is not ASCII. */
function readKey(buffer: Buffer, from: number, size: number): string | undefined {
  const slot = (size * 31 + (size === 0 ? 0 : (buffer[from] as number) + 7 * (buffer[from + size - 1] as number))) & 63;
  const key = known[slot] as string;
  if (key.length === size) {
    let i = 0;
    while (i < size && key.charCodeAt(i) === buffer[from + i]) i++;
    if (i === size) return key;
  }
  if (!isAscii(buffer, from, from + size)) return undefined;
  return (known[slot] = buffer.toString('latin1', from, from + size));
}

function isAscii(buffer: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if ((buffer[i] as number) > 0x7f) return false;
  return true;
}
