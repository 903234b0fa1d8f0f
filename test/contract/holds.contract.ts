/** `withLock`: one object for one flow over several calls; in every setting, for every kind of object that can be held. */
import { describe, expect, test } from 'vitest';
import {
  type Client,
  type CounterProxy,
  DeadlockError,
  type DictProxy,
  type ListProxy,
  type NamespaceProxy,
  type SetProxy,
  JobGraph,
  NotLockOwnerError,
  ProxyDisposedError,
  type QueueProxy,
  type TaskHandle,
  type LeasedTask,
  TimeoutError,
  type ValueProxy,
} from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting, sever } from '../kit/managers.ts';
import { type AnyProxy, partyOfSuite, partyOfTest } from '../kit/parties.ts';

/** How to leave a mark on each kind of object, and to read the marks in order. */
const kinds: Readonly<
  Record<
    string,
    {
      make(client: Client, name: string): AnyProxy;
      mark(proxy: never, mark: number): Promise<unknown>;
      marks(proxy: never): Promise<unknown>;
    }
  >
> = {
  dict: {
    make: (client, name) => client.dict(name),
    mark: (dict: DictProxy<string, number>, mark) => dict.set(String(mark), mark),
    marks: (dict: DictProxy<string, number>) => dict.values(),
  },
  queue: {
    make: (client, name) => client.queue<number>(name),
    mark: (queue: QueueProxy<number>, mark) => queue.put(mark),
    marks: (queue: QueueProxy<number>) => queue.snapshot(),
  },
  value: {
    make: (client, name) => client.value<number[]>(name, []),
    // Not atomic by itself: two calls.
    mark: async (value: ValueProxy<number[]>, mark) => value.set([...(await value.get()), mark]),
    marks: (value: ValueProxy<number[]>) => value.get(),
  },
  counter: {
    make: (client, name) => client.counter(name),
    mark: (counter: CounterProxy, mark) => counter.get().then((sum) => counter.set(sum * 10 + mark)),
    marks: async (counter: CounterProxy) => Array.from(String(await counter.get()), Number),
  },
  list: {
    make: (client, name) => client.list<number>(name),
    mark: (list: ListProxy<number>, mark) => list.push(mark),
    marks: (list: ListProxy<number>) => list.slice(),
  },
  set: {
    make: (client, name) => client.set<number>(name),
    mark: (set: SetProxy<number>, mark) => set.add(mark),
    marks: (set: SetProxy<number>) => set.values(),
  },
  namespace: {
    make: (client, name) => client.namespace<Record<string, number>>(name),
    mark: (namespace: NamespaceProxy<Record<string, number>>, mark) => namespace.set(`n${mark}`, mark),
    marks: async (namespace: NamespaceProxy<Record<string, number>>) => Object.values(await namespace.all()),
  },
  Ledger: {
    make: (client, name) => client.object('Ledger', [], name),
    mark: (ledger: { book(amount: number): Promise<unknown> }, mark) => ledger.book(mark),
    marks: async (ledger: { snapshot(): Promise<unknown> }) =>
      ((await ledger.snapshot()) as { entries: { amount: number }[] }).entries.map(({ amount }) => amount),
  },
};

