/**
 * The second pass of decoding: what stands for something else becomes that. Plain objects and arrays are completed in
 * place. The bytes come from a peer that has proved its key, and still are not trusted: whatever they say, the outcome
 * is a value or a throw; no constructor is called that is not named here, and no property set but an object's own.
 */
import { ProtocolError } from '../../errors.ts';
import type { Packed } from '../wire.ts';
import { makeView } from './binary.ts';
import { hole, type MarkedTree, Marked, Stand } from './bytes.ts';
import type { CodecContext } from './context.ts';
import { blankError, isSaid, strip } from './failure.ts';
import { BUFFER_KIND, JOB, Mark, PROXY } from './form.ts';

/** A buffer of this size (bytes) or more is not copied out of memory that holds little else and is nobody else's. */
const LEFT_IN_PLACE = 1 << 16;

/** `owned`: the memory of the bytes is nobody else's, and may become part of the value. */
export function assemble({ tree, end }: MarkedTree, packed: Packed, context: CodecContext, owned: boolean): unknown {
  const tail = packed.bytes.subarray(end);
  if (!Array.isArray(tree) || !isMark(tree[0], Mark.BLOBS)) {
    check(tail.length === 0, 'bytes behind its end');
    return new Assembly([], packed, context).value(tree);
  }
  const blobs: Binary[] = [];
  let at = 0;
  for (let i = 2; i < tree.length; i++) {
    const length: unknown = tree[i];
    check(isCount(length), 'a binary without a length');
    const bytes = tail.subarray(at, (at += length));
    blobs.push(new Binary(bytes, owned && length >= LEFT_IN_PLACE && length * 2 > bytes.buffer.byteLength));
  }
  check(at === tail.length, 'binaries of another length than its bytes');
  return new Assembly(blobs, packed, context).value(tree[1]);
}

/** A binary's bytes: copied once, into memory of its own, unless they may stay where they are. */
class Binary {
  readonly #bytes: Uint8Array;
  #memory: ArrayBuffer | undefined;
  #taken = false;
  readonly #stays: boolean;

  constructor(bytes: Uint8Array, stays: boolean) {
    this.#bytes = bytes;
    this.#stays = stays;
  }

  /** For all who share it. */
  shared(): ArrayBuffer {
    this.#memory ??= new Uint8Array(this.#bytes).buffer;
    return this.#memory;
  }

  /** For one owner: a second copy of the same bytes would let few bytes claim much memory. */
  view(kind: unknown): ArrayBufferView {
    check(!this.#taken, 'a binary with two owners');
    this.#taken = true;
    const bytes = this.#bytes;
    if (kind === BUFFER_KIND) {
      return this.#stays ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) : Buffer.from(bytes);
    }
    const memory = this.shared();
    return makeView(kind, memory, 0, memory.byteLength);
  }
}

class Assembly {
  readonly #blobs: readonly Binary[];
  readonly #packed: Packed;
  readonly #context: CodecContext;
  /** By number, in the order in which they begin. */
  readonly #objects: unknown[] = [];

  constructor(blobs: readonly Binary[], packed: Packed, context: CodecContext) {
    this.#blobs = blobs;
    this.#packed = packed;
    this.#context = context;
  }

  value(tree: unknown): unknown {
    if (typeof tree !== 'object' || tree === null) {
      check(tree !== hole, 'a hole outside an array');
      return tree;
    }
    if (Array.isArray(tree)) return tree[0] instanceof Marked ? this.#marked(tree[0], tree) : this.#array(tree);
    if (tree instanceof Stand) return this.#stand(tree);
    check(!(tree instanceof Marked), 'a mark out of place');
    this.#objects.push(tree);
    if (!(tree instanceof Date || tree instanceof URL)) this.#plain(tree as Record<string, unknown>);
    return tree;
  }

  #plain(tree: Record<string, unknown>): void {
    for (const key of Object.keys(tree)) {
      const part = tree[key];
      if (typeof part === 'object' || part === hole) tree[key] = this.value(part);
    }
  }

