/** Inputs and outputs beside the sockets: whatever their size, and wherever the manager is, they arrive as they were. */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Client, work } from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import { LONG } from '#qm/protocol/parts.js';
import { arenaMemoryOf, arenasOpenIn, hasArenas } from '../kit/arena-files.ts';
import { freshName, managerOfSuite, managerOfTest, settings } from '../kit/managers.ts';
import { until } from '../kit/until.ts';

const MIB = 1 << 20;

/** `toEqual` compares buffers byte by byte, in JavaScript. */
function same(got: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(got, expected)) throw new Error(`${inspect(got)} is not ${inspect(expected)}`);
}

const size = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc.integer({ min: LONG - 60, max: LONG + 60 }),
  fc.integer({ min: LONG, max: 3 * LONG }),
);
const value = fc.tuple(size, fc.integer({ min: 0, max: 255 }), fc.nat({ max: 6 })).map(([bytes, fill, kind]) => {
  const buffer = Buffer.alloc(bytes, fill);
  switch (kind) {
    case 0:
      return 'x'.repeat(bytes);
    case 1:
      return { text: 'x'.repeat(bytes), fill };
    case 2:
      return new Float64Array(bytes >> 3).fill(fill);
    case 3:
      return new Map<string, unknown>([
        ['a', buffer],
        ['b', [buffer, { fill }]],
      ]);
    case 4:
      return [buffer, Buffer.from(buffer), new Uint8Array(buffer)];
    default:
      return buffer;
  }
});

/** A loop in this process that gives back what it is given, until the test ends. */
function echoing(client: Client, queue: string, started: unknown[] = []): void {
  const stop = new AbortController();
  const echo = (input: unknown): unknown => {
    started.push(input);
    return input;
  };
  const working = work(client.tasks(queue), { echo }, { signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await working;
  });
}

describe.each(settings)('arenas: %s', (setting) => {
  const manager = managerOfSuite(setting);

  test('values of all sizes round the threshold arrive as they were, in their order', async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const queue = freshName('tasks');
    const started: unknown[] = [];
    const tasks = client.tasks<{ echo: (input: unknown) => unknown }>(queue, { keepRecords: { count: 3 } });
    echoing(worker, queue, started);
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 6 }), async (values) => {
        started.length = 0;
        same(await Promise.all(values.map((each) => tasks.run('echo', each))), values);
        same(started, values);
      }),
      { numRuns: 40 },
    );
  });

  test.runIf(hasArenas)('once both sides have their arenas, no large value crosses a socket', async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const queue = freshName('tasks');
    echoing(worker, queue);
    const bytes = Buffer.alloc(MIB, 7);
    const crossed = (): number => client[connectionOf].link.bytesReceived + worker[connectionOf].link.bytesReceived;
    await until(async () => {
      const before = crossed();
      same(await client.tasks(queue).run('echo', bytes), bytes);
      return crossed() - before < 10_000;
    });
  });

  test('an input that its putter changes afterwards is what it was, and two tasks of one buffer are two values', async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const queue = freshName('tasks');
    echoing(worker, queue);
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(queue);
    for (let i = 0; i < 5; i++) {
      const bytes = Buffer.alloc(MIB, i);
      const first = tasks.run('echo', bytes);
      bytes.fill(100 + i);
      const second = tasks.run('echo', bytes);
      bytes.fill(200);
      same(await first, Buffer.alloc(MIB, i));
      same(await second, Buffer.alloc(MIB, 100 + i));
      (await first).fill(1);
      same(await second, Buffer.alloc(MIB, 100 + i));
    }
  });

  test('outputs are there for handles, dependents and repeated ids, and inputs for retries', async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const queue = freshName('tasks');
    const tasks = client.tasks<Record<string, (input: unknown) => unknown>>(queue);
    let fails = true;
    const stop = new AbortController();
    const handlers = {
      echo: (input: unknown) => input,
      size: ({ of }: { of: Buffer }) => of.length,
      once(input: Buffer) {
        if (!fails) return input.length;
        throw new Error('not yet');
      },
    };
    const working = work(worker.tasks(queue), handlers as never, { signal: stop.signal });
    const bytes = Buffer.alloc(MIB, 3);
    for (let i = 0; i < 4; i++) {
      const put = await tasks.put('echo', bytes, { id: `id ${i}` });
      same(await put.result(), bytes);
      same(await tasks.handle(`id ${i}`).result(), bytes);
      expect(await tasks.run('size', { of: put })).toBe(MIB);
      const again = await tasks.put('echo', bytes, { id: `id ${i}` });
      same(await again.result(), bytes);
      await expect(tasks.put('echo', Buffer.alloc(MIB, 4), { id: `id ${i}` })).rejects.toThrow('another input');
      fails = true;
      const failing = await tasks.put('once', bytes);
      await expect(failing.result()).rejects.toThrow('not yet');
      fails = false;
      expect(await tasks.retry(failing.id)).toBe(1);
      expect(await tasks.handle(failing.id).result()).toBe(MIB);
    }
    stop.abort();
    await working;
  });

  test('maxBytes counts what lies in an arena', async () => {
    const client = await manager().client();
    const tasks = client.tasks(freshName('tasks'), { maxBytes: 3 * MIB });
    const bytes = Buffer.alloc(MIB);
    await tasks.put('t', bytes); // in parts: from here on there is an arena
    await tasks.putNowait('t', bytes);
    await expect(tasks.putNowait('t', bytes)).rejects.toThrow('is full');
    await expect(tasks.putNowait('t', bytes)).rejects.toThrow('is full');
  });

  test('an arena that is full changes nothing but the way', { timeout: 120_000 }, async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const queue = freshName('tasks');
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(queue, { keepRecords: { count: 0 } });
    echoing(worker, queue);
    for (let i = 0; i < 3; i++) await tasks.run('echo', Buffer.alloc(MIB)); // from here on both have one
    await client.tasks(queue).pause();
    const one = (i: number): Buffer => Buffer.alloc(48 * MIB, i);
    const ends = Array.from({ length: 7 }, (_, i) => tasks.run('echo', one(i)));
    await client.tasks(queue).resume();
    for (const [i, end] of ends.entries()) same(await end, one(i));
  });
});