export function holdsContract(setting: Setting): void {
  describe(`holds (${setting})`, () => {
    const manager = managerOfSuite(setting, { modules: [new URL('../kit/custom-types.mjs', import.meta.url)] });
    const party = partyOfSuite(manager);

    describe.each(Object.entries(kinds))('of a %s', (typeId, kind) => {
      const mark = (proxy: unknown, n: number): Promise<unknown> => kind.mark(proxy as never, n);
      const marks = (proxy: unknown): Promise<unknown> => kind.marks(proxy as never);

      test('only calls on the held one enter; all others wait their turn, in order, also of the same client', async () => {
        const client = await manager().client();
        const other = await manager().client();
        const name = freshName(typeId);
        const proxy = kind.make(client, name);
        const settled: number[] = [];
        const outside: Promise<unknown>[] = [];
        const later = (from: unknown, n: number): void => {
          // One call each: a mark of several calls would be several turns.
          outside.push(
            kind
              .make(from as Client, name)
              .withLock((held) => mark(held, n))
              .then(() => settled.push(n)),
          );
        };
        await proxy.withLock(async (held) => {
          await mark(held, 1);
          later(client, 4);
          await arrived(client);
          later(other, 5);
          await arrived(other);
          later(client, 6);
          await arrived(client);
          await mark(held, 2);
          await mark(held, 3);
          expect(await marks(held)).toEqual([1, 2, 3]);
          expect(settled).toEqual([]);
        });
        await Promise.all(outside);
        expect(settled).toEqual([4, 5, 6]);
        expect(await marks(proxy)).toEqual([1, 2, 3, 4, 5, 6]);
      });

      test('plain calls wait too, from this client and from another process', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        const proxy = kind.make(client, name);
        let over = false;
        let there: Promise<unknown> | undefined;
        let here: Promise<unknown> | undefined;
        await proxy.withLock(async (held) => {
          await mark(held, 1);
          here = marks(proxy).then((seen) => expect([over, seen]).toEqual([true, [1, 2]]));
          there = party().run(
            async ({ client, open, say }, typeId, name) => {
              const proxy = open(typeId, name);
              const snapshot = proxy.snapshot();
              await client.counter().get();
              say('asked');
              return snapshot;
            },
            typeId,
            name,
          );
          expect(await party().said()).toBe('asked');
          await mark(held, 2);
          over = true;
        });
        await here;
        expect(await there).toEqual(await proxy.snapshot());
      });

      test('gives back the result of its body, and its error; the object is free after either', async () => {
        const client = await manager().client();
        const proxy = kind.make(client, freshName(typeId));
        expect(await proxy.withLock(() => 'sync')).toBe('sync');
        expect(await proxy.withLock(async () => 'async')).toBe('async');
        const failure = new Error('of the body');
        await expect(proxy.withLock(() => Promise.reject(failure))).rejects.toBe(failure);
        await expect(
          proxy.withLock(() => {
            throw failure;
          }),
        ).rejects.toBe(failure);
        await mark(proxy, 1);
        expect(await marks(proxy)).toEqual([1]);
      });

      test('the held one is of no use after the body, nor are holds inside a hold', async () => {
        const client = await manager().client();
        const proxy = kind.make(client, freshName(typeId));
        const kept = await proxy.withLock(async (held) => {
          await expect(held.withLock(() => 1)).rejects.toThrow(DeadlockError);
          await held.dispose();
          await mark(held, 1);
          return held;
        });
        await expect((async () => mark(kept, 2))()).rejects.toThrow(ProxyDisposedError);
        await expect(kept.withLock(() => 1)).rejects.toThrow(ProxyDisposedError);
        expect(await marks(proxy)).toEqual([1]);
      });

      test('waiting for a hold: timeout and abort leave nothing behind, at any moment', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        const proxy = kind.make(client, name);
        const theirs = kind.make(await manager().client(), name);
        await theirs.withLock(async () => {
          await expect(proxy.withLock(() => 1, { timeout: 1 })).rejects.toThrow(TimeoutError);
          const aborting = new AbortController();
          const waiting = expect(proxy.withLock(() => 1, { signal: aborting.signal })).rejects.toThrow('enough');
          await arrived(client);
          aborting.abort(new Error('enough'));
          await waiting;
        });
        for (let i = 0; i < 100; i++) {
          const aborting = new AbortController();
          const racing = proxy.withLock(() => 1, { signal: aborting.signal }).catch(() => 0);
          for (let turns = 0; turns < i % 4; turns++) await new Promise((resolve) => setImmediate(resolve));
          aborting.abort();
          await racing;
          await theirs.withLock(() => 1);
        }
        await proxy.withLock(() => 1);
        for (const wrong of [{ timeout: -1 }, { timeout: NaN }, { holdTimeout: -1 }]) {
          await expect(proxy.withLock(() => 1, wrong)).rejects.toThrow(RangeError);
        }
        const reason = new Error('before');
        await expect(proxy.withLock(() => 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
        expect(await proxy.withLock(() => 2, { timeout: 0 })).toBe(2);
      });

      test('holdTimeout ends the hold: others go on, and later calls on the held one are refused', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        const proxy = kind.make(client, name);
        await proxy.withLock(
          async (held) => {
            await mark(proxy, 2); // waits until the time is up
            await expect((async () => mark(held, 3))()).rejects.toThrow(NotLockOwnerError);
            await expect((async () => mark(held, 3))()).rejects.toThrow('holdTimeout');
          },
          { holdTimeout: 10 },
        );
        expect(await marks(proxy)).toEqual([2]);
        expect(await proxy.withLock(() => 'free')).toBe('free');
      });

      test('the end of the session ends the hold, also when its process is killed', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        const proxy = kind.make(client, name);
        const going = await manager().client();
        let entered = (): void => {};
        const inside = new Promise<void>((resolve) => (entered = resolve));
        const holding = kind.make(going, name).withLock(async (held) => {
          await mark(held, 1);
          entered();
          return new Promise(() => {});
        });
        holding.catch(() => {});
        await inside;
        const waiting = mark(proxy, 2);
        await arrived(client);
        sever(going);
        await waiting;
        const doomed = await partyOfTest(manager());
        void doomed
          .run(
            async ({ open, say }, typeId, name) => {
              const proxy = open(typeId, name);
              await proxy.withLock(() => {
                say('held');
                return new Promise(() => {});
              });
            },
            typeId,
            name,
          )
          .catch(() => {});
        expect(await doomed.said()).toBe('held');
        const last = mark(proxy, 3);
        await arrived(client);
        await doomed.kill();
        await last;
        expect(await marks(proxy)).toEqual([1, 2, 3]);
      });
    });

    describe('on a queue', () => {
      test('held calls that would wait are a DeadlockError at once; those that need not wait go through', async () => {
        const client = await manager().client();
        const queue = client.queue<number>(undefined, { maxSize: 2 });
        await queue.withLock(async (held) => {
          await expect(held.get()).rejects.toThrow(DeadlockError);
          await expect(held.getMany(1)).rejects.toThrow(DeadlockError);
          expect(await held.getNowait()).toBe(undefined);
          await held.join();
          await held.putMany([1, 2]);
          await expect(held.put(3)).rejects.toThrow(DeadlockError);
          await expect(held.putMany([3])).rejects.toThrow(DeadlockError);
          await expect(held.putNowait(3)).rejects.toThrow('full');
          await expect(held.join()).rejects.toThrow(DeadlockError);
          expect(await held.get()).toBe(1);
          await held.put(3);
          await expect(held.get({ timeout: 1 })).resolves.toBe(2);
        });
        expect(await queue.snapshot()).toEqual([3]);
      });

      test('parked getters and putters do not stand in the way of held calls, and are served when the hold ends', async () => {
        const client = await manager().client();
        const other = await manager().client();
        const name = freshName('queue');
        const queue = client.queue<number>(name, { maxSize: 1 });
        const getter = other.queue<number>(name).get();
        await arrived(other);
        let served = false;
        void getter.then(() => (served = true));
        await queue.withLock(async (held) => {
          await held.put(1);
          expect(await held.get()).toBe(1);
          await held.putNowait(2);
          await arrived(other);
          expect([served, await held.size()]).toEqual([false, 1]);
        });
        expect(await getter).toBe(2);
        await queue.put(3);
        const putter = other.queue<number>(name).put(4);
        await arrived(other);
        await queue.withLock(async (held) => {
          expect(await held.get()).toBe(3);
          await held.put(5);
          expect(await held.getNowait()).toBe(5);
          await held.put(6);
        });
        expect(await queue.get()).toBe(6);
        await putter;
        expect(await queue.get()).toBe(4);
      });

      test.each(['the end of the body', 'an error of the body', 'holdTimeout', 'the end of the session'])(
        'parked waiters are served by %s',
        async (end) => {
          const holder = await manager().client();
          const waiter = await manager().client();
          const name = freshName('queue');
          const waiting = [waiter.queue<number>(name).get(), waiter.queue<number>(name).get()];
          await arrived(waiter);
          const never = new Promise<void>(() => {});
          const queue = holder.queue<number>(name);
          /** Whether its items were put before it ended. */
          const hold = (): Promise<boolean> =>
            new Promise((resolve) => {
              const holding = queue.withLock(
                async (held) => {
                  await held.putMany([1, 2]).then(
                    () => resolve(true),
                    (error: unknown) => {
                      expect(error).toBeInstanceOf(NotLockOwnerError);
                      resolve(false);
                      throw error;
                    },
                  );
                  if (end === 'an error of the body') throw new Error('of the body');
                  if (end === 'the end of the session') sever(holder);
                  if (end !== 'the end of the body') await never;
                },
                end === 'holdTimeout' ? { holdTimeout: 10 } : {},
              );
              holding.catch(() => {});
            });
          // On a busy machine 10 ms may be over before anything has been put.
          while (!(await hold()));
          expect(await Promise.all(waiting)).toEqual([1, 2]);
        },
      );

      test('a call that waits for its turn can be given up', async () => {
        const client = await manager().client();
        const queue = client.queue<number>();
        await queue.withLock(async (held) => {
          await expect(queue.put(1, { timeout: 1 })).rejects.toThrow(TimeoutError);
          await held.put(2);
          await expect(queue.get({ timeout: 1 })).rejects.toThrow(TimeoutError);
        });
        expect(await queue.snapshot()).toEqual([2]);
      });
    });

    describe('on a task queue', () => {
      const freshTasks = async () => {
        const client = await manager().client();
        const name = freshName('tasks');
        return { client, name, tasks: client.tasks(name) };
      };

      test('held calls enter: put, getNowait, get and the dict; what came of them lives on after the hold', async () => {
        const { tasks } = await freshTasks();
        const [handle, leased] = await tasks.withLock(async (held) => {
          await expect(held.get()).rejects.toThrow(DeadlockError);
          expect(await held.getNowait()).toBe(undefined);
          const handle = await held.put('a', 1);
          await held.put('b', 2);
          expect((await held.dict.counts()).ready).toBe(2);
          expect((await handle.record()).state).toBe('ready');
          const leased = await held.getNowait();
          expect(leased?.name).toBe('a');
          expect((await held.get()).name).toBe('b');
          return [handle, leased] as const;
        });
        expect(await handle.state()).toBe('leased');
        await leased?.complete('out');
        expect(await handle.result()).toBe('out');
        expect((await handle.record()).state).toBe('succeeded');
      });

      test('others wait: puts, takes, cancels and looks at the dict', async () => {
        const { client, name, tasks } = await freshTasks();
        const other = await manager().client();
        const theirs = other.tasks(name);
        await tasks.put('first');
        const settled: string[] = [];
        const did = (what: string) => (): void => void settled.push(what);
        let calls: Promise<unknown>[] = [];
        await tasks.withLock(async (held) => {
          calls = [
            theirs.getNowait().then(did('getNowait')),
            theirs.put('second').then(did('put')),
            theirs.dict.size().then(did('size')),
            theirs.dict.counts().then(did('counts')),
            theirs.dict.get('t1').then(did('get')),
            theirs.dict.entries().then(did('entries')),
            tasks.getNowait().then(did('own getNowait')),
          ];
          await arrived(other);
          await arrived(client);
          expect((await held.dict.counts()).ready).toBe(1);
          await arrived(other);
          expect(settled).toEqual([]);
        });
        await Promise.all(calls);
      });

      test('a hold delays no complete, fail, release or extend, and not the result of whoever waits', async () => {
        const { tasks, name } = await freshTasks();
        const other = await manager().client();
        const worker = other.tasks(name);
        const handles: TaskHandle[] = [];
        for (const task of ['a', 'b', 'c', 'd']) handles.push(await tasks.put(task));
        const leased: LeasedTask[] = [];
        for (let i = 0; i < 4; i++) leased.push(await worker.get());
        await tasks.withLock(async (held) => {
          await leased[0]!.complete(1);
          await leased[1]!.fail(new Error('no'));
          await leased[2]!.release();
          await leased[3]!.extend(1000);
          expect(await handles[0]!.result()).toBe(1);
          await expect(handles[1]!.result()).rejects.toThrow();
          const { succeeded, failed, ready, leased: out } = await held.dict.counts();
          expect({ succeeded, failed, ready, out }).toEqual({ succeeded: 1, failed: 1, ready: 1, out: 1 });
        });
      });

      test('a hold does not delay the end of a session: what it had leased is ready again, for the held one too', async () => {
        const { client, tasks, name } = await freshTasks();
        await tasks.put('a');
        const going = await manager().client();
        await going.tasks(name).get();
        await tasks.withLock(async (held) => {
          expect((await held.dict.counts()).leased).toBe(1);
          sever(going);
          while ((await held.dict.counts()).leased > 0) await arrived(client);
          expect((await held.getNowait())?.name).toBe('a');
        });
      });

      test('a waiting get is served when the hold ends, not before', async () => {
        const { tasks, name } = await freshTasks();
        const other = await manager().client();
        let served = false;
        const waiting = other.tasks(name).get();
        void waiting.then(() => (served = true));
        await arrived(other);
        await tasks.withLock(async (held) => {
          await held.put('a');
          await arrived(other);
          expect(served).toBe(false);
          expect((await held.getNowait())?.name).toBe('a');
          await held.put('b');
        });
        expect((await waiting).name).toBe('b');
      });

      test('a hold passes parked putters, which are admitted when it ends; a full queue is a DeadlockError for it', async () => {
        const client = await manager().client();
        const other = await manager().client();
        const name = freshName('tasks');
        const tasks = client.tasks(name, { maxSize: 1 });
        await tasks.put('first');
        let admitted = false;
        const parked = other
          .tasks(name)
          .put('parked')
          .then(() => (admitted = true));
        await arrived(other);
        await tasks.withLock(async (held) => {
          await expect(held.put('x')).rejects.toThrow(DeadlockError);
          await expect(held.putNowait('x')).rejects.toThrow('full');
          expect((await held.getNowait())?.name).toBe('first');
          await held.put('second');
          const second = await held.getNowait();
          expect(second?.name).toBe('second');
          await second?.complete(); // there is room, and a reason to look who could be let in
          await arrived(other);
          expect(admitted).toBe(false);
          expect(await held.getNowait()).toBe(undefined);
        });
        await parked;
        expect((await tasks.getNowait())?.name).toBe('parked');
      });

      test('a graph waits for its turn, too', async () => {
        const { name, tasks } = await freshTasks();
        const other = await manager().client();
        const graph = new JobGraph<Record<string, (input: unknown) => unknown>>();
        graph.add('job', 1, { id: 'only' });
        const run = await tasks.withLock(async (held) => {
          const run = other.tasks(name).runGraph(graph);
          await arrived(other);
          expect(await held.dict.size()).toBe(0);
          return run;
        });
        const task = await tasks.get();
        expect(task.name).toBe('job');
        await task.complete('done');
        expect(await run.result()).toEqual({ only: 'done' });
        const inside = await tasks.withLock((held) => held.runGraph(graph));
        await (await tasks.get()).complete('again');
        expect(await inside.result()).toEqual({ only: 'again' });
      });

      test('tasks that were taken, and handles of tasks that were put, outlive the proxy they came from', async () => {
        const { client, name, tasks } = await freshTasks();
        const handle = await tasks.put('a', 1);
        const task = await tasks.getNowait();
        await tasks.dispose();
        await expect(tasks.getNowait()).rejects.toThrow(ProxyDisposedError);
        await expect(tasks.get()).rejects.toThrow(ProxyDisposedError);
        await expect(tasks.put('b')).rejects.toThrow(ProxyDisposedError);
        await expect(tasks.dict.size()).rejects.toThrow(ProxyDisposedError);
        expect(await handle.state()).toBe('leased');
        await task?.complete('out');
        expect(await handle.result()).toBe('out');
        expect((await client.tasks(name).dict.counts()).succeeded).toBe(1);
        expect(await client.inspect.workers()).not.toContainEqual(expect.objectContaining({ queue: name }));
      });

      test('two proxies of one queue in one client each take for themselves', async () => {
        const { client, name, tasks } = await freshTasks();
        for (const task of ['a', 'b', 'c']) await tasks.put(task);
        const again = client.tasks(name);
        expect((await tasks.getNowait())?.name).toBe('a');
        expect((await again.getNowait())?.name).toBe('b');
        expect((await client.tasks(name).get()).name).toBe('c');
      });

      test('a put and a get that wait for their turn can be given up', async () => {
        const { client, tasks } = await freshTasks();
        const other = await manager().client();
        const theirs = other.tasks(tasks.name);
        await tasks.withLock(async (held) => {
          await expect(theirs.put('late', 1, { timeout: 1 })).rejects.toThrow(TimeoutError);
          await held.put('a');
          await expect(theirs.get({ timeout: 1 })).rejects.toThrow(TimeoutError);
        });
        await arrived(other);
        await arrived(client);
        expect(await tasks.dict.counts()).toMatchObject({ ready: 1, leased: 0 });
      });
    });

    test('holds on different objects do not wait for each other', async () => {
      const client = await manager().client();
      const [a, b] = [client.dict<string, number>(), client.counter()];
      await a.withLock(async (heldA) => {
        await b.withLock(async (heldB) => {
          await heldA.set('a', await heldB.add(1));
        });
        expect(await b.get()).toBe(1);
      });
      expect(await a.get('a')).toBe(1);
    });
  });
}
