/**
 * Binaries: which kinds of view there are, and which of them share memory. A lone view carries its own bytes and no
 * more: what else its ArrayBuffer holds (Node's pool: other people's data) is none of the receiver's business.
 */
import { BUFFER_KIND } from './form.ts';

type ViewClass = new (buffer: ArrayBuffer, byteOffset?: number, length?: number) => ArrayBufferView;

/** The position is the kind's number on the wire: only append. Float16Array exists from Node 24 on. */
const viewClasses: readonly (ViewClass | undefined)[] = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
  (globalThis as { readonly Float16Array?: ViewClass }).Float16Array,
];
const kindByPrototype = new Map<unknown, number>([[Buffer.prototype, BUFFER_KIND]]);
for (const [kind, Class] of viewClasses.entries()) if (Class !== undefined) kindByPrototype.set(Class.prototype, kind);

/** The number of a view's kind; undefined for an instance of a subclass. */
export function viewKind(view: ArrayBufferView): number | undefined {
  return kindByPrototype.get(Object.getPrototypeOf(view));
}

/** A view of that kind; throws where there is no such kind, or the range does not fit the memory or the element size. */
export function makeView(kind: unknown, memory: ArrayBuffer, from: number, bytes: number): ArrayBufferView {
  if (kind === BUFFER_KIND) return Buffer.from(memory, from, bytes);
  const Class = typeof kind === 'number' ? viewClasses[kind] : undefined;
  if (Class === undefined) throw new RangeError(`no view of kind ${String(kind)} on this version of Node.js`);
  const size = (Class as { readonly BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1;
  return new Class(memory, from, bytes / size);
}

/** Where a view or ArrayBuffer lies in memory that it shares with another one of the same value. */
export interface Place {
  readonly memory: Uint8Array;
  readonly offset: number;
}

/** The views and ArrayBuffers of one value. */
export class Memories {
  readonly #byBuffer = new Map<ArrayBufferLike, { whole: boolean; readonly views: ArrayBufferView[] }>();

  add(value: ArrayBuffer | ArrayBufferView): void {
    const view = ArrayBuffer.isView(value);
    const buffer = view ? value.buffer : value;
    let held = this.#byBuffer.get(buffer);
    if (held === undefined) this.#byBuffer.set(buffer, (held = { whole: false, views: [] }));
    if (view) held.views.push(value);
    else held.whole = true;
  }

  /**
   * Where the values lie that share memory; undefined where none do. With the ArrayBuffer itself in the value, all views
   * of it share the whole; otherwise those share whose ranges overlap or touch, so that no byte travels that is in none.
   */
  shared(): ReadonlyMap<object, Place> | undefined {
    let places: Map<object, Place> | undefined;
    for (const [buffer, { whole, views }] of this.#byBuffer) {
      if (views.length + (whole ? 1 : 0) < 2) continue;
      places ??= new Map();
      if (whole) {
        const memory = new Uint8Array(buffer);
        places.set(buffer, { memory, offset: 0 });
        for (const view of views) places.set(view, { memory, offset: view.byteOffset });
      } else {
        for (const run of runs(views)) place(run, places);
      }
    }
    return places;
  }
}

/** Views in groups whose ranges overlap or touch; groups of one are left out. */
function runs(views: readonly ArrayBufferView[]): ArrayBufferView[][] {
  const sorted = views.filter((view) => view.byteLength > 0).sort((a, b) => a.byteOffset - b.byteOffset);
  const groups: ArrayBufferView[][] = [];
  let end = -1;
  for (const view of sorted) {
    if (view.byteOffset <= end) (groups.at(-1) as ArrayBufferView[]).push(view);
    else groups.push([view]);
    end = Math.max(end, view.byteOffset + view.byteLength);
  }
  return groups.filter((group) => group.length > 1);
}

/** The largest element: offsets must stay multiples of the element size. */
const ALIGNMENT = 8;

function place(run: readonly ArrayBufferView[], places: Map<object, Place>): void {
  const first = run[0] as ArrayBufferView;
  const start = first.byteOffset;
  const end = run.reduce((last, view) => Math.max(last, view.byteOffset + view.byteLength), 0);
  const pad = start % ALIGNMENT;
  let memory = new Uint8Array(first.buffer, start, end - start);
  if (pad !== 0) {
    // Zeros in front, not the bytes that happen to lie there.
    const padded = new Uint8Array(pad + memory.length);
    padded.set(memory, pad);
    memory = padded;
  }
  for (const view of run) places.set(view, { memory, offset: view.byteOffset - start + pad });
}
