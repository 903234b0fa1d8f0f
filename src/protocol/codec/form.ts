/**
 * What the payload's bytes are made of. A payload is one MessagePack value, and behind it the raw bytes of its binaries:
 *
 *     bytes  = tree                                       a value without binaries
 *            | [BLOBS, tree, length, length, …] blob blob …
 *     tree   = null, boolean, number, string              MessagePack's own
 *            | { key: tree, … } | [tree, …]               plain objects and arrays, as they are
 *            | extension                                  a leaf that MessagePack lacks: undefined, -0, a hole, bigint, Date, …
 *            | [MARK, …]                                  everything that has parts: see `Mark`
 *
 * A plain value is plain MessagePack and costs nothing more. An array whose first element is a mark is never a user's:
 * marks exist only in bytes. Objects are numbered in the order in which they begin; a second occurrence is a
 * reference to that number, so shared references and cycles survive.
 */

/** How many objects may stand inside each other. Bounds the stack of both sides; a linked list of more is refused. */
export const MAX_DEPTH = 1_000;

/** MessagePack extension types. Those from `MARK` on need the second pass of the decoder (`assemble.ts`). */
export const CONSTANT = 1;
export const BIGINT = 2;
/** UTF-16, for strings that the library's UTF-8 would change: lone surrogates, a byte order mark in front. */
export const UTF16 = 3;
export const DATE = 4;
export const URL_TEXT = 5;
export const MARK = 6;
export const REFERENCE = 7;
export const PROXY = 8;
export const JOB = 9;

/** The values of `CONSTANT`. */
export const UNDEFINED = 0;
export const NEGATIVE_ZERO = 1;
export const HOLE = 2;

/** What the array that begins with a mark stands for. */
export const Mark = {
  /** Root only: tree, then the length of each blob. */
  BLOBS: 0,
  /** Key, value, key, value, … */
  MAP: 1,
  SET: 2,
  /** A plain object whose keys a MessagePack map cannot carry (`__proto__`): key, value, … */
  ENTRIES: 3,
  /** An object without prototype: key, value, … */
  NULL_PROTOTYPE: 4,
  /** An array with many holes: length, index, value, index, value, … */
  SPARSE: 5,
  /** Source, flags, lastIndex. */
  REGEXP: 6,
  /** Kind, number of hidden properties, then name, value, … of those and of the enumerable ones. */
  ERROR: 7,
  /** Blob. */
  ARRAY_BUFFER: 8,
  /** Kind, blob; with offset and length in bytes where the blob is shared. */
  VIEW: 9,
} as const;

export type MarkCode = (typeof Mark)[keyof typeof Mark];

/** Holes up to this number are written one by one; more than that, and more than elements, make a `SPARSE` array. */
export const MAX_WRITTEN_HOLES = 256;

/** A view's kind: Buffer is no class to call with `new`, and comes last but for those appended later. */
export const BUFFER_KIND = 255;

const BYTE_ORDER_MARK = 0xfeff;
/** UTF-16 units up to which the library writes and reads strings unit by unit, exactly, whatever they are. */
const EXACT = 32;

/**
 * Whether the library carries a string exactly. Longer ones go through TextEncoder, which replaces lone surrogates, and
 * TextDecoder, which drops a byte order mark in front.
 */
export function isExactText(text: string): boolean {
  return text.length <= EXACT || (text.charCodeAt(0) !== BYTE_ORDER_MARK && text.isWellFormed());
}

/** Whether a MessagePack map carries the key: the library refuses `__proto__` when it reads. */
export function isPlainKey(key: string): boolean {
  return key.length <= EXACT ? key !== '__proto__' : isExactText(key);
}
