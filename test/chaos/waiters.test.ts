/** Very many waiters, and waits that are given up at the very moment at which they are served. */
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type LockGuard, TimeoutError } from 'quartermaster';
import { WaitList } from '#qm/manager/wait-list.js';
import { arrived, lose } from '../kit/arrived.ts';
import { freshName, managerOfTest, type Setting } from '../kit/managers.ts';

test('L6 100,000 waiters, half of them aborted: the rest are granted in order, and nobody is looked at twice', async () => {
  const WAITERS = 100_000;
  const manager = await managerOfTest('memory');
  const client = await manager.client();
  const session = manager.core!.sessions.get(client.session)!;
  const lock = client.lock();
  const first = await lock.acquire();
  const granted: number[] = [];
  const pass = async (waiter: number, guard: LockGuard): Promise<void> => {
    granted.push(waiter);
    await guard.release();
  };
  const waiters = Array.from({ length: WAITERS }, (_, i) => {
    const aborting = new AbortController();
    const outcome = lock.acquire({ signal: aborting.signal }).then(
      (guard) => pass(i, guard),
      (error: unknown) => {
        if (error !== aborting.signal.reason) throw error;
      },
    );
    return { aborting, outcome };
  });
  await arrived(client);
  expect(session.parked.size).toBe(WAITERS);

  const looks = vi.spyOn(WaitList.prototype, Symbol.iterator);
  const shifts = vi.spyOn(WaitList.prototype, 'shift');
  onTestFinished(() => void vi.restoreAllMocks());
  // Every second one, from the middle outwards, so that most leave from among others.
  for (let i = 1; i < WAITERS / 2; i += 2) {
    waiters[WAITERS / 2 + i]!.aborting.abort();
    waiters[WAITERS / 2 - i]!.aborting.abort();
  }
  await arrived(client);
  expect(session.parked.size).toBe(WAITERS / 2);
  // To leave, nobody is searched for.
  expect([looks.mock.calls.length, shifts.mock.calls.length]).toEqual([0, 0]);

  await first.release();
  await Promise.all(waiters.map(({ outcome }) => outcome));
  expect(granted).toEqual(Array.from({ length: WAITERS / 2 }, (_, i) => 2 * i));
  // One step for each grant.
  expect([looks.mock.calls.length, shifts.mock.calls.length]).toEqual([0, WAITERS / 2]);
  expect(await lock.locked()).toBe(false);
});

test('L6 of 20,000 waiters of two sessions, one session dies: the others are granted in order', async () => {
  const manager = await managerOfTest('socket');
  const [holder, staying, dying] = [await manager.client(), await manager.client(), await manager.client()];
  const name = freshName('lock');
  const guard = await holder.lock(name).acquire();
  const granted: number[] = [];
  const outcomes: Promise<unknown>[] = [];
  for (let block = 0; block < 10; block++) {
    const [stays, dies] = [staying.lock(name), dying.lock(name)];
    for (let i = 0; i < 1000; i++) {
      const waiter = 1000 * block + i;
      outcomes.push(
        stays.acquire().then(async (mine) => {
          granted.push(waiter);
          await mine.release();
        }),
        expect(dies.acquire()).rejects.toThrow(),
      );
    }
    await Promise.all([arrived(staying), arrived(dying)]);
  }
  await lose(dying, holder);
  await guard.release();
  await Promise.all(outcomes);
  expect(granted).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
});

/** How one race goes: who is first, and how many turns of the event loop lie between. */
const race = fc.record({
  order: fc.constantFrom('put first', 'abort first', 'no abort', 'timeout'),
  turns: fc.nat(2),
  many: fc.boolean(),
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe.each([
  ['memory', 80],
  ['socket', 20],
] as [Setting, number][])('over %s', (setting, rounds) => {
  test(`Q3 ${rounds},000 races of an abort against the item that is delivered: nothing is lost, nothing comes twice`, async () => {
    const manager = await managerOfTest(setting);
    const [getting, putting] = [await manager.client(), await manager.client()];
    let resolved = 0;
    let givenUp = 0;
    const round = fc.asyncProperty(fc.array(race, { minLength: 1000, maxLength: 1000 }), async (races) => {
      const name = freshName('queue');
      const queue = getting.queue<number>(name);
      const source = putting.queue<number>(name);
      const received: number[] = [];
      await Promise.all(
        races.map(async ({ order, turns, many }, item) => {
          const aborting = new AbortController();
          const options = order === 'timeout' ? { timeout: turns } : { signal: aborting.signal };
          const getter = (many ? queue.getMany(3, options) : queue.get(options)).then(
            (items) => {
              resolved++;
              received.push(...[items].flat());
            },
            (error: unknown) => {
              givenUp++;
              if (error !== aborting.signal.reason && !(error instanceof TimeoutError)) throw error;
            },
          );
          if (order === 'abort first') aborting.abort();
          const put = source.put(item);
          for (let i = 0; i < turns; i++) await turn();
          aborting.abort();
          await Promise.all([getter, put]);
        }),
      );
      for (let item = await queue.getNowait(); item !== undefined; item = await queue.getNowait()) received.push(item);
      expect(received.sort((a, b) => a - b)).toEqual(races.map((_, item) => item));
      await Promise.all([queue.dispose(), source.dispose()]);
    });
    await fc.assert(round, { numRuns: rounds, endOnFailure: true });
    // Both ends of the race were seen.
    expect(Math.min(resolved, givenUp)).toBeGreaterThan(rounds);
  });

  test('Q3 the same for a lock, and for holds: nobody is left holding what nobody has', async () => {
    const manager = await managerOfTest(setting);
    const [ours, theirs] = [await manager.client(), await manager.client()];
    let inside = 0;
    let entered = 0;
    const body = async (): Promise<void> => {
      expect(++inside).toBe(1);
      entered++;
      await turn();
      inside--;
    };
    const round = fc.asyncProperty(fc.array(race, { minLength: 100, maxLength: 100 }), async (races) => {
      const name = freshName('race');
      for (const kind of ['lock', 'hold'] as const) {
        const enter = [ours, theirs].map((client) => {
          const [lock, counter] = [client.lock(name), client.counter(`${name}-counter`)];
          return (options: { signal?: AbortSignal; timeout?: number }) =>
            kind === 'lock' ? lock.runExclusive(body, options) : counter.withLock(body, options);
        });
        await Promise.all(
          races.map(async ({ order, turns }, i) => {
            const aborting = new AbortController();
            const options = order === 'timeout' ? { timeout: turns } : { signal: aborting.signal };
            const going = enter[i % 2]!(options).catch((error: unknown) => {
              if (error !== aborting.signal.reason && !(error instanceof TimeoutError)) throw error;
            });
            for (let n = 0; n < turns * i; n++) await turn();
            if (order !== 'no abort') aborting.abort();
            await going;
          }),
        );
        await enter[0]!({});
        expect(inside).toBe(0);
      }
    });
    await fc.assert(round, { numRuns: rounds / 10, endOnFailure: true });
    expect(entered).toBeGreaterThan(rounds);
  });
});
