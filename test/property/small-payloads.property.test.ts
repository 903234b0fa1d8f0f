/**
 * The short cut for small payloads beside the library's way: the same bytes out of a value, the same value or error out
 * of bytes. A failure prints its seed; fc.assert's `seed` replays it.
 */
import fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from '#qm/errors.js';
import { decode, decodeFrom, encode, encodeTo } from '#qm/protocol/codec.js';
import { decodeWhole, encodeWhole } from '#qm/protocol/codec/whole.js';
import { notSmall, readSmall, writeSmall } from '#qm/protocol/codec/small.js';
import { Packed, Reader, Writer } from '#qm/protocol/wire.js';

const text = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 5 }),
  fc.integer({ min: 0, max: 300 }).map((length) => 'x'.repeat(length)),
  fc.constantFrom('', '\x7f', '\x80', '\ud800', '\ufeff', 'é', '😀'),
);
const key = fc.oneof(text, fc.constantFrom('i', 'id', '0', '10', '__proto__', 'constructor', 'toString'));
const edges = [0, 0x20, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 2 ** 31, 2 ** 32, 2 ** 53];
const number = fc.oneof(
  fc.integer({ min: -300, max: 300 }),
  fc.integer(),
  fc.double(),
  fc.constantFrom(...edges, ...edges.flatMap((edge) => [edge - 1, -edge, -edge - 1]), Number.NaN, Infinity, 0.5),
);
const part = fc.oneof(
  { arbitrary: number, weight: 4 },
  { arbitrary: text, weight: 3 },
  fc.boolean(),
  fc.constantFrom(null, undefined, 1n, {}, [], [1]),
);
const pairsOf = (parts: fc.Arbitrary<unknown>, maxLength: number) =>
  fc.uniqueArray(fc.tuple(key, parts), { selector: ([name]) => name, maxLength });
/** Objects in objects, nine deep at most. */
const nested = fc.letrec<{ object: object; part: unknown }>((tie) => ({
  part: fc.oneof({ maxDepth: 8 }, { arbitrary: part, weight: 3 }, { arbitrary: tie('object'), weight: 2 }),
  object: pairsOf(tie('part'), 3).map(object),
}));
const pairs = pairsOf(fc.oneof({ arbitrary: part, weight: 6 }, { arbitrary: nested.object, weight: 1 }), 18);

function object(entries: readonly (readonly [string, unknown])[]): object {
  const made = {};
  for (const [name, value] of entries) {
    Object.defineProperty(made, name, { value, enumerable: true, writable: true, configurable: true });
  }
  return made;
}

function small(value: object): Buffer | undefined {
  const writer = new Writer();
  return writeSmall(writer, value) ? writer.take() : undefined;
}

