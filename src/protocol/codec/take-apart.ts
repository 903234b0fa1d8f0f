/**
 * A value to the tree that MessagePack can carry (`form.ts` has its shape), or its refusal with the path. One pass; a
 * second one where views turn out to share memory. The value itself is never changed.
 */
import { types } from 'node:util';
import type { JobRefInfo, ProxyRef } from '../wire.ts';
import { Memories, type Place, viewKind } from './binary.ts';
import { written } from './bytes.ts';
import type { CodecContext } from './context.ts';
import { errorParts } from './failure.ts';
import { isPlainKey, JOB, Mark, type MarkCode, MAX_DEPTH, MAX_WRITTEN_HOLES, PROXY, REFERENCE } from './form.ts';
import { describe, refusal, type Step, tooDeep } from './path.ts';
import { hasOnlyIndices, isIndex } from './plain.ts';

export interface Parts {
  readonly tree: unknown;
  readonly blobs: readonly Uint8Array[];
  readonly proxies: readonly ProxyRef[];
  readonly jobs: readonly JobRefInfo[];
}

/**
 * Keys sorted, stacks left out, and equal parts alike whether they are one object or two: shared references are written
 * out, up to this many objects (a value of n levels of `[x, x]` would be 2^n).
 */
const MAX_WRITTEN_OUT = 10_000;

export function takeApart(value: unknown, context: CodecContext, root: string, canonical: boolean): Parts {
  const first = new TakeApart(context, root, canonical, undefined);
  const parts = first.run(value);
  const places = canonical ? undefined : first.memories.shared();
  return places === undefined ? parts : new TakeApart(context, root, canonical, places).run(value);
}

class TakeApart {
  readonly memories = new Memories();
  readonly #context: CodecContext;
  readonly #root: string;
  readonly #canonical: boolean;
  readonly #places: ReadonlyMap<object, Place> | undefined;
  readonly #steps: Step[] = [];
  readonly #numbers = new Map<object, number>();
  #count = 0;
  #depth = 0;
  readonly #blobs = new Map<Uint8Array, number>();
  readonly #proxies: ProxyRef[] = [];
  readonly #jobs: JobRefInfo[] = [];

  constructor(context: CodecContext, root: string, canonical: boolean, places: ReadonlyMap<object, Place> | undefined) {
    this.#context = context;
    this.#root = root;
    this.#canonical = canonical;
    this.#places = places;
  }

  run(value: unknown): Parts {
    const tree = this.#tree(value);
    const blobs = [...this.#blobs.keys()];
    const whole = blobs.length === 0 ? tree : marked(Mark.BLOBS, [tree].concat(blobs.map((blob) => blob.length)));
    return { tree: whole, blobs, proxies: this.#proxies, jobs: this.#jobs };
  }

  #tree(value: unknown): unknown {
    switch (typeof value) {
      case 'number':
        return Object.is(value, -0) ? written.negativeZero : value;
      case 'string':
        return written.text(value);
      case 'boolean':
        return value;
      case 'undefined':
        return written.undefined;
      case 'bigint':
        return written.bigint(value);
      case 'object':
        return value === null ? null : this.#object(value);
      case 'function':
        return this.#foreign(value);
      case 'symbol':
        return this.#refuse(describe(value));
    }
  }

  #part(step: Step, value: unknown): unknown {
    this.#steps.push(step);
    const tree = this.#tree(value);
    this.#steps.pop();
    return tree;
  }

