/** Long frames between two links: everything arrives once and whole, and nothing overtakes what it depends on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FrameTooLargeError, ProtocolError } from 'quartermaster';
import { sideOfManager } from '#qm/manager/session.js';
import { methods, ToClient, ToManager } from '#qm/protocol/messages.js';
import { LONG, PART_BYTES } from '#qm/protocol/parts.js';
import { Packed, type Reader, type Writer } from '#qm/protocol/wire.js';
import { sideOfClient } from '#qm/proxy/tracks.js';
import { Link } from '#qm/transport/link.js';
import { memory, memoryPair } from '#qm/transport/memory.js';
import { plainNet } from '#qm/transport/net.js';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import type { Medium, Transport } from '#qm/transport/transport.js';
import { isWindows } from '#qm/transport/address.js';

/** Handles 1 and 3 are on one object, 2 on another, 5 is a task queue and 6 a lock. */
const openings = new Map([
  [1, { typeId: 'dict', name: 'a' }],
  [2, { typeId: 'dict', name: 'b' }],
  [3, { typeId: 'dict', name: 'a' }],
  [5, { typeId: 'tasks', name: 'q' }],
  [6, { typeId: 'lock', name: 'l' }],
]);
const client = sideOfClient(openings);

interface Sample {
  readonly kind: number;
  readonly head: (writer: Writer) => void;
  /** What it is about, as the test sees it: frames that share one of these must not change places. */
  readonly about: readonly (string | number)[];
  /** It must come after these, and they need not come after it. */
  readonly after?: readonly (string | number)[];
  /** It must come after whatever it shares nothing with, too. */
  readonly afterAll?: boolean;
  /** Whatever shares nothing with it must come after it, too. */
  readonly beforeAll?: boolean;
}

const call = (id: number, handle: number, about: string, lock?: number, method = 1): Sample => ({
  kind: ToManager.CALL,
  head: (writer) => {
    writer.u32(id);
    writer.u32(handle);
    writer.u8(lock === undefined ? method : method | 0x80);
    if (lock !== undefined) writer.u32(lock);
  },
  about: lock === undefined ? [id, about] : [id, about, 'lock'],
});
const numbered = (kind: number, id: number, ...about: string[]): Sample => ({
  kind,
  head: (writer) => writer.u32(id),
  about: [id, ...about],
});

const fromClient: Sample[] = [
  call(101, 1, 'a'),
  call(102, 2, 'b'),
  call(103, 3, 'a'),
  call(104, 2, 'b', 6),
  call(105, 6, 'lock'),
  { ...call(106, 0, 'manager'), afterAll: true, beforeAll: true },
  { ...call(109, 0, 'manager', undefined, methods.manager.indexOf('open')), about: [], beforeAll: true },
  { ...call(107, 1, 'a'), kind: ToManager.HOLD },
  { ...numbered(ToManager.CANCEL, 101), about: [], after: [101, 'tasks'] },
  { ...numbered(ToManager.OPEN, 9), about: [], beforeAll: true },
  { ...numbered(ToManager.DROP, 1), about: [], afterAll: true },
  numbered(ToManager.NAME, 1, 'tasks'),
  { ...call(108, 5, 'tasks'), kind: ToManager.TAKE },
  { ...numbered(99, 1), afterAll: true, beforeAll: true },
];
const fromManager: Sample[] = [
  numbered(ToClient.RESULT, 1),
  numbered(ToClient.RESULT, 2),
  numbered(ToClient.PROGRESS, 1, 'tasks'),
  numbered(ToClient.DONE, 4, 'tasks'),
  numbered(ToClient.FAILED, 5, 'tasks'),
  numbered(ToClient.TASK, 6, 'tasks'),
  { ...numbered(ToClient.EVENT, 7), afterAll: true, beforeAll: true },
];

function mustFollow(later: Sample, earlier: Sample): boolean {
  if (later.afterAll === true || earlier.beforeAll === true) return true;
  return [...later.about, ...(later.after ?? [])].some((one) => earlier.about.includes(one));
}

interface Arrived {
  readonly kind: number;
  readonly serial: number;
  readonly intact: boolean;
}

/** What `send` wrote: after its head comes a payload full of its serial number, then that number. */
function read(kind: number, reader: Reader, headSize: number): Arrived {
  reader.view(headSize);
  const item = reader.item();
  const serial = reader.u32();
  reader.end();
  const intact = item instanceof Packed && item.bytes.every((byte) => byte === (serial & 0xff));
  return { kind, serial, intact };
}

function send(link: Link, { kind, head }: Sample, size: number, serial: number): void {
  const start = link.begin(kind);
  head(link.writer);
  link.writer.item(new Packed(Buffer.alloc(size, serial & 0xff)));
  link.writer.u32(serial);
  link.end(start);
}

interface Pair {
  readonly near: Link;
  readonly arrived: Arrived[];
  readonly ended: Promise<Error | undefined>;
  until(count: number): Promise<void>;
}

