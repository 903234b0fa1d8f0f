/** What every proxy of a shared object has and does, whatever it stands for, in every setting. */
import { describe, expect, test } from 'vitest';
import {
  type BarrierProxy,
  type Client,
  type ConditionProxy,
  type CounterProxy,
  type DictProxy,
  type EventProxy,
  type ListProxy,
  type NamespaceProxy,
  type SetProxy,
  type TopicProxy,
  type LockGuard,
  type LockProxy,
  ManagerGoneError,
  type QueueProxy,
  type RwLockProxy,
  type SemaphoreProxy,
  type ValueProxy,
  NotLockOwnerError,
  ProxyDisposedError,
  TypeMismatchError,
  UnknownMethodError,
} from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';
import { where } from '#qm/proxy/object-proxy.js';
import { ALIVE, arrived, lose, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, managerOfTest, type Setting, sever } from '../kit/managers.ts';
import { type AnyProxy, partyOfTest } from '../kit/parties.ts';

/** Locks have no `withLock`: they are locks. */
type Proxied = Omit<AnyProxy, 'withLock'> & Partial<Pick<AnyProxy, 'withLock'>>;

const modules = [new URL('../kit/custom-types.mjs', import.meta.url)];

/** One of each kind: how to get it, what a fresh one's snapshot is, and a call that changes it. */
const kinds: Readonly<
  Record<
    string,
    { make(client: Client, name?: string): Proxied; fresh: unknown; change(proxy: never): Promise<unknown> }
  >
> = {
  dict: {
    make: (client, name) => client.dict(name),
    fresh: new Map(),
    change: (proxy: DictProxy) => proxy.set('a', 1),
  },
  queue: {
    make: (client, name) => client.queue(name),
    fresh: [],
    change: (proxy: QueueProxy) => proxy.put(1),
  },
  lock: {
    make: (client, name) => client.lock(name),
    fresh: false,
    change: (proxy: LockProxy) => proxy.acquire(),
  },
  counter: {
    make: (client, name) => client.counter(name),
    fresh: 0,
    change: (proxy: CounterProxy) => proxy.add(),
  },
  value: {
    make: (client, name) => client.value(name),
    fresh: undefined,
    change: (proxy: ValueProxy) => proxy.set(1),
  },
  list: {
    make: (client, name) => client.list(name),
    fresh: [],
    change: (proxy: ListProxy) => proxy.push(1),
  },
  set: {
    make: (client, name) => client.set(name),
    fresh: new Set(),
    change: (proxy: SetProxy) => proxy.add('a'),
  },
  namespace: {
    make: (client, name) => client.namespace(name),
    fresh: {},
    change: (proxy: NamespaceProxy) => proxy.set('a', 1),
  },
  event: {
    make: (client, name) => client.event(name),
    fresh: false,
    change: (proxy: EventProxy) => proxy.set(),
  },
  topic: {
    make: (client, name) => client.topic(name as string),
    fresh: { subscribers: 0, published: 0 },
    change: (proxy: TopicProxy) => proxy.publish(1),
  },
  rlock: {
    make: (client, name) => client.rlock(name),
    fresh: false,
    change: (proxy: LockProxy) => proxy.acquire(),
  },
  rwlock: {
    make: (client, name) => client.rwLock(name),
    fresh: { readers: 0, writing: false, waiting: 0 },
    change: (proxy: RwLockProxy) => proxy.read(),
  },
  semaphore: {
    make: (client, name) => client.semaphore(name, { permits: 2 }),
    fresh: { permits: 2, available: 2, waiting: 0 },
    change: (proxy: SemaphoreProxy) => proxy.acquire(),
  },
  condition: {
    make: (client, name) => client.condition(name),
    fresh: { locked: false, waiting: 0 },
    change: (proxy: ConditionProxy) =>
      new Promise((entered, failed) => {
        proxy.runExclusive(() => (entered(undefined), new Promise(() => {}))).catch(failed);
      }),
  },
  barrier: {
    make: (client, name) => client.barrier(name, { parties: 2 }),
    fresh: { parties: 2, waiting: 0, broken: false },
    change: (proxy: BarrierProxy) => proxy.abort(),
  },
  Ledger: {
    make: (client, name) => client.object('Ledger', [], name),
    fresh: { owner: 'nobody', entries: [] },
    change: (proxy: { book(amount: number): Promise<number> }) => proxy.book(1),
  },
};

