/** Connections that come in pieces, claim too much, fall silent, or come all at once. */
import { readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Client, connect, TooManyConnectionsError, work } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { newNonce, writeHello } from '#qm/protocol/handshake.js';
import { methods, Role, ToManager } from '#qm/protocol/messages.js';
import { Packed } from '#qm/protocol/wire.js';
import { Client as ClientOver } from '#qm/proxy/client.js';
import { Connection } from '#qm/proxy/connection.js';
import { enter } from '#qm/proxy/enter.js';
import { nodeIpc } from '#qm/transport/node-ipc.js';
import type { Medium } from '#qm/transport/transport.js';
import { Chopped } from '../kit/chopped.ts';
import { KEY, listening, managerProcess } from '../kit/listening.ts';
import { collectGarbage } from '../kit/memory.ts';
import { Random } from '../kit/random.ts';
import { frame, RawClient } from '../kit/raw-client.ts';

const method = (type: keyof typeof methods, name: string): number => (methods[type] as readonly string[]).indexOf(name);

interface Jobs {
  double: (n: number) => number;
  fail: (why: string) => never;
  length: (text: string) => number;
}

const jobs: Jobs = {
  double: (n) => n * 2,
  fail: (why) => {
    throw new RangeError(why);
  },
  length: (text) => text.length,
};

/** A bit of everything, and what came of it. */
async function everything(client: Client): Promise<unknown[]> {
  const results: unknown[] = [];
  const dict = client.dict<string, unknown>('dict');
  const large = { text: 'x'.repeat(30_000), list: Array.from({ length: 500 }, (_, i) => i) };
  results.push(
    await Promise.all([dict.set('large', large), dict.set('small', -0), dict.increment('n', 3), dict.get('large')]),
  );
  results.push(await dict.entries());
  const queue = client.queue<number>('queue', { maxSize: 3 });
  const puts = Promise.all([1, 2, 3, 4, 5].map((n) => queue.put(n)));
  results.push(await Promise.all([1, 2, 3, 4, 5].map(() => queue.get())), await puts, await queue.getNowait());
  results.push(await client.lock('lock').runExclusive(() => client.counter('counter').add(7)));
  results.push(await dict.withLock(async (held) => held.increment('n', 1)));

  const stop = new AbortController();
  const tasks = client.tasks<Jobs>('tasks');
  const working = work(tasks, jobs, { signal: stop.signal, concurrency: 3 });
  const handles = await tasks
    .putMany(
      'double',
      Array.from({ length: 150 }, (_, i) => i),
    )
    .toArray();
  results.push(await Promise.all(handles.map((handle) => handle.result())));
  results.push(await Promise.all([tasks.run('length', large.text), tasks.run('double', 21)]));
  const { name, message, code, cause } = (await tasks.run('fail', 'why').catch((error: unknown) => error)) as Error & {
    code: string;
  };
  results.push(name, message, code, (cause as Error).name, (cause as Error).message);
  results.push(await tasks.dict.counts());
  stop.abort();
  await working;
  return results;
}

describe('C2 bytes cut anywhere', () => {
  test('C2 every stream cut at random, both ways: the same results', { timeout: 120_000 }, async () => {
    const plain = await listening();
    const expected = await everything(await plain.connect());

    const random = new Random('C2 streams cut at random');
    const medium: Medium = {
      listen: (address, accept, options) =>
        nodeIpc.listen(address, (transport) => accept(new Chopped(transport, random)), options),
      connect: (address, options) => nodeIpc.connect(address, options),
    };
    for (let round = 0; round < 4; round++) {
      const { address } = await listening({}, { medium });
      const transport = new Chopped(await nodeIpc.connect(address), random);
      const authKey = Buffer.from(KEY);
      const entered = await enter(transport, address, authKey, { role: Role.client, name: 'chopped' });
      const connection = new Connection(address, entered, undefined);
      const client = new ClientOver({ connection, authKey, reach: () => Promise.resolve({ address, authKey }) });
      onTestFinished(() => client.close());
      expect(await everything(client)).toEqual(expected);
    }
    expect(Chopped.pieces).toBeGreaterThan(2_000);
  });
});

