/** The codec under values and bytes that nobody thought of. A failure prints its seed; fc.assert's `seed` replays it. */
import { encode as msgpack, ExtData } from '@msgpack/msgpack';
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from '#qm/errors.js';
import { canonical, decode, encode, sameValue } from '#qm/protocol/codec.js';
import { Packed } from '#qm/protocol/wire.js';
import { rows } from '../protocol/codec-values.ts';

/** Any UTF-16 units: also lone surrogates and byte order marks. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.constantFrom('\ud800', '\udc00', '\ufeff', 'a', 'é', '😀'), { maxLength: 80 })
    .map((units) => units.join('')),
);
const key = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'toJSON', '0', '10', '-1', ''));

const leaf = fc.oneof(
  text,
  fc.integer(),
  fc.double(),
  fc.bigInt(),
  fc.boolean(),
  fc.constantFrom(undefined, null, -0, Number.NaN, Infinity, 2 ** 53, -(2 ** 32)),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.int16Array().map((array) => new DataView(array.buffer)),
  fc.uint8Array().map((bytes) => bytes.buffer),
  fc.webUrl().map((url) => new URL(url)),
  fc.constantFrom(/a+/gi, /[\]/]/u),
);

function record(pairs: readonly (readonly [string, unknown])[], prototype: object | null): object {
  const object = Object.create(prototype) as object;
  for (const [name, value] of pairs) {
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  }
  return object;
}

const { value: tree } = fc.letrec<{ value: unknown }>((tie) => {
  const value = tie('value');
  const entries = fc.array(fc.tuple(key, value), { maxLength: 6 });
  return {
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.array(value, { maxLength: 6 }),
      fc.sparseArray(value, { maxNumElements: 5, maxLength: 1_000 }),
      entries.map((pairs) => record(pairs, Object.prototype)),
      entries.map((pairs) => record(pairs, null)),
      fc.array(fc.tuple(value, value), { maxLength: 5 }).map((pairs) => new Map(pairs)),
      fc.array(value, { maxLength: 5 }).map((members) => new Set(members)),
      fc
        .tuple(fc.string(), value, value)
        .map(([message, cause, info]) => Object.assign(new RangeError(message, { cause }), { info })),
    ),
  };
});

/** A value and, at random places in it, references to random objects of it: shared, and in cycles. */
const knotted = fc
  .tuple(fc.array(tree, { minLength: 1, maxLength: 6 }), fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }))
  .map(([trees, knots]) => {
    const value: unknown[] = [...trees];
    const objects = [...reachable(value)];
    const places = objects.filter((object): object is unknown[] => Array.isArray(object) && object.length < 100);
    for (const [from, to] of knots) places[from % places.length]?.push(objects[to % objects.length]);
    return value;
  });

function* reachable(value: unknown, seen = new Set<unknown>()): Generator<object> {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  yield value;
  if (ArrayBuffer.isView(value)) return;
  if (value instanceof Map) for (const pair of value) for (const part of pair) yield* reachable(part, seen);
  if (value instanceof Set) for (const part of value) yield* reachable(part, seen);
  for (const part of Object.values(value)) yield* reachable(part, seen);
}

/** Each object by the order in which it is reached: two values of one shape have their references at the same places. */
function shape(value: unknown): string {
  const numbers = new Map<unknown, number>();
  const lines: string[] = [];
  const visit = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    const number = numbers.get(part);
    lines.push(number === undefined ? 'new' : String(number));
    if (number !== undefined) return;
    numbers.set(part, numbers.size);
    if (ArrayBuffer.isView(part)) return;
    if (part instanceof Map) for (const pair of part) pair.forEach(visit);
    else if (part instanceof Set) for (const member of part) visit(member);
    else for (const name of Object.keys(part)) visit(part[name as keyof typeof part]);
    if (part instanceof Error) visit(part.cause);
  };
  visit(value);
  return lines.join(' ');
}

describe('P1 any value', () => {
  test('P1 is equal after a round trip, to its last -0, hole, key order and prototype', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const result = decode(encode(value));
        expect(isDeepStrictEqual(result, value)).toBe(true);
        expect(shape(result)).toBe(shape(value));
      }),
      { numRuns: 1_000 },
    );
  });

  test('P1 keeps its cycles and shared references', () => {
    fc.assert(
      fc.property(knotted, (value) => {
        const result = decode(encode(value));
        expect(shape(result)).toBe(shape(value));
      }),
      { numRuns: 1_000 },
    );
  });

  test('P1 with cycles is the same value afterwards', () => {
    fc.assert(
      fc.property(knotted, (value) => {
        const item = encode(value);
        expect(sameValue(item, encode(decode(item)))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('P1 views keep sharing memory exactly where their ranges meet', () => {
    const range = fc.tuple(fc.nat(63), fc.nat(16)).map(([start, size]) => [start, Math.min(size, 64 - start)] as const);
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 6 }), fc.boolean(), (ranges, whole) => {
        const memory = Uint8Array.from({ length: 64 }, (_, i) => i + 1).buffer;
        const views = ranges.map(([start, size]) => new Uint8Array(memory, start, size));
        const result = decode(encode({ views, memory: whole ? memory : undefined })) as {
          views: Uint8Array[];
          memory: unknown;
        };
        expect(result.views).toEqual(views);
        for (const [i, view] of result.views.entries()) {
          if (whole) expect(view.buffer).toBe(result.memory);
          for (const [j, other] of result.views.entries()) {
            const [a, b] = [views[i] as Uint8Array, views[j] as Uint8Array];
            const overlap =
              Math.max(a.byteOffset, b.byteOffset) < Math.min(a.byteOffset + a.length, b.byteOffset + b.length);
            if (overlap) expect(other.buffer).toBe(view.buffer);
            if (overlap) expect(other.byteOffset - view.byteOffset).toBe(b.byteOffset - a.byteOffset);
          }
        }
      }),
    );
  });

  test('canonical bytes depend on the content, not on the order of keys or on sharing', () => {
    const pairs = fc.uniqueArray(fc.tuple(key, tree), { selector: ([name]) => name, maxLength: 6 });
    fc.assert(
      fc.property(pairs, fc.constantFrom(Object.prototype, null), (entries, prototype) => {
        const forward = record(entries, prototype);
        const backward = record(entries.toReversed(), prototype);
        expect(Buffer.compare(canonical(forward), canonical(backward))).toBe(0);
        expect(sameValue(encode([forward, forward]), encode([forward, backward]))).toBe(true);
        expect(sameValue(encode([forward]), encode([record([...entries, ['one more', 1]], prototype)]))).toBe(false);
      }),
    );
  });
});

