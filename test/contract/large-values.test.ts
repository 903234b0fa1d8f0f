/** Large values beside small ones, in every setting: the results are those of calls made one after the other. */
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FrameTooLargeError, work } from 'quartermaster';
import { freshName, managerOfSuite, settings } from '../kit/managers.ts';

const MIB = 1 << 20;

/** `toEqual` compares buffers byte by byte, in JavaScript. */
function same(got: unknown, expected: unknown): void {
  expect(isDeepStrictEqual(got, expected), `${inspect(got)} is not ${inspect(expected)}`).toBe(true);
}

const value = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 1000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 5 }).map((n) => Buffer.alloc(n * 200_000, n)) },
);
const operation = fc.record({
  /** Which of two dicts, through which of two proxies of it. */
  dict: fc.integer({ min: 0, max: 1 }),
  proxy: fc.integer({ min: 0, max: 1 }),
  key: fc.constantFrom('a', 'b'),
  what: fc.constantFrom('set', 'set', 'get', 'entries', 'held', 'delete'),
  value,
});

describe.each(settings)('large values: %s', (setting) => {
  const manager = managerOfSuite(setting);
  const raised = managerOfSuite(setting, { limits: { frameBytes: 256 * MIB + 1000 } });

  test('calls made at once on two objects, large and small: the same results as one after the other', async () => {
    const client = await manager().client();
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 2, maxLength: 14 }), async (operations) => {
        const names = [freshName('dict'), freshName('dict')];
        const proxies = names.map((name) => [client.dict<string, unknown>(name), client.dict<string, unknown>(name)]);
        const model = [new Map<string, unknown>(), new Map<string, unknown>()];
        const expected: unknown[] = [];
        const got = operations.map(({ dict, proxy, key, what, value }) => {
          const there = proxies[dict]?.[proxy] as (typeof proxies)[0][0];
          const here = model[dict] as Map<string, unknown>;
          switch (what) {
            case 'set':
              here.set(key, value);
              expected.push(undefined);
              return there.set(key, value);
            case 'get':
              expected.push(here.get(key));
              return there.get(key);
            case 'entries':
              expected.push([...here]);
              return there.entries();
            case 'delete':
              expected.push(here.delete(key));
              return there.delete(key);
            default:
              // A hold waits for its object in its order, and so do those after it for the hold.
              expected.push(undefined);
              return there.withLock(() => {});
          }
        });
        same(await Promise.all(got), expected);
        for (const [i, [proxy]] of proxies.entries()) {
          same(await proxy?.entries(), [...(model[i] as Map<string, unknown>)]);
          for (const one of proxies[i] ?? []) await one.dispose();
        }
      }),
      { numRuns: 25 },
    );
  });

  test('tasks with inputs large and small start in their order, and their outcomes are their own', async () => {
    const [client, worker] = [await manager().client(), await manager().client()];
    const name = freshName('tasks');
    const started: number[] = [];
    const stop = new AbortController();
    const tasks = client.tasks<{ echo: (input: { i: number; bytes: Buffer }) => unknown }>(name);
    const sizes = [10, 600_000, 10, 10, MIB, 300_000, 10, 3 * MIB, 10, 10];
    const ends = sizes.map((size, i) => tasks.run('echo', { i, bytes: Buffer.alloc(size, i) }));
    const working = work(
      worker.tasks(name),
      {
        echo: (input: { i: number; bytes: Buffer }) => {
          started.push(input.i);
          return input;
        },
      },
      { signal: stop.signal },
    );
    for (const [i, end] of ends.entries()) {
      same(await end, { i, bytes: Buffer.alloc(sizes[i] as number, i) });
    }
    expect(started).toEqual([...sizes.keys()]);
    stop.abort();
    await working;
  });

  test('P5 small calls of the same client on other objects are answered while a large one is under way', async () => {
    const client = await raised().client();
    const name = freshName('dict');
    const [large, other] = [client.dict<string, Buffer>(name), client.counter(freshName('counter'))];
    const bytes = Buffer.alloc(64 * MIB, 3);
    for (const transfer of [() => large.set('k', bytes), () => large.get('k')]) {
      let over = false;
      let answered = 0;
      const done = transfer().finally(() => (over = true));
      while (!over) {
        await other.add(1);
        if (!over) answered++;
      }
      await done;
      expect(answered).toBeGreaterThan(3);
    }
    await large.clear();
  });

  test.each(['lock', 'event', 'semaphore'] as const)(
    'a large value is there before a %s tells others so, awaited or not',
    async (how) => {
      const client = await manager().client();
      const other = await manager().client();
      const [name, signal] = [freshName('dict'), freshName(how)];
      const told = {
        lock: async () => (await other.lock(signal).acquire()).release(),
        event: () => other.event(signal).wait(),
        semaphore: async () => (await other.semaphore(signal).acquire()).release(),
      };
      const guard = how === 'event' ? undefined : await client[how](signal).acquire();
      const waiting = told[how]();
      const setting = client.dict<string, unknown>(name).set('a', Buffer.alloc(8 * MIB, 1));
      const telling = guard?.release() ?? client.event(signal).set();
      await waiting;
      expect(await other.dict(name).has('a')).toBe(true);
      await Promise.all([setting, telling]);
    },
  );

  test('P5 256 MiB through a dict and a task, and back', { timeout: 120_000 }, async () => {
    const client = await raised().client();
    const worker = await raised().client();
    const bytes = Buffer.alloc(256 * MIB, 'large ');
    const name = freshName('dict');
    await client.dict<string, Buffer>(name).set('k', bytes);
    expect((await client.dict<string, Buffer>(name).get('k'))?.equals(bytes)).toBe(true);
    await client.dict(name).clear();

    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const tasks = client.tasks<{ echo: (input: Buffer) => Buffer }>(freshName('tasks'), { keepRecords: { count: 0 } });
    const working = work(worker.tasks(tasks.name), { echo: (input: Buffer) => input }, { signal: stop.signal });
    expect((await tasks.run('echo', bytes)).equals(bytes)).toBe(true);
    stop.abort();
    await working;
  });

  test('P5 256 MiB over the default limit: FrameTooLargeError at the caller, and the connection goes on', async () => {
    const client = await manager().client();
    const dict = client.dict<string, Buffer>(freshName('dict'));
    const bytes = Buffer.alloc(256 * MIB);
    await expect(dict.set('k', bytes)).rejects.toThrow(FrameTooLargeError);
    await expect(client.tasks(freshName('tasks')).put('t', bytes)).rejects.toThrow(FrameTooLargeError);
    expect(await dict.size()).toBe(0);
  });
});