  #array(tree: unknown[]): unknown[] {
    this.#objects.push(tree);
    for (let i = 0; i < tree.length; i++) {
      const part = tree[i];
      if (part === hole) Reflect.deleteProperty(tree, i);
      else if (typeof part === 'object') tree[i] = this.value(part);
    }
    return tree;
  }

  #stand({ type, index }: Stand): unknown {
    if (type === PROXY) {
      const ref = at(this.#packed.proxies, index);
      return this.#begin(this.#context.proxy === undefined ? ref : this.#context.proxy(ref));
    }
    if (type === JOB) {
      const ref = at(this.#packed.jobs, index);
      return this.#begin(this.#context.job === undefined ? ref : this.#context.job(ref));
    }
    return at(this.#objects, index);
  }

  #begin<T>(object: T): T {
    this.#objects.push(object);
    return object;
  }

  #marked({ code }: Marked, tree: readonly unknown[]): unknown {
    switch (code) {
      case Mark.MAP:
        return this.#map(tree);
      case Mark.SET:
        return this.#set(tree);
      case Mark.ENTRIES:
        return this.#entries(this.#begin({}), tree);
      case Mark.NULL_PROTOTYPE:
        return this.#entries(this.#begin(Object.create(null) as object), tree);
      case Mark.SPARSE:
        return this.#sparse(tree);
      case Mark.REGEXP:
        return this.#regexp(tree);
      case Mark.ERROR:
        return this.#error(tree);
      case Mark.ARRAY_BUFFER:
        return this.#begin(this.#blob(tree[1]).shared());
      case Mark.VIEW:
        return this.#view(tree);
      case Mark.BLOBS:
        throw new ProtocolError('a payload has binaries inside');
    }
  }

  #map(tree: readonly unknown[]): Map<unknown, unknown> {
    const map = this.#begin(new Map<unknown, unknown>());
    for (let i = 1; i < tree.length; i += 2) {
      const key = this.value(tree[i]);
      map.set(key, this.value(tree[i + 1]));
    }
    return map;
  }

  #set(tree: readonly unknown[]): Set<unknown> {
    const set = this.#begin(new Set<unknown>());
    for (let i = 1; i < tree.length; i++) set.add(this.value(tree[i]));
    return set;
  }

  #sparse(tree: readonly unknown[]): unknown[] {
    const length: unknown = tree[1];
    check(isCount(length) && length <= MAX_LENGTH, 'an array without a length');
    const array: unknown[] = this.#begin([]);
    // An element at the far end makes the engine keep the array as a table: a length alone would allocate.
    array[MAX_LENGTH - 1] = undefined;
    Reflect.deleteProperty(array, MAX_LENGTH - 1);
    array.length = length;
    for (let i = 2; i < tree.length; i += 2) {
      const index = tree[i];
      check(isCount(index) && index < length, 'an element outside its array');
      array[index] = this.value(tree[i + 1]);
    }
    return array;
  }

  #regexp(tree: readonly unknown[]): RegExp {
    const regexp = this.#begin(new RegExp(text(tree[1]), text(tree[2])));
    regexp.lastIndex = this.value(tree[3]) as number;
    return regexp;
  }

  #error(tree: readonly unknown[]): Error {
    const kind = tree[1];
    const hidden: unknown = tree[2];
    check(isCount(hidden) && hidden <= tree.length / 2, 'an error without its properties');
    const fields = FIRST_PROPERTY + 2 * hidden;
    const find = (name: string): unknown => {
      for (let i = FIRST_PROPERTY; i < fields; i += 2) if (tree[i] === name) return tree[i + 1];
      return undefined;
    };
    const error = blankError(kind, find('message'), find('name'));
    check(error !== undefined, 'an error of unknown kind');
    this.#begin(error);
    strip(error);
    for (let i = FIRST_PROPERTY; i < tree.length; i += 2) {
      const name = text(tree[i]);
      const value = this.value(tree[i + 1]);
      if (i >= fields) define(error, name, value, true);
      else if (!isSaid(error, name, value)) define(error, name, value, false);
    }
    return error;
  }

  #entries(object: object, tree: readonly unknown[]): object {
    for (let i = 1; i < tree.length; i += 2) define(object, text(tree[i]), this.value(tree[i + 1]), true);
    return object;
  }

  #view(tree: readonly unknown[]): ArrayBufferView {
    const [, kind, blob, offset, length] = tree;
    if (tree.length === 3) return this.#begin(this.#blob(blob).view(kind));
    check(isCount(offset) && isCount(length), 'a view without a range');
    return this.#begin(makeView(kind, this.#blob(blob).shared(), offset, length));
  }

  #blob(index: unknown): Binary {
    check(isCount(index), 'a binary without bytes');
    return at(this.#blobs, index);
  }
}

/** Where an error's properties begin: behind the mark, its kind and the number of hidden ones. */
const FIRST_PROPERTY = 3;

/** The longest array that the language knows. */
const MAX_LENGTH = 2 ** 32 - 1;

/** Never by assignment: `__proto__` is a name like any other here. */
function define(object: object, name: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(object, name, { value, enumerable, writable: true, configurable: true });
}

function isMark(value: unknown, code: number): boolean {
  return value instanceof Marked && value.code === code;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function text(value: unknown): string {
  check(typeof value === 'string', 'another value where a text belongs');
  return value;
}

function at<T>(list: readonly T[], index: number): T {
  check(index < list.length, 'a reference to nothing');
  return list[index] as T;
}

function check(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new ProtocolError(`a payload has ${otherwise}`);
}
