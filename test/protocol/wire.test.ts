/** Items and frames as bytes: what is written is read, at every boundary, and no read goes past its frame. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProtocolError } from 'quartermaster';
import { collectGarbage } from '../kit/memory.ts';
import { type Item, Packed, Reader, Verbatim, Writer } from '#qm/protocol/wire.js';

function bytesOf(write: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  write(writer);
  return Buffer.from(writer.take());
}

const itemBytes = (item: Item): Buffer => bytesOf((writer) => writer.item(item));

function roundTrip(item: Item): Item {
  const reader = new Reader(itemBytes(item));
  const read = reader.item();
  reader.end();
  return read;
}

/** Tags as they stand in wire.ts: the form of the bytes is a promise to the other side. */
const tag = {
  undefined: 0, null: 1, false: 2, true: 3, int32: 4, float64: 5, ascii: 6, utf8: 7, utf16: 8, bigint: 9, packed: 10, packedWithRefs: 11, list: 12,
}; // prettier-ignore

const proxy = { id: 2 ** 48 - 1, local: true, typeId: 'dict', name: 'jobs' };
const unnamed = { id: 1, local: false, typeId: 'Über', name: undefined };

/** Item, tag, and bytes of the whole where they are worth a line. */
const table: [name: string, item: Item, tag: number, bytes?: number[]][] = [
  ['undefined', undefined, tag.undefined, [0]],
  ['null', null, tag.null, [1]],
  ['false', false, tag.false, [2]],
  ['true', true, tag.true, [3]],
  ['0', 0, tag.int32, [4, 0, 0, 0, 0]],
  ['-0', -0, tag.float64],
  ['the largest int32', 2 ** 31 - 1, tag.int32, [4, 0xff, 0xff, 0xff, 0x7f]],
  ['the smallest int32', -(2 ** 31), tag.int32, [4, 0, 0, 0, 0x80]],
  ['one above int32', 2 ** 31, tag.float64],
  ['one below int32', -(2 ** 31) - 1, tag.float64],
  ['a fraction', 0.1, tag.float64],
  ['the largest number', Number.MAX_VALUE, tag.float64],
  ['the smallest number', Number.MIN_VALUE, tag.float64],
  ['NaN', NaN, tag.float64],
  ['Infinity', Infinity, tag.float64],
  ['-Infinity', -Infinity, tag.float64],
  ['an empty string', '', tag.ascii, [6, 0]],
  ['ASCII', 'ab', tag.ascii, [6, 2, 0x61, 0x62]],
  ['ASCII with NUL and DEL', '\0\x7f', tag.ascii, [6, 2, 0, 0x7f]],
  ['255 characters', 'x'.repeat(255), tag.ascii],
  ['256 characters', 'x'.repeat(256), tag.utf8],
  ['one character above ASCII', '\x80', tag.utf8, [7, 2, 0, 0, 0, 0xc2, 0x80]],
  ['above ASCII at the end of 255', `${'x'.repeat(254)}é`, tag.utf8],
  ['an astral character', '𝒳', tag.utf8],
  ['a byte order mark in front', '\ufeffx', tag.utf8],
  ['a lone high surrogate', 'a\ud800', tag.utf16],
  ['a lone low surrogate', '\udc00a', tag.utf16],
  ['surrogates in the wrong order', '\udc00\ud800', tag.utf16],
  ['a lone surrogate in 300 characters', `${'x'.repeat(299)}\udfff`, tag.utf16],
  ['0n', 0n, tag.bigint, [9, 0, 1, 0, 0, 0, 0x30]],
  ['-1n', -1n, tag.bigint, [9, 1, 1, 0, 0, 0, 0x31]],
  ['a bigint above 64 bits', 2n ** 64n, tag.bigint],
  ['a bigint of 10,000 bits, less than zero', -(2n ** 10_000n) - 1n, tag.bigint],
  ['packed bytes', new Packed(Buffer.from([1, 2, 3])), tag.packed, [10, 3, 0, 0, 0, 1, 2, 3]],
  ['no packed bytes', new Packed(Buffer.alloc(0)), tag.packed],
  ['many packed bytes', new Packed(Buffer.alloc(10_000, 7)), tag.packed],
  ['packed bytes with proxies', new Packed(Buffer.from([9]), [proxy, unnamed]), tag.packedWithRefs],
  ['packed bytes with jobs', new Packed(Buffer.from([9]), [], [{ queue: 'default', id: 't1' }]), tag.packedWithRefs],
  ['an empty list', [], tag.list, [12, 0, 0, 0, 0]],
  ['a list of everything', [undefined, null, true, 1, -0, 'é', 5n, new Packed(Buffer.from([4])), [[]]], tag.list],
  ['lists as deep as allowed', [[[[[[[[1]]]]]]]], tag.list],
];

