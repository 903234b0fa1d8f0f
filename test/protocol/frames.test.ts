import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { FrameTooLargeError, ProtocolError } from '#qm/errors.js';
import { FrameDecoder } from '#qm/protocol/frames.js';
import { Writer } from '#qm/protocol/wire.js';

interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

function streamOf(frames: readonly Frame[]): Buffer {
  const writer = new Writer();
  for (const { kind, body } of frames) {
    const start = writer.startFrame(kind);
    writer.raw(body);
    writer.endFrame(start);
  }
  return writer.take();
}

function header(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return bytes;
}

/** Decodes chunks that are overwritten afterwards, so that a decoder that keeps a view into one is caught. */
function decode(chunks: Iterable<Buffer>, limit = 1 << 20): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder(limit, (kind, reader) =>
    frames.push({ kind, body: Buffer.from(reader.view(reader.left)) }),
  );
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk);
    decoder.push(lent);
    lent.fill(0xee);
  }
  expect(decoder.partial).toBe(false);
  return frames;
}

function* cut(stream: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < stream.length; at += size) yield stream.subarray(at, at + size);
}

const frame = (kind: number, size: number): Frame => ({ kind, body: Buffer.alloc(size, kind) });
const frames: fc.Arbitrary<Frame[]> = fc.array(
  fc.record({
    kind: fc.nat(255),
    body: fc
      .oneof({ weight: 5, arbitrary: fc.nat(40) }, { weight: 1, arbitrary: fc.nat(6000) })
      .chain((size) => fc.nat(255).map((fill) => Buffer.alloc(size, fill))),
  }),
  { minLength: 1, maxLength: 6 },
);

afterEach(() => void vi.restoreAllMocks());

describe('C2 the same frames come out however the stream was cut', () => {
  test('C2 cut in two at every place, and in three at every pair of places', () => {
    const sent = [frame(1, 0), frame(2, 3), frame(255, 11), frame(0, 1), frame(7, 0)];
    const stream = streamOf(sent);
    for (let i = 0; i <= stream.length; i++) {
      for (let j = i; j <= stream.length; j++) {
        expect(decode([stream.subarray(0, i), stream.subarray(i, j), stream.subarray(j)])).toEqual(sent);
      }
    }
  });

  test('C2 random frames, cut into chunks of one byte and at random places', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(1 << 17), { maxLength: 20 }), (sent, places) => {
        const stream = streamOf(sent);
        expect(decode([stream])).toEqual(sent);
        expect(decode(cut(stream, 1))).toEqual(sent);
        const cuts = [0, ...places.map((at) => at % (stream.length + 1)).sort((a, b) => a - b), stream.length];
        expect(decode(cuts.slice(1).map((to, i) => stream.subarray(cuts[i], to)))).toEqual(sent);
      }),
    );
  });

  /** Bytes that the decoder copied while it decoded `chunks`, and what it allocated. */
  function costOf(chunks: Buffer[], limit: number): { copied: number; allocated: number; frames: number } {
    let decoded = 0;
    const decoder = new FrameDecoder(limit, () => decoded++);
    const copy = vi.spyOn(Buffer.prototype, 'copy');
    const allocate = vi.spyOn(Buffer, 'allocUnsafe');
    for (const chunk of chunks) decoder.push(chunk);
    const cost = {
      copied: copy.mock.results.reduce((sum, result) => sum + (result.value as number), 0),
      allocated: allocate.mock.calls.reduce((sum, [size]) => sum + size, 0),
      frames: decoded,
    };
    vi.restoreAllMocks();
    return cost;
  }

  test.each([
    [1, 1 << 18],
    [1, 70_000],
    [2, 65_537],
    [7, 1 << 20],
    [1000, 1_048_000],
    [65_536, 1 << 20],
    [65_536, 1 << 24],
    [65_000, 12_345_678],
  ])('C2 the cost is linear: in chunks of %i bytes a frame of %i', (size, length) => {
    const chunks = [...cut(streamOf([frame(1, length - 1)]), size)];
    const { copied, allocated, frames: decoded } = costOf(chunks, length);
    expect(decoded).toBe(1);
    expect(copied).toBeGreaterThanOrEqual(length - 5);
    expect(copied).toBeLessThan(length * 1.4);
    expect(allocated).toBeLessThan(length * 1.4);
  });

  test('C2 frames that lie inside a chunk are not copied at all', () => {
    const stream = streamOf(Array.from({ length: 1000 }, (_, i) => frame(i % 256, i % 60)));
    expect(costOf([stream], 100)).toEqual({ copied: 0, allocated: 0, frames: 1000 });
  });

  test('C2 only the frame at the seam of two chunks is copied', () => {
    const stream = streamOf(Array.from({ length: 1000 }, () => frame(1, 59)));
    const { copied, frames: decoded } = costOf([...cut(stream, 1010)], 100);
    expect(decoded).toBe(1000);
    expect(copied).toBeLessThan((stream.length / 1010) * 64);
  });
});

