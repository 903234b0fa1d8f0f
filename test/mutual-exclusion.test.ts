/**
 * Mutual exclusion, proven over real processes: eight flows, two in each of four processes, beside the flows of this
 * one. Each scenario runs twice: with the mutex that managers have, where nothing may go wrong, and with one that
 * excludes nobody, where the same scenario must show what goes wrong. A scenario that could not fail proves nothing.
 */
import { EventEmitter, once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MutexInterface } from 'async-mutex';
import type { LeasedTask, TaskHandle } from 'quartermaster';
import { freshName, managerOfSuite, type TestManager } from './kit/managers.ts';
import { type Party, startParty } from './kit/parties.ts';
import type { Slow } from './kit/custom-types.mjs';

const PROCESSES = 4;
/** Tasks are put in so many parts; between two of them, the queue is held at least once. */
const WINDOWS = 20;
const modules = [new URL('./kit/custom-types.mjs', import.meta.url)];

/** Looks like a mutex, and lets everybody in. */
const excludesNobody = (): MutexInterface => ({
  acquire: () => Promise.resolve(() => {}),
  runExclusive: (section) => Promise.resolve(section()),
  isLocked: () => false,
  waitForUnlock: () => Promise.resolve(),
  release: () => {},
  cancel: () => {},
});

function partiesOf(manager: () => TestManager): () => readonly Party[] {
  let parties: Party[] = [];
  beforeAll(async () => {
    parties = await Promise.all(Array.from({ length: PROCESSES }, () => startParty(manager())));
  });
  afterAll(() => Promise.all(parties.map((party) => party.kill())));
  return () => parties;
}

describe('with the mutex', () => {
  const manager = managerOfSuite('process', { modules });
  const parties = partiesOf(manager);

  test('no task is received twice, none is lost, and nobody takes or puts while somebody holds the queue', async () => {
    const seen = await takeAll(manager(), parties(), 100_000);
    expect(seen.received).toBe(100_000);
    expect(seen.twice).toEqual([]);
    expect(seen.holds).toBeGreaterThanOrEqual(WINDOWS);
    expect(seen.intrusions).toBe(0);
  });

  test('8 × 1,000 read-modify-writes of a counter and of a dict value under withLock are exact', async () => {
    expect(await countUnderHolds(manager(), parties(), 500)).toEqual({ counter: 4000, dict: 4000 });
  });

  test('8 × 1,000 read-modify-writes under a lock are exact, and every one carries a larger token', async () => {
    expect(await countUnderLock(manager(), parties(), 1000)).toEqual({ count: 8000, tokensInOrder: true });
  });

  test('an async method of a custom type is never entered twice', async () => {
    expect(await callAsyncMethod(manager(), parties(), 250)).toEqual({
      inside: 0,
      most: 1,
      entered: 2000,
      total: 2000,
    });
  });

  test('without the lock, the same writes lose updates', async () => {
    const { count } = await countUnderLock(manager(), parties(), 100, false);
    expect(count).toBeLessThan(800);
  });
});

describe('with a mutex that excludes nobody', () => {
  const manager = managerOfSuite('socket', { modules, internals: { newMutex: excludesNobody } });
  const parties = partiesOf(manager);

  test('others take and put while somebody holds the queue', async () => {
    const seen = await takeAll(manager(), parties(), 5_000);
    expect(seen.intrusions).toBeGreaterThan(0);
  });

  test('read-modify-writes under withLock lose updates', async () => {
    const { counter, dict } = await countUnderHolds(manager(), parties(), 50);
    expect(counter).toBeLessThan(400);
    expect(dict).toBeLessThan(400);
  });

  test('an async method is entered twice', async () => {
    const { most, total } = await callAsyncMethod(manager(), parties(), 20);
    expect(most).toBeGreaterThan(1);
    expect(total).toBeLessThan(160);
  });
});

/**
 * `count` tasks, put in windows by this process; eight loops on getNowait() in other processes; and a flow that holds
 * the queue again and again, and looks whether anything is taken or put behind its back.
 */
