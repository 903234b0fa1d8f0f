/** P5 and its kin: large values that come slowly, stop in the middle, or were never meant well. */
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connect, type ManagerProcess } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { methods, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import { Packed } from '#qm/protocol/wire.js';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import type { Medium, Transport, TransportHandlers } from '#qm/transport/transport.js';
import { KEY, listening, managerProcess } from '../kit/listening.ts';
import { collectGarbage } from '../kit/memory.ts';
import { partyOfTest } from '../kit/parties.ts';
import { frame, RawClient } from '../kit/raw-client.ts';
import { Wrapped } from '../kit/wrapped.ts';

const MIB = 1 << 20;
const method = (type: keyof typeof methods, name: string): number => (methods[type] as readonly string[]).indexOf(name);

/** A call `set('k', bytes)` on handle 1, in parts: the claim, then the parts. */
function setInParts(id: number, size: number, part = 100_000): Buffer[] {
  const whole = frame(ToManager.CALL, (writer) => {
    writer.u32(id);
    writer.u32(1);
    writer.u8(method('dict', 'set'));
    writer.item('k');
    writer.item(new Packed(Buffer.alloc(size, 5)));
  }).subarray(4);
  const frames = [claim(whole.length)];
  for (let at = 0; at < whole.length; at += part) {
    frames.push(frame(ToManager.PART, (writer) => writer.raw(whole.subarray(at, at + part))));
  }
  return frames;
}

const claim = (length: number): Buffer => frame(ToManager.LONG, (writer) => writer.u32(length));
const part = (size: number): Buffer => frame(ToManager.PART, (writer) => writer.raw(Buffer.alloc(size, 1)));

async function ping(raw: RawClient): Promise<void> {
  await raw.answer(raw.call(0, method('manager', 'ping')));
}

test('P5 while one session sends a large value, and between its parts, other sessions and its own calls are answered', async () => {
  const manager = await managerProcess({ authKey: KEY });
  const raw = await RawClient.enter(manager.address, { key: KEY });
  raw.open(1, 'dict', 'large');
  raw.open(2, 'counter', 'own');
  const others = [manager, await connect(manager.address, { authKey: KEY })];
  onTestFinished(() => others[1]?.close());
  let rounds = 0;
  for (const bytes of setInParts(900, 4 * MIB)) {
    raw.write(bytes);
    rounds++;
    for (const other of others) expect(await other.counter(`of ${others.indexOf(other)}`).add(1)).toBe(rounds);
    if (rounds < 40) expect(await raw.answer(raw.call(2, method('counter', 'add'), [1]))).toBe(rounds);
    if (rounds < 40) expect(await manager.dict('large').size()).toBe(0);
  }
  expect(rounds).toBeGreaterThan(40);
  await raw.answer(900);
  expect(await manager.dict('large').size()).toBe(1);
});

test('P5 while one session reads a large value, and stops in the middle, others are answered; what it asked for later comes between', async () => {
  const { address, manager } = await listening();
  const client = manager.client();
  await client.dict<string, Buffer>('large').set('k', Buffer.alloc(32 * MIB, 5));
  const raw = await RawClient.enter(address, { key: KEY });
  raw.open(1, 'dict', 'large');
  raw.open(2, 'counter', 'n');
  raw.call(1, method('dict', 'get'), ['k'], 500);
  raw.call(2, method('counter', 'add'), [1], 501);
  raw.call(1, method('dict', 'size'), [], 502);
  raw.pause();
  const aside = await RawClient.enter(address, { key: KEY });
  aside.open(1, 'counter', 'n');
  for (let i = 0; i < 200; i++) await aside.answer(aside.call(1, method('counter', 'get')));
  raw.resume();
  const [first, second, last] = [await raw.next(), await raw.next(), await raw.next()];
  const ids = [first, second, last].map(({ reader }) => reader.u32());
  expect(ids).toEqual([501, 502, 500]); // the large one was asked for first
  expect(second?.parts).toBeLessThan(10);
  expect(last?.parts).toBeGreaterThan(200);
  expect(last?.kind).toBe(ToClient.RESULT);
});

describe('P5 the sender ends in the middle', () => {
  /** Tells when the first part of a long frame has come from whoever is accepted. */
  function tellingOfParts(told: () => void): Medium {
    return {
      connect: (address, options) => nodeIpc.connect(address, options),
      listen: (address, accept, options) =>
        nodeIpc.listen(address, (transport) => accept(new Watched(transport, told)), options),
    };
  }

  class Watched extends Wrapped {
    readonly #told: () => void;
    #bytes = 0;
    constructor(inner: Transport, told: () => void) {
      super(inner);
      this.#told = told;
    }
    receive(handlers: TransportHandlers): void {
      this.inner.receive({
        data: (chunk) => {
          this.#bytes += chunk.length;
          handlers.data(chunk);
          if (this.#bytes > MIB) this.#told();
        },
        drained: () => handlers.drained(),
        closed: (error) => handlers.closed(error),
      });
    }
  }

  test('P5 killed with SIGKILL: nothing is half done, nothing is kept, others do not notice', async () => {
    let begun = (): void => {};
    const midway = new Promise<void>((resolve) => (begun = resolve));
    const { manager, connectionFile } = await listening(
      { limits: { frameBytes: 300 * MIB } },
      { medium: tellingOfParts(() => begun()) },
    );
    const client = manager.client();
    const dict = client.dict<string, unknown>('large');
    await dict.set('k', 'before');
    const lock = client.lock('held');
    const party = await partyOfTest({ connectionFile });
    await party.run(async ({ client: there }) => void (await there.lock('held').acquire()));
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const sending = party.run(({ client: there }) => there.dict('large').set('k', Buffer.alloc(200 << 20)));
    sending.catch(() => {});
    await midway;
    await party.kill();
    await expect(sending).rejects.toThrow('ended');
    await (await lock.acquire()).release(); // its session has ended
    expect(await dict.get('k')).toBe('before');
    expect(manager[coreOf].sessions.size).toBe(1);
    collectGarbage();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB);
  });

  test('C5 a long frame that stops between two parts is cut; one that beats go on beside is not', async () => {
    const { address, manager } = await listening({}, { deadlines: { handshake: 10_000, partial: 400 } });
    const [silent, alive] = [
      await RawClient.enter(address, { key: KEY }),
      await RawClient.enter(address, { key: KEY }),
    ];
    const beats = setInterval(() => alive.send(ToManager.BEAT), 20);
    onTestFinished(() => clearInterval(beats));
    for (const raw of [silent, alive]) {
      raw.open(1, 'lock', 'held');
      raw.open(2, 'dict', 'd');
      for (const bytes of [claim(MIB), part(1000), part(1000)]) raw.write(bytes);
    }
    await silent.answer(silent.call(1, method('lock', 'acquire')));
    await (await manager.client().lock('held').acquire()).release();
    await silent.ended;
    expect(alive.over).toBe(false);
    await ping(alive);
  });
});

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

describe('C3 parts that cannot be', () => {
  const bad: [string, Buffer[]][] = [
    ['a part of nothing', [part(10)]],
    ['more bytes than claimed', [claim(100), part(60), part(60)]],
    ['two at once', [claim(100), part(60), claim(100)]],
    ['thousands at once', Array.from({ length: 5000 }, () => claim(MIB))],
    ['an empty part', [claim(100), part(0)]],
    ['an empty message', [claim(0)]],
    ['a claim over the limit', [claim(64 * MIB + 1)]],
    ['a claim of 4 GiB', [claim(2 ** 32 - 1)]],
    ['a claim cut short', [frame(ToManager.LONG, (writer) => writer.u16(5))]],
    ['a claim with something behind it', [frame(ToManager.LONG, (writer) => writer.raw(Buffer.alloc(9, 1)))]],
    ['parts of parts', [claim(2), frame(ToManager.PART, (writer) => writer.raw(Buffer.from([ToManager.PART, 1])))]],
    ['a message of an unknown kind', [claim(2), frame(ToManager.PART, (writer) => writer.raw(Buffer.from([99, 1])))]],
    [
      'a message that ends too early',
      [claim(2), frame(ToManager.PART, (w) => w.raw(Buffer.from([ToManager.CALL, 1])))],
    ],
  ];

  test.each(bad)('C3 %s: the connection ends, and no other', async (_what, frames) => {
    const { address, manager } = await listening();
    const client = manager.client();
    const raw = await RawClient.enter(address, { key: KEY });
    raw.write(Buffer.concat(frames));
    await raw.ended;
    const counter = client.counter('n');
    while (manager[coreOf].sessions.size > 1) await counter.get(); // its session ends when the manager sees it close
    expect(await counter.add(1)).toBe(1);
  });

  test('C3 before the handshake is done, and from a helper, there are no parts', async () => {
    const { address, manager } = await listening();
    for (const bytes of [claim(10), part(10)]) {
      const raw = await RawClient.connect(address);
      raw.write(bytes);
      await raw.ended;
      const challenged = await RawClient.connect(address);
      await challenged.hello();
      challenged.write(bytes);
      await challenged.ended;
    }
    const main = await RawClient.enter(address, { key: KEY });
    const { session, secret } = main.welcome;
    const helper = await RawClient.enter(address, { key: KEY, role: Role.helper, claim: session, secret });
    helper.write(Buffer.concat([claim(10), part(10)]));
    await helper.ended;
    await ping(main);
    expect(manager[coreOf].sessions.size).toBe(1);
  });
});

describe('C4 memory', () => {
  test('C4 a claim of a long frame buys a few times what was sent, and is free again with its session', async () => {
    const { address } = await listening();
    const raws: RawClient[] = [];
    for (let i = 0; i < 50; i++) raws.push(await RawClient.enter(address, { key: KEY }));
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    for (const raw of raws) {
      raw.write(Buffer.concat([claim(60 * MIB), part(1000)]));
      await ping(raw);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 100_000);
    for (const raw of raws) await raw.destroy();
  });

  test('C4 the memory of a manager process does not grow with claims in parts', async () => {
    const manager: ManagerProcess = await managerProcess({ authKey: KEY });
    const round = async (): Promise<void> => {
      const raws = await Promise.all(Array.from({ length: 50 }, () => RawClient.enter(manager.address, { key: KEY })));
      for (const raw of raws) raw.write(Buffer.concat([claim(64 * MIB), part(1000), claim(64 * MIB)]));
      await Promise.all(raws.map((raw) => raw.ended));
    };
    await round(); // what connections themselves take is there from here on
    await round();
    const before = residentBytes(manager.pid);
    await round();
    expect(residentBytes(manager.pid) - before).toBeLessThan(16 * MIB);
  });
});

describe('limits.pendingBytes', () => {
  test('B1 above it nothing more is read from a client that does not read its answers, until it does', async () => {
    const { address, manager } = await listening({ limits: { pendingBytes: 100_000 } });
    const counter = manager.client().counter('n');
    await manager.client().dict<string, Buffer>('d').set('k', Buffer.alloc(50_000));
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'd');
    raw.open(2, 'counter', 'n');
    raw.pause();
    for (let i = 0; i < 500; i++) {
      raw.call(1, method('dict', 'get'), ['k']);
      raw.call(2, method('counter', 'add'), [1]);
    }
    const [session] = [...manager[coreOf].sessions.values()].filter(({ peer }) => peer.name === 'raw');
    while (session?.paused !== true) await manager.client().counter('n').get();
    expect(await counter.get()).toBeLessThan(500);
    raw.resume();
    await raw.answer(1000);
    expect(await counter.get()).toBe(500);
  });

  test('large values count but for the one that is under way', async () => {
    const { address, manager } = await listening({ limits: { pendingBytes: 5 * MIB } });
    await manager
      .client()
      .dict<string, Buffer>('d')
      .set('k', Buffer.alloc(20 * MIB));
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'd');
    const [session] = [...manager[coreOf].sessions.values()].filter(({ peer }) => peer.name === 'raw');
    raw.pause();
    raw.call(1, method('dict', 'get'), ['k'], 7);
    while ((session?.link.transport.pending ?? 0) === 0) await manager.client().counter('n').get();
    expect(session?.congested).toBe(false);
    raw.call(1, method('dict', 'get'), ['k'], 8);
    while (session?.congested !== true) await manager.client().counter('n').get();
    raw.resume();
    await raw.answer(8);
    await ping(raw);
    expect(session?.paused).toBe(false);
  });

  test.each([0, 65_535, Number.NaN, '8 MiB'])('%s is refused', async (pendingBytes) => {
    await expect(listening({ limits: { pendingBytes: pendingBytes as number } })).rejects.toThrow(
      /limits\.pendingBytes must be a number of at least 65536/,
    );
  });
});