function pairOver(near: Transport, far: Transport, samples: readonly Sample[], fromHere: typeof client): Pair {
  const arrived: Arrived[] = [];
  let wake = (): void => {};
  let tell: (error: Error | undefined) => void = () => {};
  const ended = new Promise<Error | undefined>((resolve) => (tell = resolve));
  const headOf = new Map(samples.map((sample) => [sample.kind, sample]));
  const receiver = new Link(far, 1 << 26, {
    frame: (kind, reader) => {
      // Samples of one kind have heads of one size, but for a guarded call: its method says so.
      const method = kind === ToManager.CALL ? (reader.buffer[reader.position + 8] as number) : 0;
      const size = kind === ToManager.CALL ? (method & 0x80 ? 13 : 9) : sizeOfHead(headOf.get(kind) as Sample);
      arrived.push(read(kind, reader, size));
      wake();
    },
    closed: (error) => tell(error),
  });
  receiver.carryLong({ ...fromHere, sends: fromHere.takes, takes: fromHere.sends });
  const link = new Link(near, 1 << 26, { frame: () => {}, closed: () => {} });
  link.carryLong(fromHere);
  return {
    near: link,
    arrived,
    ended,
    async until(count) {
      while (arrived.length < count) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

function sizeOfHead({ head }: Sample): number {
  let size = 0;
  const counter = { u32: () => (size += 4), u8: () => (size += 1) };
  head(counter as unknown as Writer);
  return size;
}

describe.each([
  ['a client', fromClient, client],
  ['a manager', fromManager, sideOfManager],
])('from %s', (_who, samples, side) => {
  test('in any order and at any pace: each frame arrives once and whole, after all that it depends on', async () => {
    let passed = 0;
    const step = fc.record({
      sample: fc.integer({ min: 0, max: samples.length - 1 }),
      size: fc.oneof(
        { weight: 4, arbitrary: fc.integer({ min: 1, max: 2_000 }) },
        { weight: 1, arbitrary: fc.integer({ min: LONG - 40, max: LONG + 2 * PART_BYTES }) },
      ),
      turns: fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 1, max: 6 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 40 }), async (steps) => {
        const [near, far] = memoryPair();
        const pair = pairOver(near, far, samples, side);
        for (const [serial, { sample, size, turns }] of steps.entries()) {
          send(pair.near, samples[sample] as Sample, size, serial);
          for (let i = 0; i < turns; i++) await turn();
        }
        await pair.until(steps.length);
        pair.near.close();
        await pair.ended;
        expect(pair.arrived.map(({ serial }) => serial).toSorted((a, b) => a - b)).toEqual([...steps.keys()]);
        expect(pair.arrived.every(({ intact }) => intact)).toBe(true);
        const order = pair.arrived.map(({ serial }) => serial);
        for (const [at, serial] of order.entries()) {
          for (const after of order.slice(at + 1)) {
            if (after > serial) continue;
            passed++;
            const [later, earlier] = [serial, after].map((one) => samples[steps[one]?.sample as number] as Sample);
            if (mustFollow(later as Sample, earlier as Sample)) {
              expect.unreachable(`frame ${serial} (${later?.kind}) overtook frame ${after} (${earlier?.kind})`);
            }
          }
        }
      }),
      { numRuns: 80 },
    );
    expect(passed).toBeGreaterThan(5); // or the test would see nothing
  });
});

test('a beat passes everything, also what lets nothing pass', async () => {
  const samples = [...fromClient, { kind: ToManager.BEAT, head: () => {}, about: [] }];
  const pair = pairOver(...memoryPair(), samples, client);
  send(pair.near, fromClient.at(-1) as Sample, 1 << 20, 0);
  send(pair.near, samples.at(-1) as Sample, 1, 1);
  await pair.until(2);
  expect(pair.arrived.map(({ serial }) => serial)).toEqual([1, 0]);
});

test('entries: a long one takes those before it along, what follows on its track waits, and too long is refused', async () => {
  const put: Sample = { kind: ToManager.PUT, head: (writer) => writer.u32(5), about: ['tasks'] };
  const sizes: number[] = [];
  const [near, far] = memoryPair();
  let wake = (): void => {};
  const receiver = new Link(far, 1 << 20, {
    frame: (kind, reader) => {
      if (kind !== ToManager.PUT) return;
      reader.u32();
      while (reader.left > 0) {
        const end = reader.entry();
        const item = reader.item();
        expect(item).toBeInstanceOf(Packed);
        sizes.push((item as Packed).bytes.length);
        reader.endEntry(end);
      }
      wake();
    },
    closed: () => {},
  });
  receiver.carryLong({ ...client, sends: client.takes, takes: client.sends });
  const link = new Link(near, 1 << 20, { frame: () => {}, closed: () => {} });
  link.carryLong(client);
  const write = (size: number): void => {
    link.beginEntry(put.kind, 5);
    link.writer.item(new Packed(Buffer.alloc(size)));
    link.endEntry();
  };
  const all = [10, 20, 700_000, 30, 40, (1 << 20) - 30, 50, 300_000, 60];
  for (const size of all) write(size);
  expect(() => write(1 << 20)).toThrow(FrameTooLargeError);
  link.beginEntry(put.kind, 5);
  link.writer.item(new Packed(Buffer.alloc(400_000)));
  link.dropEntry();
  write(70);
  while (sizes.length < all.length + 1) await new Promise<void>((resolve) => (wake = resolve));
  expect(sizes).toEqual([...all, 70]);
});

test('an entry that is too long with those before it goes into a frame of its own, also in parts', async () => {
  const [near, far] = memoryPair();
  const frames: number[][] = [];
  let wake = (): void => {};
  const receiver = new Link(far, 1 << 20, {
    frame: (_kind, reader) => {
      reader.u32();
      const sizes: number[] = [];
      while (reader.left > 0) {
        const end = reader.entry();
        sizes.push((reader.item() as Packed).bytes.length);
        reader.endEntry(end);
      }
      frames.push(sizes);
      wake();
    },
    closed: () => {},
  });
  receiver.carryLong({ ...client, sends: client.takes, takes: client.sends });
  const link = new Link(near, 500_000, { frame: () => {}, closed: () => {} });
  link.carryLong(client);
  for (const size of [5_000, 499_000]) {
    link.beginEntry(ToManager.PUT, 5);
    link.writer.item(new Packed(Buffer.alloc(size)));
    link.endEntry();
  }
  while (frames.length < 2) await new Promise<void>((resolve) => (wake = resolve));
  expect(frames).toEqual([[5_000], [499_000]]);
});

test('a long payload is never copied on its way out, and no more of it waits in the transport than is useful', async () => {
  const [near, far] = memoryPair();
  const payload = Buffer.alloc(16 << 20, 7);
  let own = 0;
  let most = 0;
  const link = new Link(near, 1 << 26, { frame: () => {}, closed: () => {} });
  link.carryLong(client);
  const done = new Promise<void>((resolve) => {
    far.receive({
      data: (chunk) => {
        most = Math.max(most, near.pending);
        if (chunk.buffer === payload.buffer) own += chunk.length;
        if (own === payload.length) resolve();
      },
      drained: () => {},
      closed: () => {},
    });
  });
  const start = link.begin(ToManager.CALL);
  link.writer.raw(Buffer.alloc(9));
  link.writer.item(new Packed(payload));
  link.end(start);
  await done;
  expect(most).toBeLessThan(1 << 20);
});

test('what was written before close() arrives, however long', async () => {
  const pair = pairOver(...memoryPair(), fromClient, client);
  for (let i = 0; i < 5; i++) send(pair.near, fromClient[0] as Sample, 1 << 20, i);
  pair.near.close();
  expect(await pair.ended).toBeUndefined();
  expect(pair.arrived.map(({ serial }) => serial)).toEqual([0, 1, 2, 3, 4]);
});

test('C3 parts inside of parts end the connection', async () => {
  const [near, far] = memoryPair();
  let tell: (error: unknown) => void = () => {};
  const ended = new Promise((resolve) => (tell = resolve));
  const receiver = new Link(far, 1 << 20, { frame: () => {}, closed: tell });
  receiver.carryLong({ ...client, sends: client.takes, takes: client.sends });
  near.receive({ data: () => {}, drained: () => {}, closed: () => {} });
  near.send(Buffer.from([5, 0, 0, 0, ToManager.LONG, 2, 0, 0, 0, 3, 0, 0, 0, ToManager.PART, ToManager.PART, 1]));
  expect(await ended).toBeInstanceOf(ProtocolError);
});

const media: [string, Medium][] = [
  ['memory', memory],
  ['node-ipc', nodeIpc],
  ['node:net', plainNet],
];

test.each(media)('the same over %s: long ones, and what passes them', async (name, medium) => {
  const directory = mkdtempSync(join(tmpdir(), 'qm-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const address = name === 'memory' ? 'memory:long' : isWindows ? `pipe:qm-long-${process.pid}` : `unix:${directory}/s`;
  let accepted: (far: Transport) => void = () => {};
  const coming = new Promise<Transport>((resolve) => (accepted = resolve));
  const listener = await medium.listen(address, accepted, { maxConnections: 2 });
  onTestFinished(() => listener.close());
  const near = await medium.connect(address);
  const pair = pairOver(near, await coming, fromClient, client);
  send(pair.near, fromClient[0] as Sample, 20 << 20, 0); // on the object a
  send(pair.near, fromClient[1] as Sample, 10, 1); // on b
  send(pair.near, fromClient[2] as Sample, 10, 2); // on a
  send(pair.near, fromClient[1] as Sample, 1 << 20, 3); // long too
  await pair.until(4);
  expect(pair.arrived.map(({ serial }) => serial)).toEqual([1, 0, 2, 3]);
  expect(pair.arrived.every(({ intact }) => intact)).toBe(true);
  pair.near.close();
  await pair.ended;
});