describe('items', () => {
  test.each(table)('%s', (_name, item, expected, bytes) => {
    const written = itemBytes(item);
    expect(written[0]).toBe(expected);
    if (bytes !== undefined) expect([...written]).toEqual(bytes);
    expect(roundTrip(item)).toEqual(item);
  });

  test('-0 stays -0, and 0 stays 0', () => {
    expect(Object.is(roundTrip(-0), -0)).toBe(true);
    expect(Object.is(roundTrip(0), 0)).toBe(true);
  });

  test('any string, number, bigint and list of them', () => {
    const scalar = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 600 }),
      fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)), maxLength: 300 }),
      fc.double(),
      fc.integer(),
      fc.bigInt(),
      fc.boolean(),
      fc.constantFrom(undefined, null),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => new Packed(Buffer.from(bytes))),
    );
    const { item } = fc.letrec<{ item: Item }>((tie) => ({
      item: fc.oneof({ maxDepth: 5, depthSize: 'small' }, scalar, fc.array(tie('item'), { maxLength: 6 })),
    }));
    fc.assert(
      fc.property(item, (value) => {
        expect(roundTrip(value)).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  test('packed bytes that were read own their memory', () => {
    const bytes = itemBytes(new Packed(Buffer.from([1, 2, 3])));
    const { bytes: read } = new Reader(bytes).item() as Packed;
    bytes.fill(0);
    expect([...read]).toEqual([1, 2, 3]);
  });

  test('what is forwarded as it came is read as what it was, small or large', () => {
    for (const item of [
      'é',
      7,
      2n ** 70n,
      new Packed(Buffer.alloc(4091, 1)),
      new Packed(Buffer.alloc(4092, 1)),
      'x'.repeat(10_000),
    ]) {
      const kept = new Reader(itemBytes(item)).rest();
      expect(roundTrip(new Verbatim(kept))).toEqual(item);
    }
  });

  test('up to 4,096 bytes are kept as a string, more as bytes of their own', () => {
    const kept = (payload: number): string | Uint8Array =>
      new Reader(itemBytes(new Packed(Buffer.alloc(payload)))).rest();
    expect(kept(4096 - 5)).toBeTypeOf('string');
    const source = itemBytes(new Packed(Buffer.alloc(4096 - 4, 1)));
    const large = new Reader(source).rest() as Buffer;
    expect(large).toBeInstanceOf(Uint8Array);
    source.fill(0);
    expect(large[10]).toBe(1);
  });

  test('a list deeper than 16 is refused, however short', () => {
    let deep: Item = 1;
    for (let i = 0; i < 17; i++) deep = [deep];
    expect(() => new Reader(itemBytes(deep)).item()).toThrow(ProtocolError);
  });

  test('a name of 65,535 bytes passes, one more does not, and the writer goes on', () => {
    const writer = new Writer();
    writer.text('é'.repeat(32_767));
    expect(() => writer.text('é'.repeat(32_768))).toThrow(RangeError);
    writer.u8(5);
    const reader = new Reader(writer.take());
    expect(reader.text()).toBe('é'.repeat(32_767));
    expect(reader.u8()).toBe(5);
    reader.end();
  });
});

describe('a reader never leaves its frame', () => {
  /** Around each body: bytes that would make sense, were they read. */
  const outside = Buffer.alloc(64, 0);
  const framed = (body: Buffer): Reader =>
    new Reader(Buffer.concat([outside, body, outside]), outside.length, outside.length + body.length);

  test.each(table)('every truncation of %s is a ProtocolError', (_name, item) => {
    const bytes = itemBytes(item);
    const step = Math.max(1, Math.floor(bytes.length / 100));
    for (let length = 0; length < bytes.length; length += step) {
      expect(() => framed(bytes.subarray(0, length)).item(), `${length} of ${bytes.length} bytes`).toThrow(
        ProtocolError,
      );
    }
    expect(framed(bytes).item()).toEqual(item);
  });

  const fields: [string, (reader: Reader) => unknown, number][] = [
    ['u8', (reader) => reader.u8(), 1],
    ['u16', (reader) => reader.u16(), 2],
    ['u32', (reader) => reader.u32(), 4],
    ['u48', (reader) => reader.u48(), 6],
    ['f64', (reader) => reader.f64(), 8],
    ['view', (reader) => reader.view(10), 10],
    ['text', (reader) => reader.text(), 2],
    ['rest', (reader) => reader.rest(), 1],
  ];
  test.each(fields)('%s of a body that is too short is a ProtocolError', (_name, read, bytes) => {
    for (let length = 0; length < bytes; length++)
      expect(() => read(framed(Buffer.alloc(length)))).toThrow(ProtocolError);
    expect(() => read(framed(Buffer.alloc(bytes)))).not.toThrow();
  });

  test('a text whose length goes beyond the body', () => {
    expect(() => framed(Buffer.from([5, 0, 0x61, 0x62, 0x63, 0x64])).text()).toThrow(ProtocolError);
  });

  test('what is left over is a ProtocolError too', () => {
    const reader = framed(Buffer.from([1, 2]));
    reader.u8();
    expect(() => reader.end()).toThrow('1 bytes too many');
  });

  test.each([
    ['a string of 4 GiB', [7, 0xff, 0xff, 0xff, 0xff]],
    ['UTF-16 of 4 GiB', [8, 0xff, 0xff, 0xff, 0xff]],
    ['a bigint of 4 GiB', [9, 0, 0xff, 0xff, 0xff, 0xff]],
    ['packed bytes of 4 GiB', [10, 0xff, 0xff, 0xff, 0xff]],
    ['a list of 4 billion', [12, 0xff, 0xff, 0xff, 0xff]],
    ['a list of one more than there are bytes', [12, 2, 0, 0, 0, 1]],
    ['65,535 proxies', [11, 0xff, 0xff, 0]],
  ])('a claim of %s is refused before anything is made for it', (_name, bytes) => {
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) expect(() => framed(Buffer.from(bytes)).item()).toThrow(ProtocolError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  test('tags that do not exist are refused', () => {
    for (let unknown = 13; unknown < 256; unknown++) {
      expect(() => framed(Buffer.concat([Buffer.from([unknown]), outside])).item()).toThrow(ProtocolError);
    }
  });

  test('a bigint whose digits are none is refused', () => {
    for (const digits of ['', 'g', 'A', '-1', ' 1', '0x1', '1n']) {
      const bytes = Buffer.concat([Buffer.from([9, 0, digits.length, 0, 0, 0]), Buffer.from(digits)]);
      expect(() => framed(bytes).item(), digits).toThrow(ProtocolError);
    }
  });

  test('scalar() and string() refuse what is none', () => {
    expect(() => framed(itemBytes([1])).scalar()).toThrow(ProtocolError);
    expect(() => framed(itemBytes(new Packed(Buffer.from([1])))).scalar()).toThrow(ProtocolError);
    expect(framed(itemBytes(null)).scalar()).toBe(null);
    for (const other of [undefined, null, 1, 1n, true])
      expect(() => framed(itemBytes(other)).string()).toThrow(ProtocolError);
  });

  test('random bytes: an item or a ProtocolError, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0, max: 12 }), (bytes, first) => {
        const reader = framed(Buffer.concat([Buffer.from([first]), bytes]));
        try {
          reader.item();
          expect(reader.left).toBeGreaterThanOrEqual(0);
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
        }
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('integers', () => {
  test('u48 holds every value up to 2^48 - 1', () => {
    for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, 2 ** 48 - 1]) {
      const reader = new Reader(bytesOf((writer) => writer.u48(value)));
      expect(reader.u48()).toBe(value);
      reader.end();
    }
  });

  test('u32 holds every value, also above 2^31', () => {
    for (const value of [0, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(new Reader(bytesOf((writer) => writer.u32(value))).u32()).toBe(value);
    }
  });
});

describe('the writer', () => {
  const frameOf = (writer: Writer, kind: number, ...items: Item[]): number => {
    const start = writer.startFrame(kind);
    for (const item of items) writer.item(item);
    return writer.endFrame(start);
  };

  test('a frame begins with the length of the rest', () => {
    const writer = new Writer();
    expect(frameOf(writer, 9, null)).toBe(6);
    expect([...writer.take()]).toEqual([2, 0, 0, 0, 9, 1]);
  });

  test('what take() has given away is never written again', () => {
    const writer = new Writer();
    const taken: [Buffer, string][] = [];
    for (let i = 0; i < 500; i++) {
      frameOf(writer, i % 256, 'x'.repeat(i * 3));
      const bytes = writer.take();
      taken.push([bytes, bytes.toString('latin1')]);
    }
    for (const [bytes, was] of taken) expect(bytes.toString('latin1')).toBe(was);
  });

  test('generation says whether what was written can still be patched', () => {
    const writer = new Writer();
    const first = writer.generation;
    frameOf(writer, 1, 1);
    expect(writer.generation).toBe(first);
    const at = writer.length;
    writer.u32(0);
    writer.patchU32(77, at);
    const bytes = writer.take();
    expect(bytes.readUInt32LE(at)).toBe(77);
    expect(writer.generation).toBe(first + 1);
    expect(writer.length).toBe(0);
  });

  test('a patch finds its place though the memory has grown since', () => {
    const writer = new Writer();
    writer.u8(1);
    const at = writer.length;
    writer.u32(0);
    writer.raw(Buffer.alloc(300_000, 9));
    writer.patchU32(0xdead_beef, at);
    expect(writer.take().readUInt32LE(at)).toBe(0xdead_beef);
  });

  test('an abandoned frame leaves no trace, large or small', () => {
    const clean = new Writer();
    frameOf(clean, 1, 'before');
    frameOf(clean, 3, 'after');
    const writer = new Writer();
    frameOf(writer, 1, 'before');
    for (const size of [0, 10, 200_000]) {
      const start = writer.startFrame(2);
      writer.raw(Buffer.alloc(size));
      writer.abandonFrame(start);
    }
    frameOf(writer, 3, 'after');
    expect(writer.take()).toEqual(clean.take());
  });

  test('frames of every size, taken at random, come out as they went in', () => {
    const sizes = fc.array(fc.tuple(fc.oneof(fc.nat(200), fc.nat(70_000)), fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(sizes, (frames) => {
        const writer = new Writer();
        const chunks: Buffer[] = [];
        for (const [i, [size, takes]] of frames.entries()) {
          const start = writer.startFrame(i);
          writer.raw(Buffer.alloc(size, i));
          expect(writer.endFrame(start)).toBe(size + 5);
          if (takes) chunks.push(writer.take());
        }
        chunks.push(writer.take());
        const reader = new Reader(Buffer.concat(chunks));
        for (const [i, [size]] of frames.entries()) {
          expect([reader.u32(), reader.u8()]).toEqual([size + 1, i]);
          expect(reader.view(size).equals(Buffer.alloc(size, i))).toBe(true);
        }
        reader.end();
      }),
      { numRuns: 100 },
    );
  });

  test('raw() takes a part of bytes, small or large', () => {
    const source = Buffer.from(Array.from({ length: 200 }, (_, i) => i));
    for (const [from, to] of [
      [0, 0],
      [0, 5],
      [3, 20],
      [10, 34],
      [10, 33],
      [0, 200],
      [1, 199],
    ] as const) {
      expect(bytesOf((writer) => writer.raw(source, from, to))).toEqual(source.subarray(from, to));
    }
  });

  test('one large frame, sent or abandoned, does not leave its memory behind', () => {
    const writers = Array.from({ length: 10 }, () => new Writer());
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const large = new Packed(Buffer.alloc(4 << 20));
    for (const [i, writer] of writers.entries()) {
      const start = writer.startFrame(1);
      writer.item(large);
      if (i % 2 === 0) writer.take();
      else writer.abandonFrame(start);
    }
    collectGarbage();
    const kept = process.memoryUsage().arrayBuffers - before - large.bytes.length;
    expect(kept / writers.length).toBeLessThan(300_000);
    for (const writer of writers) expect(writer.length).toBe(0);
  });
});

describe('payloads that are stored beside the frame', () => {
  const region = { arena: 3, offset: 2 ** 48 - 4096, length: 2 ** 32 - 1 };
  const pieces = [Buffer.from('ab'), Buffer.from('c')];

  function storing(room = true): { writer: Writer; back: unknown[] } {
    const writer = new Writer();
    const back: unknown[] = [];
    writer.attachFrom(3);
    writer.storeIn({ put: () => (room ? region : undefined), takeBack: (taken) => void back.push(taken) });
    return { writer, back };
  }

  test('where it lies stands in the place of the item, and is read only where it may be', () => {
    const { writer, back } = storing();
    expect(writer.store(pieces, 3)).toBe(true);
    const bytes = Buffer.from(writer.take());
    expect(new Reader(bytes).regionUntil(bytes.length)).toEqual(region);
    expect(() => new Reader(bytes).item()).toThrow('unknown tag 13');
    expect(() => new Reader(bytes).rest()).toThrow('unknown tag 13');
    expect(() => new Reader(bytes).regionUntil(bytes.length - 1)).toThrow(ProtocolError);
    expect(() => new Reader(Buffer.concat([bytes, bytes])).regionUntil(2 * bytes.length)).toThrow(ProtocolError);
    expect(new Reader(itemBytes('x')).regionUntil(3)).toBeUndefined();
    expect(back).toEqual([]);
  });

  test('small ones, and those without room, are not stored', () => {
    expect(storing().writer.store(pieces, 2)).toBe(false);
    expect(storing(false).writer.store(pieces, 3)).toBe(false);
    expect(new Writer().store(pieces, 3)).toBe(false);
  });

  test('a frame that is not sent takes back what it has stored, one that has left does not, nor one that moves', () => {
    const { writer, back } = storing();
    writer.u8(1);
    const start = writer.startFrame(7);
    writer.store(pieces, 3);
    writer.abandonFrame(start);
    expect(back).toEqual([region]);
    const entry = writer.length;
    writer.store(pieces, 3);
    const excerpt = writer.copySince(entry);
    writer.cut(entry);
    expect(back).toEqual([region]);
    writer.u8(2);
    writer.rewrite(excerpt);
    writer.cut(entry + 1);
    expect(back).toEqual([region, region]);
    writer.store(pieces, 3);
    writer.take();
    writer.store(pieces, 3);
    writer.takeUntil(0);
    writer.cut(0);
    expect(back).toEqual([region, region, region]);
  });
});