describe('C4 a frame of 4 GiB', () => {
  const claim = Buffer.from([0xff, 0xff, 0xff, 0xff]);

  test('C4 is refused from its length, before and after authentication, and nothing is made for it', async () => {
    const { address, connect: another } = await listening();
    const aside = await another();
    for (const known of [false, true]) {
      const raws: RawClient[] = [];
      for (let i = 0; i < 50; i++) {
        raws.push(await (known ? RawClient.enter(address, { key: KEY }) : RawClient.connect(address)));
      }
      collectGarbage();
      const before = process.memoryUsage().arrayBuffers;
      for (const raw of raws) raw.write(claim);
      await Promise.all(raws.map((raw) => raw.ended));
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    }
    await aside.counter('n').add(1);
  });

  test('C4 the memory of a manager process does not grow with claims', async () => {
    const manager = await managerProcess({ authKey: KEY });
    const rounds = async (): Promise<void> => {
      const raws = await Promise.all(Array.from({ length: 50 }, () => RawClient.enter(manager.address, { key: KEY })));
      for (const raw of raws) raw.write(claim);
      await Promise.all(raws.map((raw) => raw.ended));
    };
    await rounds(); // what connections themselves take is there from here on
    await rounds();
    const before = residentBytes(manager.pid);
    await rounds();
    expect(residentBytes(manager.pid) - before).toBeLessThan(16 << 20); // fifty claims were 200 GiB
  });

  test('C4 a claim within the limit buys a few times what was sent, not what was claimed', async () => {
    const { address } = await listening();
    const raws: RawClient[] = [];
    for (let i = 0; i < 50; i++) raws.push(await RawClient.enter(address, { key: KEY }));
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const begun = Buffer.alloc(1000);
    begun.writeUInt32LE(60 << 20, 0);
    for (const raw of raws) raw.write(begun);
    // Answered after all of them have been read.
    const aside = await RawClient.enter(address, { key: KEY });
    await aside.answer(aside.call(0, method('manager', 'ping')));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 100_000);
    for (const raw of raws) await raw.destroy();
  });

  test('C4 before authentication the limit is 1 KiB a frame', async () => {
    const { address } = await listening();
    const raw = await RawClient.connect(address);
    const begun = Buffer.alloc(4);
    begun.writeUInt32LE(1025, 0);
    raw.write(begun);
    await raw.ended;
  });
});

describe('C5 silence', () => {
  const quick = { deadlines: { handshake: 10_000, partial: 400 } };

  test('C5 before authentication: whoever does not finish the handshake is cut, wherever it stopped', async () => {
    const { address, manager } = await listening({}, { deadlines: { handshake: 250, partial: 10_000 } });
    const hello = frame(ToManager.HELLO, (writer) => writeHello(writer, Role.client, newNonce()));
    const silent = await RawClient.connect(address);
    const begun = await RawClient.connect(address);
    begun.write(hello.subarray(0, 3));
    const half = await RawClient.connect(address);
    half.write(hello.subarray(0, 20));
    const challenged = await RawClient.connect(address);
    await challenged.hello();
    await Promise.all([silent, begun, half, challenged].map((raw) => raw.ended));
    expect(manager[coreOf].sessions.size).toBe(0);
  });

  test('C5 before authentication: who speaks in time is let in, also by a manager that was held up itself', async () => {
    const { address } = await listening({}, { deadlines: { handshake: 250, partial: 10_000 } });
    const raw = await RawClient.connect(address);
    const hello = raw.hello.bind(raw);
    raw.hello = async (...args) => {
      const challenge = await hello(...args);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
      return challenge;
    };
    await raw.handshake({ key: KEY });
    await raw.answer(raw.call(0, method('manager', 'ping')));
  });

  test('C5 after authentication: a frame that is begun and not ended is cut, an idle session is not', async () => {
    const { address } = await listening({}, quick);
    const idle = await RawClient.enter(address, { key: KEY });
    for (const bytes of [[1], [1, 0, 0], [200, 0, 0, 0], [200, 0, 0, 0, ToManager.CALL, 1, 2, 3]]) {
      const raw = await RawClient.enter(address, { key: KEY });
      raw.write(Buffer.from(bytes));
      await raw.ended;
    }
    expect(idle.over).toBe(false);
    await idle.answer(idle.call(0, method('manager', 'ping')));
  });

  test('C5 after authentication: a manager that was held up itself reads first what came meanwhile', async () => {
    const { address } = await listening({}, quick);
    const raw = await RawClient.enter(address, { key: KEY });
    const ping = frame(ToManager.CALL, (writer) => {
      writer.u32(1);
      writer.u32(0);
      writer.u8(method('manager', 'ping'));
    });
    raw.write(ping.subarray(0, 6));
    // Answered after that has been read.
    const aside = await RawClient.enter(address, { key: KEY });
    await aside.answer(aside.call(0, method('manager', 'ping')));
    raw.write(ping.subarray(6));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    await raw.answer(1);
  });

  test('C5 what a session that was cut held is free', async () => {
    const { address, manager } = await listening({}, quick);
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'lock', 'held');
    await raw.answer(raw.call(1, method('lock', 'acquire')));
    const waiting = manager.client().lock('held').acquire();
    raw.write(Buffer.from([9, 0]));
    await (await waiting).release();
    expect(raw.over || (await raw.ended) === undefined).toBe(true);
  });

  test('C5 more than 4 KiB before authentication is cut at once', async () => {
    const { address } = await listening();
    // Refusals wait longer and longer: only the budget ends the last one without a word.
    for (let i = 0; i < 3; i++) {
      const raw = await RawClient.connect(address);
      await raw.handshake({ key: 'wrong' }).catch(() => {});
    }
    const raw = await RawClient.connect(address);
    await raw.hello();
    raw.send(ToManager.PROOF, (writer) => writer.raw(Buffer.alloc(32)));
    raw.write(Buffer.alloc(5000));
    await raw.ended;
    expect(raw.frames).toEqual([]);
  });

  /** Is cut after `quick.deadlines.partial`: passes the time by events. */
  async function oneCut(address: string): Promise<void> {
    const raw = await RawClient.enter(address, { key: KEY });
    raw.write(Buffer.from([9]));
    await raw.ended;
  }

  test('C5 a process whose helper beats is busy, not silent: its large frame may stand still', async () => {
    const { address } = await listening({}, quick);
    const busy = await RawClient.enter(address, { key: KEY });
    const { session, secret } = busy.welcome;
    const helper = await RawClient.enter(address, { key: KEY, role: Role.helper, claim: session, secret });
    const beats = setInterval(() => helper.send(ToManager.BEAT), 20);
    onTestFinished(() => clearInterval(beats));
    busy.open(1, 'dict', 'd');
    const set = frame(ToManager.CALL, (writer) => {
      writer.u32(1);
      writer.u32(1);
      writer.u8(method('dict', 'set'));
      writer.item('k');
      writer.item(new Packed(Buffer.alloc(10_000)));
    });
    busy.write(set.subarray(0, 5_000));
    for (let cuts = 0; cuts < 3; cuts++) await oneCut(address);
    expect(busy.over).toBe(false);
    busy.write(set.subarray(5_000));
    await busy.answer(1);

    busy.write(set.subarray(0, 5_000));
    clearInterval(beats);
    await busy.ended;
  });

  test("C5 a frame that the manager itself has stopped reading is nobody's silence", async () => {
    const { address } = await listening({}, quick);
    const raw = await RawClient.enter(address, { key: KEY });
    raw.open(1, 'dict', 'd');
    await raw.answer(raw.call(1, method('dict', 'set'), ['k', new Packed(Buffer.alloc(1 << 20))]));
    raw.pause();
    const gets = Array.from({ length: 20 }, (_, i) =>
      frame(ToManager.CALL, (writer) => {
        writer.u32(100 + i);
        writer.u32(1);
        writer.u8(method('dict', 'get'));
        writer.item('k');
      }),
    );
    const ping = frame(ToManager.CALL, (writer) => {
      writer.u32(200);
      writer.u32(0);
      writer.u8(method('manager', 'ping'));
    });
    raw.write(Buffer.concat([...gets, ping.subarray(0, 6)]));
    for (let cuts = 0; cuts < 3; cuts++) await oneCut(address);
    expect(raw.over).toBe(false);
    raw.resume();
    await raw.answer(119);
    raw.write(ping.subarray(6));
    await raw.answer(200);
  });
});