describe('S8 hostile bytes give a value or a ProtocolError', () => {
  const prototypes = [Object.prototype, Array.prototype, Map.prototype, Error.prototype, Function.prototype];
  const properties = (): number[] => prototypes.map((prototype) => Reflect.ownKeys(prototype).length);
  const clean = properties();
  const refs = { id: 1, local: false, typeId: 't', name: undefined };

  function survives(bytes: Uint8Array): void {
    try {
      decode(new Packed(bytes, [refs], [{ queue: 'q', id: 'j' }]));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
    if (!isDeepStrictEqual(properties(), clean)) throw new Error('a prototype was changed');
  }

  const values = rows.map(([, make]) => make());
  const payloads = [...values.map((value) => [value]), values.filter((value) => canonical(value).length < 200)]
    .map((value) => (encode(value) as Packed).bytes)
    .map((bytes) => Buffer.from(bytes.length > 8_192 ? bytes.subarray(0, 4_096) : bytes));

  const edit = fc.record({
    how: fc.constantFrom('set', 'flip', 'insert', 'remove', 'cut', 'copy'),
    at: fc.nat(),
    size: fc.nat(16),
    // Heads of every MessagePack form, and the numbers that begin our marks.
    byte: fc.oneof(fc.nat(255), fc.integer({ min: 0x80, max: 0xdf }), fc.nat(10)),
  });

  function mutate(source: Buffer, edits: readonly { how: string; at: number; size: number; byte: number }[]): Buffer {
    let bytes = Buffer.from(source);
    for (const { how, at, size, byte } of edits) {
      const place = bytes.length === 0 ? 0 : at % bytes.length;
      const head = bytes.subarray(0, place);
      if (how === 'set' && bytes.length > 0) bytes[place] = byte;
      else if (how === 'flip' && bytes.length > 0) bytes[place] = (bytes[place] as number) ^ (1 << (byte & 7));
      else if (how === 'insert') bytes = Buffer.concat([head, Buffer.alloc(size, byte), bytes.subarray(place)]);
      else if (how === 'remove') bytes = Buffer.concat([head, bytes.subarray(place + size)]);
      else if (how === 'copy') bytes = Buffer.concat([head, bytes.subarray(byte, byte + size), bytes.subarray(place)]);
      else if (how === 'cut' && size === 0) bytes = head;
    }
    return bytes;
  }

  test('S8 mutated payloads', () => {
    fc.assert(
      fc.property(fc.nat(payloads.length - 1), fc.array(edit, { minLength: 1, maxLength: 4 }), (which, edits) =>
        survives(mutate(payloads[which] as Buffer, edits)),
      ),
      { numRuns: 70_000 },
    );
  });

  test('S8 random bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives), { numRuns: 10_000 });
  });

  test('S8 well-formed MessagePack of extensions, marks and references at random', () => {
    const extension = fc.oneof(
      fc.tuple(fc.integer({ min: 0, max: 11 }), fc.uint8Array({ maxLength: 9 })),
      fc.tuple(
        fc.constant(1),
        fc.nat(3).map((constant) => Uint8Array.of(constant)),
      ),
      fc.tuple(
        fc.integer({ min: 7, max: 9 }),
        fc.nat(6).map((index) => Uint8Array.of(index, 0, 0, 0)),
      ),
    );
    const mark = fc.nat(10).map((code) => new ExtData(6, Uint8Array.of(code)));
    const { forged } = fc.letrec<{ forged: unknown }>((tie) => ({
      forged: fc.oneof(
        { depthSize: 'small' },
        fc.oneof(
          fc.integer(),
          fc.constantFrom('Error', 'QM_CYCLE', 'QM_WORKER_LOST', 'DOMException', 'message', 'stack', '__proto__', 'g'),
        ),
        fc.nat(12),
        extension.map(([type, data]) => new ExtData(type, data)),
        fc.array(tie('forged'), { maxLength: 6 }),
        fc.tuple(mark, fc.array(tie('forged'), { maxLength: 8 })).map(([first, rest]) => [first, ...rest]),
        fc.dictionary(fc.string({ maxLength: 5 }), tie('forged'), { maxKeys: 3, noNullPrototype: true }),
      ),
    }));
    const withBlobs = fc
      .tuple(forged, fc.array(fc.nat(20), { maxLength: 4 }), fc.nat(2))
      .map(([root, lengths, off]) => {
        const head = msgpack([new ExtData(6, Uint8Array.of(0)), root, ...lengths]);
        return Buffer.concat([
          head,
          Buffer.alloc(
            lengths.reduce((sum, length) => sum + length, off === 2 ? 1 : 0),
            65,
          ),
        ]);
      });
    fc.assert(
      fc.property(
        fc.oneof(
          forged.map((root) => msgpack(root)),
          withBlobs,
        ),
        survives,
      ),
      { numRuns: 20_000 },
    );
  });
});