test.runIf(hasArenas).each(['socket', 'process'] as const)(
  'the first large value crosses no socket, there or back: %s',
  async (setting) => {
    const manager = await managerOfTest(setting);
    const [client, worker] = [await manager.client(), await manager.client()];
    const queue = freshName('tasks');
    echoing(worker, queue);
    // Until all that clients are told unasked has come, and the manager has heard that they have it.
    for (let i = 0; i < 3; i++) for (const each of [client, worker]) await each.counter('n').get();
    const crossed = (): number => client[connectionOf].link.bytesReceived + worker[connectionOf].link.bytesReceived;
    const before = crossed();
    const bytes = Buffer.alloc(3 * MIB, 7);
    same(await client.tasks(queue).run('echo', bytes), bytes);
    expect(crossed() - before).toBeLessThan(10_000);
  },
);

test.runIf(hasArenas)('of many clients only the first have an arena before they need one', async () => {
  const manager = await managerOfTest('socket');
  const clients: Client[] = [];
  for (let i = 0; i < 12; i++) clients.push(await manager.client());
  for (const client of clients) await client.counter('n').get();
  const { arenas } = manager.core!;
  expect(arenas.size).toBe(8);
  const last = clients.at(-1)!;
  await until(async () => {
    await last.tasks(freshName('tasks')).put('t', Buffer.alloc(MIB));
    return arenas.size === 9;
  });
});

test.runIf(hasArenas)(
  'R2 what arenas took is given back: regions with the values, files with the clients',
  async () => {
    const manager = await managerOfTest('socket');
    const { arenas } = manager.core!;
    const [client, worker] = [await manager.client(), await manager.client()];
    const queue = freshName('tasks');
    const stop = new AbortController();
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(queue, { keepRecords: { count: 0 } });
    const working = work(worker.tasks(queue), { echo: (input: Buffer) => input }, { signal: stop.signal });
    for (let i = 0; i < 20; i++) await Promise.all([1, 2, 3].map((n) => tasks.run('echo', Buffer.alloc(n * MIB, i))));
    expect(arenas.size).toBeGreaterThanOrEqual(2);
    expect(arenasOpenIn(process.pid)).toBeGreaterThanOrEqual(4);
    const observer = await manager.client();
    await until(async () => {
      await observer.counter('n').get();
      return arenas.regions === 0;
    });
    stop.abort();
    await working;
    await Promise.all([client.close(), worker.close()]);
    await until(async () => {
      await observer.counter('n').get();
      return arenas.size === 1; // the observer's
    });
    await observer.close();
    await until(async () => {
      await setImmediate();
      return arenas.size === 0 && arenasOpenIn(process.pid) === 0;
    });
  },
);

describe.runIf(hasArenas)('R2 outputs of ended tasks', () => {
  const THOUSAND = 1_000;

  /** A thousand tasks that output 1 MiB each. */
  async function runThousand(client: Client, worker: Client, queue: string): Promise<void> {
    echoing(worker, queue);
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(queue);
    const bytes = Buffer.alloc(MIB);
    for (let i = 0; i < THOUSAND; i += 4) {
      const outputs = await Promise.all([0, 1, 2, 3].map((more) => tasks.run('echo', bytes.fill(i + more))));
      for (const [more, output] of outputs.entries()) same(output[MIB - 1], (i + more) % 256);
    }
  }

  test('a thousand of 1 MiB leave the manager and its arenas with no more than keepRecords.bytes', async () => {
    const manager = await managerOfTest('process');
    const [client, worker] = [await manager.client(), await manager.client()];
    const queue = freshName('tasks');
    await client.counter('n').get();
    const { pid } = client;
    const held = (): number =>
      arenaMemoryOf(pid) + 1024 * Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    const before = held();
    await runThousand(client, worker, queue);
    expect(await client.tasks(queue).dict.size()).toBe(63); // each is a few bytes more than 1 MiB
    expect(held() - before).toBeLessThan(3 * 64 * MIB);
  });

  test('their regions are freed with the records that bytes let go', async () => {
    const manager = await managerOfTest('socket', { queue: { keepRecords: { bytes: 10 * MIB } } });
    const { arenas } = manager.core!;
    const [client, worker] = [await manager.client(), await manager.client()];
    const queue = freshName('tasks');
    echoing(worker, queue);
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(queue);
    for (let i = 0; i < 40; i++) await tasks.run('echo', Buffer.alloc(MIB, i));
    const regions = async (count: number): Promise<void> =>
      until(async () => {
        await client.counter('n').get();
        return arenas.regions === count;
      });
    expect(await tasks.dict.size()).toBe(9);
    await regions(9);
    // One that is larger than all of them may be goes at once, and takes the others along.
    await tasks.run('echo', Buffer.alloc(11 * MIB));
    expect(await tasks.dict.size()).toBe(0);
    await regions(0);
  });
});