describe('small payloads', () => {
  test('P1 the same bytes as the library, straight into a frame', () => {
    let taken = 0;
    fc.assert(
      fc.property(pairs, (entries) => {
        const value = object(entries);
        const [straight, packed] = [new Writer(), new Writer()];
        expect(encodeTo(straight, value)).toBe(false);
        packed.item(encodeWhole(value, {}, 'value'));
        expect(straight.take().equals(packed.take())).toBe(true);
        const item = encode(value) as Packed;
        expect(Buffer.compare(item.bytes, encodeWhole(value, {}, 'value').bytes)).toBe(0);
        expect(item.bytes.buffer.byteLength).toBe(item.bytes.length); // it keeps nothing but itself
        if (small(value) !== undefined) taken++;
      }),
      { numRuns: 5_000 },
    );
    expect(taken).toBeGreaterThan(500);
  });

  test('P1 what is written here is read here, and equal', () => {
    fc.assert(
      fc.property(pairs, (entries) => {
        const value = object(entries);
        const bytes = small(value);
        if (bytes === undefined) return;
        const result = readSmall(bytes, 0, bytes.length);
        expect(isDeepStrictEqual(result, value)).toBe(true);
        expect(Object.keys(result as object)).toEqual(Object.keys(value));
      }),
      { numRuns: 5_000 },
    );
  });

  test('P2 what has more to it is the library’s: -0, getters, symbols, classes, JavaScript Proxies', () => {
    let ran = false;
    const run = (): number => {
      ran = true;
      return 1;
    };
    const others = [
      { i: -0 },
      Object.defineProperty({}, 'i', { get: run, enumerable: true }),
      { [Symbol('i')]: 1 },
      new (class Point {})(),
      Object.create(null) as object,
      [],
      [1],
      new Date(0),
      new Proxy({}, { getPrototypeOf: () => (run(), Object.prototype), ownKeys: () => (run(), []) }),
      { ['__proto__']: 1 },
      { inner: { ['__proto__']: 1 } },
      { inner: [] },
      { inner: new Proxy({}, { getPrototypeOf: () => (run(), Object.prototype), ownKeys: () => (run(), []) }) },
      { inner: Object.defineProperty({}, 'i', { get: run, enumerable: true }) },
    ];
    for (const other of others) expect(small(other)).toBeUndefined();
    expect(ran).toBe(false);
  });

  test('P3 an object that comes twice is a reference, wherever it comes, and the library’s', () => {
    const point = { x: 1 };
    const circle: { own: unknown } = { own: undefined };
    circle.own = circle;
    const deep: { inner: { own: unknown } } = { inner: { own: undefined } };
    deep.inner.own = deep.inner;
    for (const value of [{ a: point, b: point }, { a: { b: point }, c: point }, circle, deep]) {
      expect(small(value)).toBeUndefined();
      expect(isDeepStrictEqual(decode(encode(value)), value)).toBe(true);
    }
    // Another payload is another matter.
    expect(small({ a: point })).toBeDefined();
    expect(small({ a: point })).toBeDefined();
    expect(small({ a: { x: 1 }, b: { x: 1 } })).toBeDefined();
  });

  test('S8 objects inside of each other without end are the library’s to refuse', () => {
    const levels = 100_000;
    const bytes = Buffer.alloc(3 * levels, Buffer.from([0x81, 0xa1, 0x61]));
    expect(readSmall(bytes, 0, bytes.length)).toBe(notSmall);
    let value: object = {};
    for (let i = 0; i < 20; i++) value = { value };
    expect(small(value)).toBeUndefined();
    expect(isDeepStrictEqual(decode(encode(value)), value)).toBe(true);
  });

  test('S8 mutated bytes: the library’s value, or its error; never a byte behind the payload', () => {
    const edit = fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.integer({ min: 0xc0, max: 0xdf })));
    let taken = 0;
    fc.assert(
      fc.property(pairs, fc.array(edit, { maxLength: 3 }), fc.nat(12), (entries, edits, cut) => {
        const whole = small(object(entries));
        if (whole === undefined) return;
        for (const [at, byte] of edits) whole[at % whole.length] = byte;
        const size = Math.max(1, whole.length - cut);
        const frame = new Writer();
        frame.packedBytes(whole.subarray(0, size));
        frame.raw(whole.subarray(size)); // what would complete it
        frame.item('next');
        const bytes = frame.take();
        const [straight, packed] = [new Reader(bytes), new Reader(bytes)];
        const item = packed.item();
        const [here, there] = [outcome(() => decodeFrom(straight)), outcome(() => decodeWhole(item, {}))];
        expect(isDeepStrictEqual(here, there)).toBe(true);
        expect(
          isDeepStrictEqual(
            outcome(() => decode(item)),
            there,
          ),
        ).toBe(true);
        expect(straight.position).toBe(packed.position);
        if (readSmall(bytes, 5, 5 + size) !== notSmall) taken++;
      }),
      { numRuns: 40_000 },
    );
    expect(taken).toBeGreaterThan(500);
  });

  test('S8 random bytes likewise', () => {
    fc.assert(
      fc.property(fc.nat(15), fc.uint8Array({ maxLength: 40 }), (head, rest) => {
        const frame = new Writer();
        frame.item(new Packed(Uint8Array.of(0x80 + head, ...rest)));
        const bytes = frame.take();
        const here = outcome(() => decodeFrom(new Reader(bytes)));
        expect(
          isDeepStrictEqual(
            here,
            outcome(() => decodeWhole(new Reader(bytes).item(), {})),
          ),
        ).toBe(true);
      }),
      { numRuns: 20_000 },
    );
  });
});

function outcome(read: () => unknown): unknown {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof ProtocolError) return { message: error.message };
    throw error;
  }
}
