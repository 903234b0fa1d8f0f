/** Long frames in parts: how they are put together, and what is refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameTooLargeError, ProtocolError } from 'quartermaster';
import { FrameDecoder } from '#qm/protocol/frames.js';
import { ToManager } from '#qm/protocol/messages.js';
import { Assembly } from '#qm/protocol/parts.js';
import { Reader } from '#qm/protocol/wire.js';
import { frame } from '../kit/raw-client.ts';

const LIMIT = 1 << 20;

const claim = (length: number): Reader => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(length);
  return new Reader(bytes);
};
const bytes = (length: number): Reader => new Reader(Buffer.alloc(length, 7));

describe('C4 a long frame', () => {
  test('C4 is judged by what it claims, before anything is allocated', () => {
    const assembly = new Assembly();
    expect(() => assembly.begin(claim(LIMIT + 1), LIMIT)).toThrow(FrameTooLargeError);
    expect(() => assembly.begin(claim(0), LIMIT)).toThrow(ProtocolError);
    expect(assembly.partial).toBe(false);
    const before = process.memoryUsage().arrayBuffers;
    assembly.begin(claim(2 ** 32 - 1), 2 ** 32 - 1);
    assembly.add(bytes(1000));
    expect(assembly.partial).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100_000);
  });

  test.each([
    ['one inside of another', (assembly: Assembly) => assembly.begin(claim(10), LIMIT)],
    ['more bytes than claimed', (assembly: Assembly) => assembly.add(bytes(11))],
    ['a part without bytes', (assembly: Assembly) => assembly.add(bytes(0))],
  ])('C3 %s is refused', (_what, step) => {
    const assembly = new Assembly();
    assembly.begin(claim(10), LIMIT);
    expect(() => step(assembly)).toThrow(ProtocolError);
  });

  test('C3 a part of nothing is refused, also after the last one', () => {
    const assembly = new Assembly();
    expect(() => assembly.add(bytes(1))).toThrow(ProtocolError);
    assembly.begin(claim(3), LIMIT);
    expect(assembly.add(bytes(3))?.left).toBe(3);
    expect(() => assembly.add(bytes(1))).toThrow(ProtocolError);
  });

  test('C3 a claim with something behind it is refused', () => {
    expect(() => new Assembly().begin(bytes(5), LIMIT)).toThrow(ProtocolError);
  });
});

test('C2 parts, cut anywhere and among other frames: the same bytes, and nothing is owed at the end', () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 12 });
  const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(cuts, sizes, fc.boolean(), (cut, parts, others) => {
      const other = frame(ToManager.CALL, (writer) => writer.raw(Buffer.alloc(20, 1)));
      const sent = parts.map((size, i) => Buffer.alloc(size, i + 1));
      const stream = Buffer.concat(
        sent.flatMap((part) => [frame(ToManager.PART, (writer) => writer.raw(part)), ...(others ? [other] : [])]),
      );
      const assembly = new Assembly();
      const whole = Buffer.concat(sent);
      assembly.begin(claim(whole.length), LIMIT);
      const got: Buffer[] = [];
      let calls = 0;
      const decoder = new FrameDecoder(1000, (kind, reader) => {
        if (kind === ToManager.CALL) {
          expect(reader.view(20).every((byte) => byte === 1)).toBe(true);
          calls++;
          return;
        }
        const done = assembly.add(reader);
        if (done !== undefined) got.push(done.view(done.left));
      });
      decoder.piecemeal = ToManager.PART;
      for (let at = 0, i = 0; at < stream.length; i++) {
        const size = cut[i % cut.length] as number;
        decoder.push(stream.subarray(at, at + size));
        at += size;
      }
      expect(got).toEqual([whole]);
      expect(calls).toBe(others ? parts.length : 0);
      expect(decoder.partial).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test('C5 a part that is cut is owed, to its last byte', () => {
  const decoder = new FrameDecoder(1000, () => {});
  decoder.piecemeal = ToManager.PART;
  const part = frame(ToManager.PART, (writer) => writer.raw(Buffer.alloc(10)));
  for (let at = 1; at < part.length; at++) {
    decoder.push(part.subarray(0, at));
    expect(decoder.partial).toBe(true);
    decoder.push(part.subarray(at));
    expect(decoder.partial).toBe(false);
  }
});
