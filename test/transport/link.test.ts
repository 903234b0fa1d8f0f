/** Frames of several entries, as a link writes them and a peer reads them. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FrameTooLargeError } from 'quartermaster';
import { FrameDecoder } from '#qm/protocol/frames.js';
import { Link } from '#qm/transport/link.js';
import type { Transport } from '#qm/transport/transport.js';

const HEADER = 5; // kind and handle, after the length word
const LENGTH = 4; // of an entry

/** A transport that keeps what is sent. */
function keeping(): { transport: Transport; sent: Buffer[]; now: number[] } {
  const sent: Buffer[] = [];
  /** Which of them were not to wait for the end of the turn. */
  const now: number[] = [];
  const transport: Transport = {
    peer: 'test',
    pending: 0,
    send: (bytes) => void sent.push(Buffer.from(bytes)),
    sendNow: (bytes) => void now.push(sent.push(Buffer.from(bytes)) - 1),
    receive: () => {},
    pause: () => {},
    resume: () => {},
    close: () => {},
    destroy: () => {},
    ref: () => {},
    unref: () => {},
  };
  return { transport, sent, now };
}

interface Entry {
  readonly kind: number;
  readonly handle: number;
  readonly size: number;
}

interface Frame {
  readonly size: number;
  readonly entries: Entry[];
}

function framesOf(sent: Buffer[]): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder(0xffff_ffff, (kind, reader) => {
    const size = reader.left + 1;
    const handle = reader.u32();
    const entries: Entry[] = [];
    while (reader.left > 0) {
      const end = reader.entry();
      const entry = { kind, handle, size: end - reader.position };
      expect(reader.view(entry.size).every((byte) => byte === kind)).toBe(true);
      reader.endEntry(end);
      entries.push(entry);
    }
    frames.push({ size, entries });
  });
  for (const bytes of sent) decoder.push(bytes);
  expect(decoder.partial).toBe(false);
  return frames;
}

/** Writes the entry; `drop`: it turns out in the middle that it was not to be. */
function write(link: Link, { kind, handle, size }: Entry, drop: boolean): void {
  link.beginEntry(kind, handle);
  if (drop) {
    link.writer.raw(Buffer.alloc(size >> 1, 99));
    return link.dropEntry();
  }
  link.writer.raw(Buffer.alloc(size, kind));
  link.endEntry();
}

const handlers = { frame: () => {}, closed: () => {} };

test('whatever is written, dropped or too long: the rest arrives in its order, and no frame is over the limit', () => {
  const steps = fc.array(
    fc.record({
      kind: fc.integer({ min: 1, max: 2 }),
      handle: fc.integer({ min: 0, max: 1 }),
      size: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 900, max: 1100 }), fc.constant(20_000)),
      drop: fc.boolean(),
      flush: fc.boolean(),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, fc.constantFrom(1_000, 70_000), (all, limit) => {
      const { transport, sent } = keeping();
      const link = new Link(transport, limit, handlers);
      const expected: Entry[] = [];
      for (const { drop, flush, ...entry } of all) {
        if (!drop && entry.size + LENGTH + HEADER > limit) {
          expect(() => write(link, entry, false)).toThrow(FrameTooLargeError);
        } else {
          write(link, entry, drop);
          if (!drop) expected.push(entry);
        }
        if (flush) link.flush();
      }
      link.flush();
      const frames = framesOf(sent);
      expect(frames.flatMap(({ entries }) => entries)).toEqual(expected);
      for (const { size, entries } of frames) {
        expect(size).toBeLessThanOrEqual(limit);
        expect(entries.length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 300 },
  );
});

test('what is alike and follows at once shares a frame; anything in between parts it', () => {
  const { transport, sent } = keeping();
  const link = new Link(transport, 70_000, handlers);
  const entry = { kind: 1, handle: 7, size: 3 };
  for (let i = 0; i < 3; i++) write(link, entry, false);
  write(link, { ...entry, handle: 8 }, false);
  write(link, entry, false);
  link.flush();
  write(link, entry, false);
  link.flush();
  expect(framesOf(sent).map(({ entries }) => entries.length)).toEqual([3, 1, 1, 1]);
});

test('a frame takes no more entries once it has 16 kB', () => {
  const { transport, sent } = keeping();
  const link = new Link(transport, 70_000, handlers);
  for (let i = 0; i < 20; i++) write(link, { kind: 1, handle: 0, size: 4_000 }, false);
  link.flush();
  for (const { size } of framesOf(sent)) expect(size).toBeLessThan(16_000 + 4_100);
});

describe('what is said aside', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());
  const said = (link: Link, size: number) => (): void => write(link, { kind: 2, handle: 0, size }, false);

  test('leaves with the next bytes, behind them', () => {
    const { transport, sent } = keeping();
    const link = new Link(transport, 70_000, handlers);
    link.aside(said(link, 1));
    link.aside(said(link, 2));
    link.flush();
    expect(sent).toEqual([]);
    write(link, { kind: 1, handle: 7, size: 3 }, false);
    link.flush();
    expect(sent.length).toBe(1);
    expect(framesOf(sent).flatMap(({ entries }) => entries.map(({ size }) => size))).toEqual([3, 1, 2]);
    vi.advanceTimersByTime(1_000);
    expect(sent.length).toBe(1);
  });

  test('leaves by itself after 5 ms, and not at all once the link has ended', () => {
    const { transport, sent } = keeping();
    let ended: ((error?: Error) => void) | undefined;
    const receive: Transport['receive'] = ({ closed }) => void (ended = closed);
    const link = new Link({ ...transport, receive }, 70_000, handlers);
    link.aside(said(link, 1));
    vi.advanceTimersByTime(4);
    expect(sent).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent.length).toBe(1);
    link.aside(said(link, 1));
    ended?.();
    link.aside(said(link, 1));
    vi.advanceTimersByTime(1_000);
    expect(sent.length).toBe(1);
  });
});

test('what leaves in the middle of a turn does not wait for its end, the last of it goes the usual way', async () => {
  const { transport, sent, now } = keeping();
  const link = new Link(transport, 1 << 20, handlers);
  for (let turn = 0; turn < 2; turn++) {
    const before = sent.length;
    for (let written = 0; written < 300_000; written += 1000) write(link, { kind: 1, handle: 1, size: 1000 }, false);
    expect(sent.length - before).toBeGreaterThan(5);
    expect(now).toHaveLength(sent.length - turn);
    await new Promise((resolve) => process.nextTick(resolve));
    expect(now).not.toContain(sent.length - 1);
  }
  expect(framesOf(sent).flatMap(({ entries }) => entries)).toHaveLength(600);
});