export function proxiesContract(setting: Setting): void {
  describe(`proxies (${setting})`, () => {
    const manager = managerOfSuite(setting, { modules });

    describe.each(Object.entries(kinds))('of a %s', (typeId, { make, fresh, change }) => {
      test('name, typeId and snapshot', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        for (const each of [name, undefined]) {
          const proxy = make(client, each);
          expect([proxy.name, proxy.typeId]).toEqual([each, typeId]);
          expect(await proxy.snapshot()).toEqual(fresh);
          await change(proxy as never);
          expect(await proxy.snapshot()).not.toEqual(fresh);
        }
      });

      test('a named object is shared, unnamed ones are not', async () => {
        const client = await manager().client();
        const other = await manager().client();
        const name = freshName(typeId);
        await change(make(client, name) as never);
        expect(await make(client, name).snapshot()).not.toEqual(fresh);
        expect(await make(other, name).snapshot()).not.toEqual(fresh);
        expect(await make(other).snapshot()).toEqual(fresh);
      });

      test('a named object outlives its handles and its maker', async () => {
        const maker = await manager().client();
        const name = freshName(typeId);
        if (typeId === 'lock') {
          await make(maker, name).snapshot();
        } else {
          await change(make(maker, name) as never);
        }
        sever(maker);
        const client = await manager().client();
        const proxy = make(client, name);
        const before = await proxy.snapshot();
        await proxy.dispose();
        expect(await make(client, name).snapshot()).toEqual(before);
      });

      test('X3 after dispose every call is a ProxyDisposedError that names the object; disposing again is fine', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        const proxy = make(client, name);
        const before = proxy.snapshot();
        await proxy.dispose();
        expect(await before).toEqual(fresh);
        await expect(proxy.snapshot()).rejects.toThrow(ProxyDisposedError);
        await expect(proxy.snapshot()).rejects.toThrow(name);
        await expect((async () => change(proxy as never))()).rejects.toThrow(ProxyDisposedError);
        if (proxy.withLock) await expect(proxy.withLock(() => {})).rejects.toThrow(ProxyDisposedError);
        await proxy.dispose();
        await proxy[Symbol.asyncDispose]();
        expect(await make(client, name).snapshot()).toEqual(fresh);
        const another = make(client, name);
        another[Symbol.dispose]();
        await expect(another.snapshot()).rejects.toThrow(ProxyDisposedError);
      });

      test('the name of another type is a TypeMismatchError at the first call', async () => {
        const client = await manager().client();
        const name = freshName(typeId);
        await make(client, name).snapshot();
        for (const [otherId, other] of Object.entries(kinds)) {
          if (otherId === typeId) continue;
          const wrong = other.make(client, name);
          await expect(wrong.snapshot(), otherId).rejects.toThrow(TypeMismatchError);
          await expect(wrong.snapshot(), otherId).rejects.toThrow(`'${name}' is a ${typeId}, not a ${otherId}`);
        }
      });

      test('a name that is none is refused at once', async () => {
        const client = await manager().client();
        for (const name of ['', 1, null, {}] as never[]) expect(() => make(client, name)).toThrow(TypeError);
      });

      test('a method that the object does not have is refused by the manager', async () => {
        const client = await manager().client();
        const proxy = make(client) as unknown as { [where]: { handle: number } };
        const { handle } = proxy[where];
        for (const number of [60, 63]) {
          await expect(client[connectionOf].call(handle, number, [])).rejects.toThrow(UnknownMethodError);
        }
      });

      test('an unnamed object is freed with its last handle, or with the session that made it', async () => {
        const small = await managerOfTest(setting, { limits: { objects: 4 }, modules });
        const client = await small.client();
        await client.lock(ALIVE).locked();
        for (let round = 0; round < 3; round++) {
          const all = [1, 2, 3].map(() => make(client));
          await Promise.all(all.map((proxy) => proxy.snapshot()));
          await expect(make(client).snapshot()).rejects.toThrow('limits.objects');
          await Promise.all(all.map((proxy) => proxy.dispose()));
        }
        for (let round = 0; round < 3; round++) {
          const dying = await small.client();
          await Promise.all([1, 2, 3].map(() => make(dying).snapshot()));
          await expect(make(dying).snapshot()).rejects.toThrow('limits.objects');
          await lose(dying, client);
        }
      });
    });

    test('objects of a process that is killed are freed', async () => {
      const small = await managerOfTest(setting, { limits: { objects: 4 }, modules });
      const client = await small.client();
      await client.lock(ALIVE).locked();
      const doomed = await partyOfTest(small);
      await doomed.run(async ({ client }) => {
        // Kept, or a garbage collection frees them before the process is killed.
        const kept = [client.dict(), client.dict(), client.dict()];
        Object.assign(globalThis, { kept });
        for (const dict of kept) await dict.set('a', 1);
      });
      await expect(client.counter().get()).rejects.toThrow('limits.objects');
      await loseParty(doomed, client);
      expect(await client.counter().add(1)).toBe(1);
    });

    test('names are only names, whatever they are elsewhere', async () => {
      const client = await manager().client();
      for (const name of ['__proto__', 'constructor', 'toString', 'then', ' ', '\0', '\ud800', 'ü'.repeat(1000)]) {
        const dict = client.dict<string, string>(name);
        await dict.set(name, name);
        expect(await client.dict(name).entries()).toEqual([[name, name]]);
      }
    });

    test('a proxy sent as a value arrives in another process as a live proxy of the same object', async () => {
      const client = await manager().client();
      const other = await partyOfTest(manager());
      const post = client.dict<string, unknown>(freshName('post'));
      for (const [typeId, { make, change }] of Object.entries(kinds)) {
        const proxy = make(client);
        await post.set(typeId, [proxy]);
        await change(proxy as never);
        const there = await other.run(
          async ({ client }, name, typeId) => {
            const [proxy] = (await client.dict(name).get(typeId)) as [Proxied];
            return [proxy.typeId, proxy.name, await proxy.snapshot()];
          },
          post.name!,
          typeId,
        );
        expect(there).toEqual([typeId, undefined, await proxy.snapshot()]);
        // The value keeps the object alive.
        await proxy.dispose();
        const [again] = (await post.get(typeId)) as [Proxied];
        expect([again.typeId, await again.snapshot()]).toEqual([typeId, there[2]]);
        const foreign = make(await manager().client());
        await expect(post.set('foreign', foreign)).rejects.toThrow('another client');
      }
    });

    test('when the manager ends, whoever waits for anything is told', async () => {
      const ending = await managerOfTest(setting, { modules });
      const [client, holder] = [await ending.client(), await ending.client()];
      await holder.lock('lock').acquire();
      let entered = (): void => {};
      const inside = new Promise<void>((resolve) => (entered = resolve));
      const never = new Promise<never>(() => {});
      const holding = holder.counter('held').withLock(() => (entered(), never));
      holding.catch(() => {});
      await inside;
      const full = client.queue(undefined, { maxSize: 1 });
      await full.put(1);
      const waiting = [
        client.lock('lock').acquire(),
        client.queue().get(),
        full.put(2),
        full.join(),
        client.counter('held').add(),
        client.counter('held').withLock(() => {}),
        client.tasks().get(),
      ].map((wait) => expect(wait).rejects.toThrow(ManagerGoneError));
      await arrived(client);
      await ending.close();
      await Promise.all(waiting);
      await expect(client.dict().size()).rejects.toThrow(ManagerGoneError);
    });

    test('whoever waits on an unnamed object when its last handle goes is told', async () => {
      const client = await manager().client();
      const queue = client.queue();
      const full = client.queue(undefined, { maxSize: 1 });
      await full.put(1);
      const waiting = [queue.get(), queue.getMany(2), full.put(2), full.join()].map((wait) =>
        expect(wait).rejects.toThrow(ProxyDisposedError),
      );
      await arrived(client);
      await Promise.all([queue.dispose(), full.dispose()]);
      await Promise.all(waiting);
    });

    describe('writes with a guard', () => {
      /** Each write of each type, on a fresh object. */
      const writes: Readonly<Record<string, (client: Client, guard: LockGuard) => Promise<unknown>>> = {
        'dict.set': (client, guard) => client.dict().set('a', 1, { guard }),
        'dict.delete': (client, guard) => client.dict().delete('a', { guard }),
        'dict.clear': (client, guard) => client.dict().clear({ guard }),
        'dict.setMany': (client, guard) => client.dict().setMany([['a', 1]], { guard }),
        'dict.getOrInsert': (client, guard) => client.dict().getOrInsert('a', 1, { guard }),
        'dict.increment': (client, guard) => client.dict().increment('a', 1, { guard }),
        'dict.compareAndSet': (client, guard) => client.dict().compareAndSet('a', undefined, 1, { guard }),
        'dict.pop': (client, guard) => client.dict().pop('a', { guard }),
        'queue.put': (client, guard) => client.queue().put(1, { guard }),
        'queue.putNowait': (client, guard) => client.queue().putNowait(1, { guard }),
        'queue.putMany': (client, guard) => client.queue().putMany([1], { guard }),
        'queue.getNowait': (client, guard) => client.queue().getNowait({ guard }),
        'queue.shutdown': (client, guard) => client.queue().shutdown({ guard }),
        'queue.get': async (client, guard) => {
          const queue = client.queue();
          await queue.put(1);
          return queue.get({ guard });
        },
        'queue.getMany': async (client, guard) => {
          const queue = client.queue();
          await queue.put(1);
          return queue.getMany(1, { guard });
        },
        'queue.taskDone': async (client, guard) => {
          const queue = client.queue();
          await queue.put(1);
          return queue.taskDone(1, { guard });
        },
        'counter.add': (client, guard) => client.counter().add(1, { guard }),
        'counter.set': (client, guard) => client.counter().set(1, { guard }),
        'value.set': (client, guard) => client.value<unknown>().set(1, { guard }),
        'value.compareAndSet': (client, guard) => client.value<unknown>().compareAndSet(undefined, 1, { guard }),
      };

      test.each(Object.entries(writes))('%s counts only while that very grant is held', async (_name, write) => {
        const client = await manager().client();
        const lock = client.lock(freshName('lock'));
        const guard = await lock.acquire();
        await write(client, guard);
        await guard.release();
        await expect(write(client, guard)).rejects.toThrow(NotLockOwnerError);
        const next = await lock.acquire();
        await expect(write(client, guard)).rejects.toThrow(NotLockOwnerError);
        await write(client, next);
        const other = await manager().client();
        await expect(write(other, next)).rejects.toThrow(TypeError);
        await next.release();
      });

      test('a refused write changes nothing', async () => {
        const client = await manager().client();
        const dict = client.dict<string, number>();
        const lock = client.lock();
        const guard = await lock.acquire();
        await dict.set('a', 1, { guard });
        await guard.release();
        await expect(dict.set('a', 2, { guard })).rejects.toThrow(NotLockOwnerError);
        await expect(dict.clear({ guard })).rejects.toThrow(NotLockOwnerError);
        expect(await dict.entries()).toEqual([['a', 1]]);
      });

      test('L9 a write that waited is refused if the grant ended meanwhile', async () => {
        const client = await manager().client();
        const lock = client.lock();
        const guard = await lock.acquire();
        const queue = client.queue<string>(undefined, { maxSize: 1 });
        await queue.put('first');
        const late = expect(queue.put('late', { guard })).rejects.toThrow(NotLockOwnerError);
        const next = queue.put('next');
        await guard.release();
        expect(await queue.get()).toBe('first');
        await late;
        await next;
        expect(await queue.snapshot()).toEqual(['next']);
        const counter = client.counter();
        const again = await lock.acquire();
        let behind: Promise<void> | undefined;
        await counter.withLock(async (held) => {
          behind = expect(counter.add(1, { guard: again })).rejects.toThrow(NotLockOwnerError);
          await again.release();
          await held.add(10);
        });
        await behind;
        expect(await counter.get()).toBe(10);
      });
    });
  });
}