describe('C4 a length is judged before anything is allocated for it', () => {
  test('C4 a claim of 4 GiB is refused from its four bytes', () => {
    const decoder = new FrameDecoder(64 << 20, () => {});
    const before = process.memoryUsage().arrayBuffers;
    expect(() => decoder.push(header(0xffff_ffff))).toThrow(FrameTooLargeError);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  test('C4 also when the header comes byte by byte', () => {
    const decoder = new FrameDecoder(1000, () => {});
    const [a, b, c, d] = cut(header(1001), 1);
    for (const byte of [a, b, c]) decoder.push(byte as Buffer);
    expect(() => decoder.push(d as Buffer)).toThrow('1001 bytes; at most 1000');
  });

  test('C4 a claim within the limit buys a few times what was sent, not what was claimed', () => {
    const limit = 256 << 20;
    const decoders = Array.from({ length: 100 }, () => new FrameDecoder(limit, () => {}));
    const opening = Buffer.concat([header(limit), Buffer.alloc(100)]);
    const before = process.memoryUsage().arrayBuffers;
    for (const decoder of decoders) decoder.push(opening);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    expect(decoders.every((decoder) => decoder.partial)).toBe(true);
  });

  test('C4 the longest frame passes, one byte more does not', () => {
    expect(decode([streamOf([frame(1, 99)])], 100)).toEqual([frame(1, 99)]);
    expect(() => decode([streamOf([frame(1, 100)])], 100)).toThrow(FrameTooLargeError);
  });

  test('C4 the limit may change between two frames of one chunk', () => {
    const kinds: number[] = [];
    const decoder = new FrameDecoder(10, (kind) => {
      kinds.push(kind);
      decoder.limit = 1000;
    });
    decoder.push(streamOf([frame(1, 5), frame(2, 500)]));
    expect(kinds).toEqual([1, 2]);
    expect(() => decoder.push(streamOf([frame(3, 1000)]))).toThrow(FrameTooLargeError);
  });

  test('a frame of length 0 is refused', () => {
    expect(() => decode([header(0)])).toThrow(ProtocolError);
  });
});

test('P5 a frame of 256 MiB passes in chunks of 64 KiB', () => {
  const length = 256 << 20;
  let body = 0;
  const decoder = new FrameDecoder(length, (_, reader) => (body = reader.left));
  decoder.push(header(length));
  const chunk = Buffer.alloc(1 << 16);
  for (let sent = 0; sent < length; sent += chunk.length) decoder.push(chunk);
  expect(body).toBe(length - 1);
});

test('C3 random garbage: a typed error or frames, never anything else, and silence after the error', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 30 }),
      fc.constantFrom(10, 4096, 0xffff_ffff),
      (garbage, limit) => {
        let decoded = 0;
        const decoder = new FrameDecoder(limit, (kind, reader) => {
          decoded++;
          expect(kind).toBeLessThan(256);
          expect(reader.left).toBeLessThan(limit);
        });
        for (const chunk of garbage) {
          try {
            decoder.push(Buffer.from(chunk));
          } catch (error) {
            expect(error instanceof FrameTooLargeError || error instanceof ProtocolError).toBe(true);
            const before = decoded;
            for (const more of garbage) decoder.push(Buffer.from(more));
            expect(decoded).toBe(before);
            return;
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});

describe('C5 partial says whether the sender owes us bytes', () => {
  test('C5 from the first byte of a frame to its last', () => {
    const decoder = new FrameDecoder(1000, () => {});
    const stream = streamOf([frame(1, 20)]);
    expect(decoder.partial).toBe(false);
    for (const byte of cut(stream.subarray(0, -1), 1)) {
      decoder.push(byte);
      expect(decoder.partial).toBe(true);
    }
    decoder.push(stream.subarray(-1));
    expect(decoder.partial).toBe(false);
    decoder.push(Buffer.concat([stream, stream.subarray(0, 2)]));
    expect(decoder.partial).toBe(true);
  });

  test('C5 while a frame is handled it counts as complete', () => {
    const seen: boolean[] = [];
    const decoder = new FrameDecoder(1000, () => seen.push(decoder.partial));
    for (const chunk of cut(streamOf([frame(1, 20), frame(2, 0)]), 3)) decoder.push(chunk);
    expect(seen).toEqual([false, false]);
  });

  test('C5 under a limit of 4 KiB a silent peer holds no more than that', () => {
    const all = Buffer.concat([header(4096), Buffer.alloc(4095)]);
    const allocate = vi.spyOn(Buffer, 'allocUnsafe');
    const decoder = new FrameDecoder(4096, () => {});
    for (const byte of cut(all, 1)) decoder.push(byte);
    expect(allocate.mock.calls).toEqual([[4096]]);
  });
});

describe('ending', () => {
  const three = streamOf([frame(1, 5), frame(2, 5), frame(3, 5)]);

  test.each([1, 4, 10, 100])('after stop() nothing is decoded, chunks of %i bytes', (size) => {
    const kinds: number[] = [];
    const decoder = new FrameDecoder(100, (kind) => {
      kinds.push(kind);
      if (kind === 2) decoder.stop();
    });
    for (const chunk of cut(three, size)) decoder.push(chunk);
    expect(kinds).toEqual([1, 2]);
    expect(decoder.partial).toBe(false);
  });

  test.each([1, 4, 10, 100])(
    'what onFrame throws comes out of push(), and nothing is decoded after it, chunks of %i bytes',
    (size) => {
      const kinds: number[] = [];
      const decoder = new FrameDecoder(100, (kind) => {
        kinds.push(kind);
        if (kind === 2) throw new Error('refused');
      });
      let thrown = 0;
      for (const chunk of cut(three, size)) {
        try {
          decoder.push(chunk);
        } catch (error) {
          thrown++;
          expect((error as Error).message).toBe('refused');
        }
      }
      expect(kinds).toEqual([1, 2]);
      expect(thrown).toBe(1);
    },
  );
});