  #object(value: object): unknown {
    const number = this.#numbers.get(value);
    if (number !== undefined) return written.stand(REFERENCE, number);
    if (this.#depth >= MAX_DEPTH) throw tooDeep(this.#root, this.#steps, MAX_DEPTH);
    this.#numbers.set(value, this.#count++);
    this.#depth++;
    const tree = this.#kind(value);
    this.#depth--;
    if (this.#canonical && this.#count <= MAX_WRITTEN_OUT) this.#numbers.delete(value);
    return tree;
  }

  #kind(value: object): unknown {
    // First of all: any other question to a JavaScript Proxy would run its traps.
    if (types.isProxy(value)) return this.#foreign(value);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype) return this.#plain(value);
    if (prototype === Array.prototype && Array.isArray(value)) return this.#array(value);
    if (prototype === null) return marked(Mark.NULL_PROTOTYPE, this.#entries(value));
    if (ArrayBuffer.isView(value)) return this.#view(value);
    if (types.isNativeError(value) || value instanceof Error) return this.#error(value);
    const builtIn = builtIns.get(prototype);
    if (builtIn === undefined || !builtIn.is(value)) return this.#foreign(value);
    this.#refuseExtras(value);
    switch (builtIn.name) {
      case 'Date':
        return written.date(value as Date);
      case 'URL':
        return written.url(value as URL);
      case 'Map':
        return this.#map(value as ReadonlyMap<unknown, unknown>);
      case 'Set':
        return this.#set(value as ReadonlySet<unknown>);
      case 'RegExp': {
        const { source, flags, lastIndex } = value as RegExp;
        return marked(Mark.REGEXP, [written.text(source), flags, this.#part('lastIndex', lastIndex)]);
      }
      case 'ArrayBuffer':
        return this.#arrayBuffer(value as ArrayBuffer);
    }
  }

  /** Neither data nor built in: a proxy or a job reference, or nothing that can cross. */
  #foreign(value: object): unknown {
    const proxy = this.#context.proxyRef?.(value);
    if (proxy !== undefined) return written.stand(PROXY, this.#proxies.push(proxy) - 1);
    const job = this.#context.jobRef?.(value);
    if (job !== undefined) return written.stand(JOB, this.#jobs.push(job) - 1);
    return this.#refuse(types.isProxy(value) ? 'a JavaScript Proxy' : describe(value));
  }

  #plain(value: object): unknown {
    const keys = this.#keys(value);
    if (!keys.every(isPlainKey)) return marked(Mark.ENTRIES, this.#entries(value));
    const tree: Record<string, unknown> = {};
    for (const key of keys) tree[key] = this.#part(key, value[key as keyof typeof value]);
    return tree;
  }

  #entries(value: object): unknown[] {
    const entries: unknown[] = [];
    for (const key of this.#keys(value)) {
      entries.push(written.text(key), this.#part(key, value[key as keyof typeof value]));
    }
    return entries;
  }

  /** The enumerable keys of an object that has neither getters nor symbols among them. */
  #keys(value: object): string[] {
    const keys = Object.keys(value);
    for (const key of keys) {
      const property = Object.getOwnPropertyDescriptor(value, key) as PropertyDescriptor;
      if (property.get !== undefined || property.set !== undefined) this.#refuseAt(key, 'a getter or setter');
    }
    this.#refuseSymbols(value);
    return this.#canonical ? keys.sort() : keys;
  }

  #array(value: readonly unknown[]): unknown {
    if (!hasOnlyIndices(value)) this.#refuseExtras(value);
    if (isSparse(value)) return this.#sparse(value);
    const tree: unknown[] = [];
    for (let i = 0; i < value.length; i++) {
      const hole = value[i] === undefined && !Object.hasOwn(value, i);
      tree.push(hole ? written.hole : this.#part(i, value[i]));
    }
    return tree;
  }

  #sparse(value: readonly unknown[]): unknown {
    const tree: unknown[] = [value.length];
    for (const key of Object.keys(value)) tree.push(Number(key), this.#part(Number(key), value[Number(key)]));
    return marked(Mark.SPARSE, tree);
  }

  #map(value: ReadonlyMap<unknown, unknown>): unknown {
    const tree: unknown[] = [];
    let i = 0;
    for (const [key, member] of value) {
      tree.push(this.#part({ via: 'keys', key: i }, key));
      const scalar = (typeof key !== 'object' || key === null) && typeof key !== 'function';
      tree.push(this.#part(scalar ? { via: 'get', key } : { via: 'values', key: i }, member));
      i++;
    }
    return marked(Mark.MAP, tree);
  }

  #set(value: ReadonlySet<unknown>): unknown {
    const tree: unknown[] = [];
    let i = 0;
    for (const member of value) tree.push(this.#part({ via: 'values', key: i++ }, member));
    return marked(Mark.SET, tree);
  }

  #error(error: Error): unknown {
    const { kind, hidden, fields } = errorParts(error, !this.#canonical);
    const sorted = this.#canonical ? fields.toSorted(([a], [b]) => (a < b ? -1 : 1)) : fields;
    const tree: unknown[] = [kind, hidden.length];
    for (const [key, value] of [...hidden, ...sorted]) tree.push(written.text(key), this.#part(key, value));
    return marked(Mark.ERROR, tree);
  }

  #view(view: ArrayBufferView): unknown {
    const kind = viewKind(view);
    if (kind === undefined) return this.#foreign(view);
    this.#refuseUnsent(view.buffer, 'a view of ');
    if (!hasOnlyIndices(view as Uint8Array)) this.#refuseExtras(view);
    const place = this.#places?.get(view);
    if (place !== undefined) {
      return marked(Mark.VIEW, [kind, this.#blob(place.memory), place.offset, view.byteLength]);
    }
    this.memories.add(view);
    return marked(Mark.VIEW, [kind, this.#blob(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))]);
  }

  #arrayBuffer(buffer: ArrayBuffer): unknown {
    this.#refuseUnsent(buffer, '');
    this.memories.add(buffer);
    return marked(Mark.ARRAY_BUFFER, [this.#blob(this.#places?.get(buffer)?.memory ?? new Uint8Array(buffer))]);
  }

  #blob(bytes: Uint8Array): number {
    const known = this.#blobs.get(bytes);
    if (known !== undefined) return known;
    this.#blobs.set(bytes, this.#blobs.size);
    return this.#blobs.size - 1;
  }

  /** Memory that would not arrive as what it is. */
  #refuseUnsent(buffer: ArrayBufferLike, view: string): void {
    if (types.isSharedArrayBuffer(buffer)) this.#refuse(`${view}a SharedArrayBuffer`);
    if ((buffer as { readonly resizable?: boolean }).resizable === true) this.#refuse(`${view}a resizable ArrayBuffer`);
    try {
      void new Uint8Array(buffer);
    } catch {
      this.#refuse(`${view}a detached ArrayBuffer`);
    }
  }

  /** Refuses what stands beside the contents of a built-in object: it would be lost. */
  #refuseExtras(value: object): void {
    const indexed = Array.isArray(value) || ArrayBuffer.isView(value);
    const extra = Object.keys(value).find((key) => !indexed || !isIndex(key));
    if (extra !== undefined) this.#refuseAt(extra, 'an extra property of a built-in object');
    this.#refuseSymbols(value);
  }

  #refuseSymbols(value: object): void {
    for (const symbol of Object.getOwnPropertySymbols(value)) {
      if (Object.prototype.propertyIsEnumerable.call(value, symbol))
        this.#refuseAt(symbol, 'a property under a symbol');
    }
  }

  #refuseAt(step: Step, what: string): never {
    this.#steps.push(step);
    return this.#refuse(what);
  }

  #refuse(what: string): never {
    throw refusal(this.#root, this.#steps, what);
  }
}

function marked(mark: MarkCode, parts: unknown[]): unknown[] {
  parts.unshift(written.marks[mark]);
  return parts;
}

function isSparse(value: readonly unknown[]): boolean {
  let holes = 0;
  for (let i = 0; i < value.length; i++) {
    if (value[i] !== undefined || Object.hasOwn(value, i)) continue;
    if (++holes > MAX_WRITTEN_HOLES) return Object.keys(value).length < value.length / 2;
  }
  return false;
}

interface BuiltIn {
  readonly name: 'Date' | 'URL' | 'Map' | 'Set' | 'RegExp' | 'ArrayBuffer';
  /** The prototype alone proves nothing: `Object.create(Map.prototype)` has it too. */
  is(value: object): boolean;
}

const builtIns: ReadonlyMap<unknown, BuiltIn> = new Map<unknown, BuiltIn>([
  [Date.prototype, { name: 'Date', is: types.isDate }],
  [URL.prototype, { name: 'URL', is: isUrl }],
  [Map.prototype, { name: 'Map', is: types.isMap }],
  [Set.prototype, { name: 'Set', is: types.isSet }],
  [RegExp.prototype, { name: 'RegExp', is: types.isRegExp }],
  [ArrayBuffer.prototype, { name: 'ArrayBuffer', is: types.isArrayBuffer }],
]);

function isUrl(value: object): boolean {
  try {
    return typeof (value as URL).href === 'string';
  } catch {
    return false;
  }
}
