/**
 * Proxies as values: wherever one is stored, the object that it names lives as long as the value, and as long as any
 * session has a proxy; then it is gone. In every setting, with a second process as the other party.
 */
import { describe, expect, test } from 'vitest';
import {
  type Client,
  type CounterProxy,
  type DictProxy,
  JobGraph,
  type ListProxy,
  type ObjectProxy,
  ProxyDisposedError,
  TaskFailedError,
  type ValueProxy,
} from 'quartermaster';
import { arrived, lose, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, managerOfTest, type Setting } from '../kit/managers.ts';
import { partyOfSuite, partyOfTest } from '../kit/parties.ts';

const modules = [new URL('../kit/custom-types.mjs', import.meta.url)];

/** What a place does with a value: puts it there from one session, and takes it out by another. */
interface Place {
  /** Stores the value; returns what is needed to take it. */
  store(client: Client, value: unknown): Promise<unknown>;
  /** The value, which stays there. Undefined where a place gives it only once. */
  read?(client: Client, at: never): Promise<unknown>;
  /** Takes the value out, and returns it where the place does that. */
  remove(client: Client, at: never): Promise<unknown>;
}

const places: Readonly<Record<string, Place>> = {
  'a dict': {
    store: async (client, value) => {
      const dict = client.dict<string, unknown>(freshName('dict'));
      await dict.set('k', value);
      return dict.name;
    },
    read: (client, name) => client.dict(name).get('k'),
    remove: (client, name) => client.dict(name).pop('k'),
  },
  'a dict, replaced': {
    store: async (client, value) => {
      const dict = client.dict<string, unknown>(freshName('dict'));
      await dict.setMany([['k', value]]);
      return dict.name;
    },
    read: async (client, name) => (await client.dict(name).values())[0],
    remove: (client, name) =>
      client
        .dict<string, unknown>(name)
        .compareAndSet('none', undefined, 1)
        .then(() => client.dict<string, unknown>(name).set('k', 1)),
  },
  'a dict, cleared': {
    store: async (client, value) => {
      const dict = client.dict<string, unknown>(freshName('dict'));
      const inserted = (await dict.getOrInsert('k', value)) as { proxy: CounterProxy };
      await inserted.proxy.dispose();
      return dict.name;
    },
    read: async (client, name) => (await client.dict(name).entries())[0]?.[1],
    remove: (client, name) => client.dict(name).clear(),
  },
  'a dict, deleted': {
    store: async (client, value) => {
      const dict = client.dict<string, unknown>(freshName('dict'));
      await dict.compareAndSet('k', undefined, value);
      return dict.name;
    },
    read: async (client, name) => (await client.dict(name).getMany(['k']))[0],
    remove: (client, name) =>
      client
        .dict(name)
        .delete('k')
        .then(() => {}),
  },
  'a list': {
    store: async (client, value) => {
      const list = client.list(freshName('list'));
      await list.push(value);
      return list.name;
    },
    read: (client, name) => client.list(name).at(0),
    remove: (client, name) => client.list(name).shift(),
  },
  'a list, spliced': {
    store: async (client, value) => {
      const list = client.list(freshName('list'));
      await list.push(1);
      await list.splice(0, 1, [value, 2]);
      return list.name;
    },
    read: async (client, name) => (await client.list(name).slice())[0],
    remove: async (client, name) => (await client.list(name).splice(0, 2))[0],
  },
  'a list, from its ends': {
    store: async (client, value) => {
      const list = client.list(freshName('list'));
      await list.unshift(value);
      return list.name;
    },
    read: (client, name) => client.list(name).snapshot(),
    remove: (client, name) => client.list(name).pop(),
  },
  'a list, cleared': {
    store: async (client, value) => {
      const list = client.list(freshName('list'));
      await list.push(value);
      return list.name;
    },
    remove: (client, name) => client.list(name).clear(),
  },
  'a value': {
    store: async (client, value) => {
      const cell = client.value<unknown>(freshName('value'));
      await cell.set(value);
      return cell.name;
    },
    read: (client, name) => client.value(name).get(),
    remove: (client, name) => client.value<unknown>(name).set(undefined),
  },
  'a value, its initial one': {
    store: async (client, value) => {
      const cell = client.value<unknown>(freshName('value'), value);
      await cell.compareAndSet('made', 'by now');
      return cell.name;
    },
    read: (client, name) => client.value(name).snapshot(),
    remove: async (client, name) => {
      const cell = client.value<unknown>(name);
      const value = (await cell.get()) as { proxy: CounterProxy };
      expect(await cell.compareAndSet(value, 0)).toBe(true);
      return value;
    },
  },
  'a namespace': {
    store: async (client, value) => {
      const namespace = client.namespace<Record<string, unknown>>(freshName('namespace'));
      await namespace.set('p', value);
      return namespace.name;
    },
    read: async (client, name) => (await client.namespace<Record<string, unknown>>(name).all()).p,
    remove: (client, name) =>
      client
        .namespace<Record<string, unknown>>(name)
        .delete('p')
        .then(() => {}),
  },
  'a queue': {
    store: async (client, value) => {
      const queue = client.queue(freshName('queue'));
      await queue.put(value);
      return queue.name;
    },
    read: async (client, name) => (await client.queue(name).snapshot())[0],
    remove: (client, name) => client.queue(name).get(),
  },
  'a queue, in one of many': {
    store: async (client, value) => {
      const queue = client.queue(freshName('queue'), { order: 'priority' });
      await queue.putMany([value, 2], { priority: 1 });
      return queue.name;
    },
    remove: async (client, name) => (await client.queue(name).getMany(2))[0],
  },
  'a queue that is shut down': {
    store: async (client, value) => {
      const queue = client.queue(freshName('queue'), { order: 'lifo' });
      await queue.putNowait(value);
      return queue.name;
    },
    remove: (client, name) => client.queue(name).shutdown({ immediate: true }),
  },
  'another object that a value names': {
    store: async (client, value) => {
      const outer = client.list(freshName('outer'));
      const inner = client.dict<string, unknown>();
      await inner.set('k', value);
      await outer.push({ inner });
      await inner.dispose();
      return outer.name;
    },
    read: async (client, name) => {
      const { inner } = (await client.list(name).at(0)) as { inner: DictProxy };
      const value = await inner.get('k');
      await inner.dispose();
      return value;
    },
    remove: (client, name) => client.list(name).clear(),
  },
};