describe('C7 many at once', () => {
  test('C7 500 workers connect at once: each is served', { timeout: 120_000 }, async () => {
    const manager = await managerProcess();
    const clients = await Promise.all(
      Array.from({ length: 500 }, (_, i) => connect(manager.connectionFile, { name: `worker ${i}` })),
    );
    onTestFinished(async () => {
      await Promise.all(clients.map((client) => client.close()));
    });
    expect(new Set(clients.map(({ session }) => session)).size).toBe(500);
    const taken = clients.map(async (client, i) => {
      const task = await client.tasks('jobs').get();
      await task.complete([i, task.input]);
    });
    const outputs = await Promise.all(clients.map((_, i) => manager.tasks('jobs').run('job', i)));
    await Promise.all(taken);
    const numbers = clients.map((_, i) => i);
    const by = (at: 0 | 1): number[] => (outputs as [number, number][]).map((pair) => pair[at]).sort((a, b) => a - b);
    expect(by(0)).toEqual(numbers);
    expect(by(1)).toEqual(numbers);
  });

  test('C7 over limits.connections: TooManyConnectionsError, and a place that is given up is free', async () => {
    const { connectionFile, connect: enterAs } = await listening({ limits: { connections: 5 } });
    const inside = await Promise.all(Array.from({ length: 5 }, () => enterAs()));
    const refused = await Promise.allSettled(Array.from({ length: 200 }, () => connect(connectionFile)));
    for (const outcome of refused) {
      expect(outcome.status === 'rejected' && (outcome.reason as Error)).toBeInstanceOf(TooManyConnectionsError);
    }
    expect((refused[0] as PromiseRejectedResult).reason).toMatchObject({
      message: 'the manager holds 5 connections already; close some, or raise limits.connections',
    });
    for (const client of inside) await client.counter('n').add(1);
    await inside[0]?.close();
    // The manager sees the end of that connection a moment after its client does.
    for (;;) {
      const again = await enterAs().catch((error: unknown) => error);
      if (!(again instanceof TooManyConnectionsError)) {
        expect(await (again as Client).counter('n').get()).toBe(5);
        return;
      }
    }
  });
});

/** What the process has in memory (Linux), in bytes. */
function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096;
}