async function takeAll(manager: TestManager, parties: readonly Party[], count: number) {
  const name = freshName('tasks');
  const loops = parties.map((party) =>
    party.run(async ({ client, kept }, name) => {
      const stop = new AbortController();
      kept['stop'] = stop;
      const tasks = client.tasks(name);
      const received: number[] = [];
      const loop = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          let task: LeasedTask | undefined;
          try {
            task = (await tasks.getNowait()) ?? (await tasks.get({ signal: stop.signal }));
          } catch (error) {
            if (stop.signal.aborted) return;
            throw error;
          }
          received.push(task.input as number);
          await task.complete(task.input);
        }
      };
      await Promise.all([loop(), loop()]);
      return received;
    }, name),
  );
  const client = await manager.client();
  const tasks = client.tasks(name);
  let finished = false;
  let holds = 0;
  const held = new EventEmitter();
  let intrusions = 0;
  const holding = (async () => {
    while (!finished) {
      await tasks.withLock(async (held) => {
        holds++;
        const before = [await held.dict.counts(), await held.dict.size()] as const;
        for (let look = 0; look < 5; look++) {
          const [counts, size] = [await held.dict.counts(), await held.dict.size()];
          // What is given back may become ready meanwhile; what is ready must stay, and nothing be added.
          if (counts.ready < before[0].ready || size !== before[1]) intrusions++;
        }
      });
      held.emit('end');
      // Between two holds, as much happens as there are calls from others in line.
      for (let turns = 0; turns < 20; turns++) await client.inspect.workers();
    }
  })();
  const handles: TaskHandle[] = [];
  const inputs = Array.from({ length: count }, (_, i) => i);
  for (let window = 0; window < WINDOWS; window++) {
    const part = inputs.slice((window * count) / WINDOWS, ((window + 1) * count) / WINDOWS);
    const nextHold = once(held, 'end');
    for await (const handle of tasks.putMany('count', part)) handles.push(handle);
    await nextHold;
  }
  for (let i = 0; i < count; i++) expect(await handles[i]!.result()).toBe(i);
  finished = true;
  await holding;
  await Promise.all(parties.map((party) => party.run(({ kept }) => (kept['stop'] as AbortController).abort())));
  const times = new Uint8Array(count);
  for (const received of await Promise.all(loops)) for (const input of received) times[input]!++;
  const received = times.reduce((sum, n) => sum + Math.min(n, 1), 0);
  return { received, twice: inputs.filter((input) => times[input]! > 1), holds, intrusions };
}

/** `each` rounds of get-and-set in two flows of each process, half of them on a counter, half on a value of a dict. */
async function countUnderHolds(manager: TestManager, parties: readonly Party[], each: number) {
  const name = freshName('count');
  await Promise.all(
    parties.map((party) =>
      party.run(
        async ({ client }, name, each) => {
          const counter = client.counter(`${name}-counter`);
          const dict = client.dict<string, { n: number }>(`${name}-dict`);
          const flow = async (): Promise<void> => {
            for (let i = 0; i < each; i++) {
              await counter.withLock(async (held) => held.set((await held.get()) + 1));
              await dict.withLock(async (held) => held.set('n', { n: ((await held.get('n'))?.n ?? 0) + 1 }));
            }
          };
          await Promise.all([flow(), flow()]);
        },
        name,
        each,
      ),
    ),
  );
  const client = await manager.client();
  const dict = await client.dict<string, { n: number }>(`${name}-dict`).get('n');
  return { counter: await client.counter(`${name}-counter`).get(), dict: dict?.n };
}

/** `each` rounds of get-and-set in two flows of each process; `locked` or not. */
async function countUnderLock(manager: TestManager, parties: readonly Party[], each: number, locked = true) {
  const name = freshName('count');
  await Promise.all(
    parties.map((party) =>
      party.run(
        async ({ client }, name, each, locked) => {
          const value = client.value<[number, bigint]>(`${name}-value`);
          const order = client.value<boolean>(`${name}-order`, true);
          const lock = client.lock(`${name}-lock`);
          const flow = async (): Promise<void> => {
            for (let i = 0; i < each; i++) {
              if (!locked) {
                await value.set([((await value.get())?.[0] ?? 0) + 1, 0n]);
                continue;
              }
              await lock.runExclusive(async (guard) => {
                const [count, last] = (await value.get()) ?? [0, 0n];
                if (guard.token <= last) await order.set(false);
                await value.set([count + 1, guard.token], { guard });
              });
            }
          };
          await Promise.all([flow(), flow()]);
        },
        name,
        each,
        locked,
      ),
    ),
  );
  const client = await manager.client();
  const [count] = (await client.value<[number, bigint]>(`${name}-value`).get()) ?? [0];
  return { count, tokensInOrder: await client.value(`${name}-order`, true).get() };
}

/** `each` calls in two flows of each process. The object itself counts how many are inside at once. */
async function callAsyncMethod(manager: TestManager, parties: readonly Party[], each: number) {
  const name = freshName('slow');
  await Promise.all(
    parties.map((party) =>
      party.run(
        async ({ client }, name, each) => {
          const slow = client.object<Slow>('Slow', [], name);
          const flow = async (): Promise<void> => {
            for (let i = 0; i < each; i++) await slow.step();
          };
          await Promise.all([flow(), flow()]);
        },
        name,
        each,
      ),
    ),
  );
  const client = await manager.client();
  return (await client.object<Slow>('Slow', [], name).snapshot()) as Record<
    'inside' | 'most' | 'entered' | 'total',
    number
  >;
}