interface Box {
  put(value: unknown): void;
  look(): unknown;
}

function proxyIn(value: unknown): CounterProxy | undefined {
  const seen = Array.isArray(value) ? (value[0] as unknown) : value;
  const inside = (seen as { proxy?: unknown } | undefined)?.proxy;
  return inside as CounterProxy | undefined;
}

export function referencesContract(setting: Setting): void {
  describe(`references (${setting})`, () => {
    const manager = managerOfSuite(setting, { modules });
    const party = partyOfSuite(manager);

    /** Until what is on its way to a client has arrived, and that is all that there is. */
    async function settled(client: Client, ids: readonly number[]): Promise<void> {
      while ((await unnamed(client)).join() !== ids.join()) await arrived(client);
    }

    async function count(client: Client, wanted: number): Promise<void> {
      while ((await unnamed(client)).length !== wanted) await arrived(client);
    }

    /** Ids of the unnamed objects. */
    async function unnamed(client: Client): Promise<number[]> {
      return (await client.inspect.objects({ unnamed: true })).map(({ id }) => id);
    }

    test.each(Object.entries(places))('X5 a proxy in %s stays live until it is taken out', async (_name, place) => {
      const [client, other] = [await manager().client(), await manager().client()];
      const before = await unnamed(client);
      const counter = client.counter();
      const at = (await place.store(client, { proxy: counter })) as never;
      // In the same turn as the last word that stores it.
      await counter.dispose();
      await arrived(client);
      expect((await unnamed(client)).length).toBeGreaterThan(before.length);
      for (let round = 1; place.read !== undefined && round <= 2; round++) {
        const proxy = proxyIn(await place.read(other, at)) as CounterProxy;
        expect(await proxy.add()).toBe(round);
        await proxy.dispose();
      }
      const taken = await place.remove(other, at);
      const last = proxyIn(taken);
      if (last !== undefined) {
        expect(await last.add()).toBeGreaterThan(0);
        await last.dispose();
      }
      await settled(other, before);
    });

    test('X5 a value of many places is kept by each of them', async () => {
      const client = await manager().client();
      const counter = client.counter();
      const [list, value] = [client.list(), client.value<unknown>()];
      await list.push([counter, counter]);
      await list.push(counter);
      await value.set({ counter });
      const id = (await unnamed(client)).at(-3);
      const shown = async (): Promise<unknown> =>
        (await client.inspect.objects({ typeId: 'counter' })).find((object) => object.id === id);
      expect(await shown()).toMatchObject({
        sessions: [{ session: client.session, pid: process.pid, references: 1 }],
        inFlight: 0,
        stored: 3,
        storedIn: [
          { typeId: 'list', times: 2 },
          { typeId: 'value', times: 1 },
        ],
      });
      await counter.dispose();
      await list.clear();
      expect(await shown()).toMatchObject({ sessions: [], stored: 1 });
      await value.set(0);
      expect(await shown()).toBeUndefined();
      await Promise.all([list.dispose(), value.dispose()]);
    });

    test('X5 a put that waits for room keeps what it brings; a caller that aborts takes it along', async () => {
      const client = await manager().client();
      const before = await unnamed(client);
      const queue = client.queue<unknown>(freshName('queue'), { maxSize: 1 });
      await queue.put('first');
      const [kept, gone] = [client.counter(), client.counter()];
      const abort = new AbortController();
      const left = expect(queue.put([gone], { signal: abort.signal })).rejects.toThrow('enough');
      const put = queue.put([kept]);
      await Promise.all([kept.dispose(), gone.dispose()]);
      await count(client, before.length + 2);
      abort.abort(new Error('enough'));
      await left;
      await count(client, before.length + 1);
      expect(await queue.get()).toBe('first');
      await put;
      const [proxy] = (await queue.get()) as [CounterProxy];
      expect(await proxy.add()).toBe(1);
      await proxy.dispose();
      await settled(client, before);
    });

    test('X5 a call that waits for the object keeps what it brings', async () => {
      const client = await manager().client();
      const dict = client.dict<string, unknown>(freshName('dict'));
      const counter = client.counter();
      let set: Promise<void> | undefined;
      await dict.withLock(async (held) => {
        set = dict.set('k', [counter]);
        await counter.dispose();
        expect(await held.size()).toBe(0);
      });
      await set;
      const [proxy] = (await dict.get('k')) as [CounterProxy];
      expect(await proxy.add()).toBe(1);
    });

    test('X5 compareAndSet that finds something else keeps nothing', async () => {
      const client = await manager().client();
      const before = await unnamed(client);
      const dict = client.dict<string, unknown>(freshName('dict'));
      const value = client.value<unknown>(freshName('value'), 1);
      await dict.set('k', { a: 1 });
      const counter = client.counter();
      expect(await dict.compareAndSet('k', { a: 2 }, { counter })).toBe(false);
      expect(await value.compareAndSet(2, [counter])).toBe(false);
      expect(await dict.getOrInsert('k', { counter })).toEqual({ a: 1 });
      await counter.dispose();
      await settled(client, before);
      expect([await dict.get('k'), await value.get()]).toEqual([{ a: 1 }, 1]);
    });

    test('X5 a getter whose session dies with what it was given takes it along', async () => {
      const client = await manager().client();
      const before = await unnamed(client);
      const queue = client.queue<unknown>(freshName('queue'));
      const counter = client.counter();
      const dying = await manager().client();
      const getting = dying.queue(queue.name).get();
      getting.catch(() => {});
      await arrived(dying);
      await queue.put({ proxy: counter });
      await counter.dispose();
      await lose(dying, client);
      await settled(client, before);
    });

    test('X5 an answer that nobody awaits gives back what it names', async () => {
      const client = await manager().client();
      const before = await unnamed(client);
      const queue = client.queue<unknown>(freshName('queue'));
      const counter = client.counter();
      await queue.put([counter]);
      await counter.dispose();
      const late = new AbortController();
      const getting = queue.get({ signal: late.signal });
      late.abort(new Error('left'));
      await getting.then(
        ([proxy]: any) => (proxy as CounterProxy).dispose(),
        () => {},
      );
      const [again] = ((await queue.getNowait()) ?? [undefined]) as [CounterProxy | undefined];
      await again?.dispose();
      await arrived(client);
      await settled(client, before);
    });

    describe('tasks', () => {
      test('X5 an input lives as long as its task, whether anybody reads it or not', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const queue = client.tasks(freshName('tasks'), { retries: 1 });
        const counter = client.counter();
        const handle = await queue.put('t', [counter]);
        await queue.put('t', [counter]);
        await counter.dispose();
        const [first, second] = [await queue.get(), await queue.get()];
        await first.fail(new Error('again'));
        await second.complete();
        const again = await queue.get();
        const [proxy] = again.input as [CounterProxy];
        expect(await proxy.add()).toBe(1);
        await again.complete();
        await handle.result();
        expect(await proxy.add()).toBe(2);
        await proxy.dispose();
        await settled(client, before);
      });

      test('X5 a task with a chosen id keeps its input with its record', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const queue = client.tasks(freshName('tasks'), { keepRecords: { count: 1, age: 1e9 } });
        const counter = client.counter();
        await queue.put('t', [counter], { id: 'mine' });
        await (await queue.get()).complete();
        expect((await queue.put('t', [counter], { id: 'mine' })).id).toBe('mine');
        await counter.dispose();
        await count(client, before.length + 1);
        await queue.put('t');
        await (await queue.get()).complete();
        await queue.dict.size();
        await settled(client, before);
      });

      test('X5 an output lives with its record, and arrives whenever it is asked for', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const queue = client.tasks(freshName('tasks'), { keepRecords: { count: 2, age: 1e9 } });
        const worker = await manager().client();
        const elsewhere = worker.tasks(queue.name);
        const [unread, read] = [await queue.put('a'), await queue.put('b')];
        const reading = read.result() as Promise<[CounterProxy]>;
        for (let n = 0; n < 2; n++) {
          const counter = worker.counter();
          await (await elsewhere.get()).complete([counter]);
          await counter.dispose();
        }
        const [proxy] = await reading;
        expect(await proxy.add()).toBe(1);
        await proxy.dispose();
        await count(client, before.length + 2);
        const [late] = (await unread.result()) as [CounterProxy];
        expect(await late.add()).toBe(1);
        await late.dispose();
        for (let n = 0; n < 2; n++) {
          await queue.put('c');
          await (await elsewhere.get()).complete();
        }
        await queue.dict.size();
        await settled(client, before);
      });

      test('X5 what the cause of a failure names lives with the record, and with those of whoever was skipped', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const queue = client.tasks(freshName('tasks'), { keepRecords: { count: 1, age: 1e9 } });
        const counter = client.counter();
        const failing = await queue.put('fails');
        const skipped = await queue.put('skipped', 1, { after: [failing] });
        const failed = failing.result().catch((error: unknown) => error);
        const reason = skipped.result().catch((error: unknown) => error);
        await (await queue.get()).fail(Object.assign(new Error('boom'), { counter }));
        await counter.dispose();
        const error = (await failed) as TaskFailedError & { cause: { counter: CounterProxy } };
        expect(error).toBeInstanceOf(TaskFailedError);
        expect(await error.cause.counter.add()).toBe(1);
        await error.cause.counter.dispose();
        const ancestor = (await reason) as { cause: { cause: { counter: CounterProxy } } };
        expect(await ancestor.cause.cause.counter.add()).toBe(2);
        await ancestor.cause.cause.counter.dispose();
        await count(client, before.length + 1);
        // The next dead letter takes the place of the one, and what succeeds that of who was skipped.
        for (const name of ['x', 'y']) await queue.put(name);
        await (await queue.get()).complete();
        await count(client, before.length + 1);
        await (await queue.get()).fail(new Error('another'));
        await queue.dict.size();
        await settled(client, before);
      });

      test('X5 the jobs of a graph hand proxies on, between processes', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const name = freshName('tasks');
        const queue = client.tasks(name, { keepRecords: { count: 0, age: 1e9 } });
        await party().run(async ({ client, qm, kept }, name) => {
          const stop = new AbortController();
          kept['stop'] = stop;
          kept['work'] = qm.work(
            client.tasks(name),
            {
              make: async (input?: { made: { counter: CounterProxy } }) => {
                await input?.made.counter.dispose();
                const counter = client.counter();
                await counter.add(40);
                setImmediate(() => void counter.dispose());
                return { counter };
              },
            },
            { signal: stop.signal },
          );
        }, name);
        const graph = new JobGraph();
        const made = graph.add('make', undefined, { id: 'made' });
        graph.add('make', { made }, { id: 'used' });
        const run = queue.runGraph(graph);
        const { used } = (await run.result()) as { used: { counter: CounterProxy } };
        const { counter } = (await run.output('made')) as { counter: CounterProxy };
        expect([await used.counter.add(1), await counter.add(2)]).toEqual([41, 42]);
        await Promise.all([used.counter.dispose(), counter.dispose(), run.close()]);
        await party().run(async ({ kept }) => {
          (kept['stop'] as AbortController).abort();
          await kept['work'];
        });
        await queue.dict.size();
        await settled(client, before);
      });

      test('X5 progress arrives with its proxies', async () => {
        const client = await manager().client();
        const queue = client.tasks(freshName('tasks'));
        const handle = await queue.put('t');
        const task = await queue.get();
        const progress = handle.progress()[Symbol.asyncIterator]();
        const next = progress.next();
        await arrived(client);
        const counter = client.counter();
        task.progress([counter]);
        await counter.dispose();
        const [proxy] = (await next).value as [CounterProxy];
        expect(await proxy.add()).toBe(1);
        await task.complete();
        await progress.return?.();
      });
    });

    describe('registered types', () => {
      // Of their own: what such an object lets go of, the engine's collector says, at any time.
      const manager = managerOfSuite(setting, { modules });
      const party = partyOfSuite(manager);

      test('X5 a method gets a reference, which is a proxy again where it arrives', async () => {
        const client = await manager().client();
        const box = client.object<Box>('Box');
        const counter = client.counter(freshName('counter'));
        const dict = client.dict<string, unknown>();
        await box.put({ deep: [counter, dict] });
        await dict.dispose();
        const there = await party().run(
          async ({ client }, name) => {
            const list = client.list(name);
            const box = (await list.at(0)) as ObjectProxy<{ look(): unknown }>;
            const { deep } = (await box.look()) as { deep: [CounterProxy, DictProxy<string, unknown>] };
            await deep[1].set('from', 'there');
            return [deep[0].name, deep[1].typeId];
          },
          await (async () => {
            const list = client.list(freshName('list'));
            await list.push(box);
            return list.name!;
          })(),
        );
        expect(there).toEqual([counter.name, 'dict']);
        const { deep } = (await box.look()) as { deep: [CounterProxy, DictProxy<string, unknown>] };
        expect(await deep[1].get('from')).toBe('there');
      });

      test('X5 an object that is made with a proxy keeps it, and they go together', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const counter = client.counter();
        const box = client.object<Box>('Box', [{ counter }]);
        expect(Object.keys((await box.look()) as object)).toEqual(['counter']);
        await counter.dispose();
        const { counter: again } = (await box.look()) as { counter: CounterProxy };
        expect(await again.add()).toBe(1);
        await again.dispose();
        const first = (await box.look()) as { counter: CounterProxy };
        await first.counter.dispose();
        await box.dispose();
        // The first look is still ours, until the client that looked is gone.
        await client.close();
        await settled(await manager().client(), before);
      });

      test('X5 an object that a method returns arrives live in another process', async () => {
        const client = await manager().client();
        const keeper = client.object<{ inner(): object }>('Keeper', [], freshName('keeper'));
        const inner = (await keeper.inner()) as unknown as ObjectProxy<{ step(by: number): Promise<number> }>;
        const list = client.list(freshName('list'));
        await list.push({ inner });
        await inner.dispose();
        const total = await party().run(async ({ client }, name) => {
          const { inner } = (await client.list(name).at(0)) as { inner: { step(by: number): Promise<number> } };
          return inner.step(5);
        }, list.name!);
        expect(total).toBe(5);
        await list.clear();
      });
    });

    describe('cycles', () => {
      test('two objects that hold each other are freed with the last proxy of either', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const [a, b] = [client.dict<string, unknown>(), client.list<unknown>()];
        await a.set('b', b);
        await b.push({ a });
        await a.set('self', [a]);
        await b.dispose();
        const again = (await a.get('b')) as ListProxy<unknown>;
        expect(await again.length()).toBe(1);
        await again.dispose();
        await count(client, before.length + 2);
        await a.dispose();
        await settled(client, before);
      });

      test('what a cycle that nobody reaches leads to goes with it, but not what others reach', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const [a, b, c, d] = [client.value<unknown>(), client.value<unknown>(), client.counter(), client.counter()];
        const root = client.value<unknown>(freshName('root'));
        await Promise.all([a.set([b, c, d]), b.set([a]), root.set([d])]);
        await Promise.all([a, b, c, d].map((proxy) => proxy.dispose()));
        await count(client, before.length + 1);
        const [left] = (await root.get()) as [CounterProxy];
        expect(await left.add()).toBe(1);
        await left.dispose();
        await root.set(undefined);
        await settled(client, before);
      });

      test('one that a task will read lives until the task has ended', async () => {
        const client = await manager().client();
        const before = await unnamed(client);
        const queue = client.tasks(freshName('tasks'));
        const [a, b] = [client.value<unknown>(), client.value<unknown>()];
        await Promise.all([a.set(b), b.set([a])]);
        await queue.put('t', { b });
        await Promise.all([a.dispose(), b.dispose()]);
        await count(client, before.length + 2);
        const task = await queue.get();
        const { b: there } = task.input as { b: ValueProxy<[ValueProxy<unknown>]> };
        const [back] = await there.get();
        expect(await back.snapshot()).toBeDefined();
        await Promise.all([there.dispose(), back.dispose()]);
        await task.complete();
        // The snapshot brought a proxy that nobody has: it goes with its session.
        await client.close();
        await settled(await manager().client(), before);
      });
    });

    test('X4 the owner is killed: its references are gone, and with them what nothing else names', async () => {
      const client = await manager().client();
      const before = await unnamed(client);
      const doomed = await partyOfTest(manager());
      const name = freshName('list');
      const session = await doomed.run(async ({ client }, name) => {
        const list = client.list(name);
        // Kept: proxies that are collected as garbage would give their objects up before the process is killed.
        const kept: unknown[] = [];
        Reflect.set(globalThis, 'kept', kept);
        for (let i = 0; i < 100; i++) {
          const [dict, counter] = [client.dict<string, unknown>(), client.counter()];
          kept.push(dict, counter);
          await dict.set('k', counter);
        }
        const [a, b, last] = [client.value<unknown>(), client.value<unknown>(), client.dict()];
        kept.push(a, b, last);
        await Promise.all([a.set(b), b.set(a)]);
        await list.push(last);
        return client.session;
      }, name);
      const of = (await client.inspect.objects({ unnamed: true })).filter(({ sessions }) =>
        sessions.some((each) => each.session === session),
      );
      expect(of).toHaveLength(203);
      await loseParty(doomed, client);
      const left = (await client.inspect.objects({ unnamed: true })).filter(({ id }) => !before.includes(id));
      expect(left).toMatchObject([{ typeId: 'dict', sessions: [], stored: 1, storedIn: [{ name }] }]);
      await client.list(name).clear();
      await settled(client, before);
    });

    test('cycles are freed when there is no room for another object', async () => {
      const small = await managerOfTest(setting, { limits: { objects: 10 } });
      const client = await small.client();
      for (let round = 0; round < 20; round++) {
        const [a, b] = [client.dict<string, unknown>(), client.dict<string, unknown>()];
        await Promise.all([a.set('b', b), b.set('a', a)]);
        await Promise.all([a.dispose(), b.dispose()]);
      }
      expect(await client.counter().add()).toBe(1);
    });

    test('inspect.objects() shows what was asked for, and no more than the limit', async () => {
      const client = await manager().client();
      const name = freshName('shown');
      const [, unnamedOne] = [await client.dict(name).size(), client.dict()];
      await unnamedOne.size();
      const named = await client.inspect.objects({ typeId: 'dict', unnamed: false });
      expect(named).toContainEqual({
        id: expect.any(Number) as number,
        typeId: 'dict',
        name,
        sessions: [{ session: client.session, pid: process.pid, name: expect.any(String) as string, references: 1 }],
        inFlight: 0,
        stored: 0,
        storedIn: [],
      });
      expect(named.every((object) => object.name !== undefined && object.typeId === 'dict')).toBe(true);
      expect((await client.inspect.objects({ unnamed: true })).every((object) => object.name === undefined)).toBe(true);
      expect(await client.inspect.objects({ limit: 1 })).toHaveLength(1);
      expect(await client.inspect.objects({ limit: 0 })).toEqual([]);
      await expect(client.inspect.objects({ limit: -1 })).rejects.toThrow(RangeError);
      await unnamedOne.dispose();
    });

    test('X3 `using` and dispose at any moment: later calls say so, a value that names it is refused', async () => {
      const client = await manager().client();
      const dict = client.dict<string, unknown>(freshName('dict'));
      const counter = client.counter();
      counter[Symbol.dispose]();
      await expect(dict.set('k', [counter])).rejects.toThrow(ProxyDisposedError);
      await expect(counter.add()).rejects.toThrow('an unnamed counter');
      await counter.dispose();
    });
  });
}
