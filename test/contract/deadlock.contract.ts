/** Waits that would never end, told across flows and processes, in every setting. */
import { describe, expect, test } from 'vitest';
import { type Client, DeadlockError, TimeoutError } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite } from '../kit/parties.ts';
import { until } from '../kit/until.ts';

/** Resolves for all when so many have come. */
function meeting(parties: number): () => Promise<void> {
  let come = 0;
  let open = (): void => {};
  const all = new Promise<void>((resolve) => (open = resolve));
  return () => {
    if (++come === parties) open();
    return all;
  };
}

export function deadlockContract(setting: Setting): void {
  describe(`deadlocks (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test.each([2, 3, 5, 16])(
      'L8 a circle of %i flows: the newest wait is rejected, with the circle; the rest go on',
      async (size) => {
        const client = await manager().client();
        const names = Array.from({ length: size }, () => freshName('lock'));
        const met = meeting(size);
        const waits = names.map((name, at) =>
          client.lock(name).runExclusive(async () => {
            await met();
            // In this order, so that the last one closes the circle.
            for (let before = 0; before < at; before++) await arrived(client);
            return client.lock(names[(at + 1) % size]).runExclusive(() => at);
          }),
        );
        const outcomes = await Promise.allSettled(waits);
        const rejected = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
        expect(rejected).toHaveLength(1);
        const error = rejected[0]!.reason as DeadlockError;
        expect(error).toBeInstanceOf(DeadlockError);
        expect(error.cycle).toHaveLength(size + 1);
        expect(error.cycle[0]).toBe(error.cycle[size]);
        expect([...new Set(error.cycle)].sort()).toEqual(names.map((name) => `lock '${name}'`).sort());
        for (const name of names) expect(error.message).toContain(name);
      },
    );

    test('L8 across processes', async () => {
      const client = await manager().client();
      const [a, b] = [freshName('lock'), freshName('lock')];
      let there: Promise<string> | undefined;
      await client.lock(a).runExclusive(async () => {
        // Listened for before it can be said, and asked for when this flow has the first lock.
        const said = party().said();
        there = party().run(
          ({ client: theirs, say }, a, b) =>
            theirs.lock(b).runExclusive(async () => {
              say('holds');
              return theirs.lock(a).runExclusive(() => 'there');
            }),
          a,
          b,
        );
        expect(await said).toBe('holds');
        await until(async () => (await client.inspect.locks()).find(({ name }) => name === a)?.waiters.length === 1);
        const failure = (await client
          .lock(b)
          .acquire()
          .catch((error: unknown) => error)) as DeadlockError;
        expect(failure).toBeInstanceOf(DeadlockError);
        expect(failure.message).toContain(`pid ${party().pid}`);
        expect(failure.message).toContain(`pid ${process.pid}`);
      });
      expect(await there).toBe('there');
    });

    const kinds: Readonly<
      Record<string, (client: Client, name: string, body: () => Promise<unknown>) => Promise<unknown>>
    > = {
      lock: (client, name, body) => client.lock(name).runExclusive(body),
      rlock: (client, name, body) => client.rlock(name).runExclusive(body),
      'a writer': (client, name, body) => client.rwLock(name).write(body),
      'the only reader': (client, name, body) => client.rwLock(name).read(body),
      semaphore: (client, name, body) => client.semaphore(name).runExclusive(body),
      condition: (client, name, body) => client.condition(name).runExclusive(body),
      'a held dict': (client, name, body) => client.dict(name).withLock(body),
    };
    const wants: typeof kinds = {
      ...kinds,
      'the only reader': kinds['a writer']!,
    };

    test.each(Object.keys(kinds))('L8 %s in a circle with a lock', async (kind) => {
      const client = await manager().client();
      const other = await manager().client();
      const [lock, name] = [freshName('lock'), freshName('other')];
      const met = meeting(2);
      const waits = [
        client.lock(lock).runExclusive(async () => {
          await met();
          return wants[kind]!(client, name, async () => 'in');
        }),
        kinds[kind]!(other, name, async () => {
          await met();
          return other.lock(lock).runExclusive(() => 'in');
        }),
      ];
      const outcomes = await Promise.allSettled(waits);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const { reason } = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(DeadlockError);
    });

    test('guards that are named with `holding` count, others do not: nothing is rejected on a guess', async () => {
      const client = await manager().client();
      const [a, b] = [client.lock(freshName('lock')), client.lock(freshName('lock'))];
      const first = await a.acquire();
      const second = await b.acquire();
      const silent = [a.acquire({ timeout: 50 }), b.acquire({ timeout: 50 })];
      await Promise.all(silent.map((wait) => expect(wait).rejects.toThrow(TimeoutError)));

      const told = b.acquire({ holding: [first] });
      await arrived(client);
      await expect(a.acquire({ holding: [second] })).rejects.toThrow(DeadlockError);
      await second.release();
      await (await told).release();
      await first.release();
    });

    test('one of several readers, or of several permits, may still free it', async () => {
      const client = await manager().client();
      const lock = client.lock(freshName('lock'));
      const rw = client.rwLock(freshName('rwlock'));
      const running = await rw.read();
      const held = await lock.acquire();
      const stuck = rw.read(() => lock.runExclusive(() => 'read'));
      await arrived(client);
      // Another reader runs, which may be waited for.
      const writer = rw.write({ holding: [held] });
      await arrived(client);
      expect((await client.inspect.locks()).find(({ name }) => name === rw.name)?.waiters).toHaveLength(1);
      // When it has gone, only the one is left that waits for the writer's flow: now it is sure.
      await running.release();
      await expect(writer).rejects.toThrow(DeadlockError);
      await held.release();
      expect(await stuck).toBe('read');
    });

    test('whoever waits for what anybody may bring (an item, an event) is not stuck', async () => {
      const client = await manager().client();
      const lock = client.lock(freshName('lock'));
      const queue = client.queue<string>();
      const waits = lock.runExclusive(() => queue.get());
      await arrived(client);
      const held = await client.lock(freshName('lock')).acquire();
      const second = lock.acquire({ holding: [held] });
      await arrived(client);
      await queue.put('item');
      expect(await waits).toBe('item');
      await (await second).release();
      await held.release();
    });

    test('of two waits of one flow, one is enough to go on', async () => {
      const client = await manager().client();
      const [a, b] = [client.lock(freshName('lock')), client.lock(freshName('lock'))];
      const queue = client.queue<string>();
      const held = await b.acquire();
      const both = a.runExclusive(() => Promise.all([b.runExclusive(() => 'b'), queue.get()]));
      await until(async () => (await client.inspect.locks()).find(({ name }) => name === b.name)?.waiters.length === 1);
      const closing = a.acquire({ holding: [held] });
      await arrived(client);
      // Once the item is there, nothing but the circle is left.
      await queue.put('item');
      await expect(Promise.race([closing, both])).rejects.toThrow(DeadlockError);
      await held.release();
      await Promise.allSettled([both, closing.then((guard) => guard.release())]);
      expect([await a.locked(), await b.locked()]).toEqual([false, false]);
    });

    test('inspect.locks() shows who holds, who waits, and what the waiting hold', async () => {
      const client = await manager().client();
      const other = await manager().client();
      const [a, b, c] = [freshName('lock'), freshName('rwlock'), freshName('dict')];
      const guard = await client.lock(a).acquire();
      const reader = await other.rwLock(b).read();
      const waiting = other.lock(a).acquire({ holding: [reader] });
      await arrived(other);
      await client.dict(c).withLock(async () => {
        const outside = other.dict(c).get('x');
        await arrived(other);
        const locks = new Map((await client.inspect.locks()).map((lock) => [lock.name, lock]));
        const mine = { session: client.session, pid: process.pid };
        const theirs = { session: other.session, pid: process.pid };
        expect(locks.get(a)).toMatchObject({
          typeId: 'lock',
          title: `lock '${a}'`,
          holders: [{ ...mine, token: guard.token, weight: 1 }],
          waiters: [{ ...theirs, holding: [`rwlock '${b}'`] }],
        });
        expect(locks.get(b)).toMatchObject({ holders: [{ ...theirs, weight: 'read' }], waiters: [] });
        expect(locks.get(c)).toMatchObject({ holders: [{ ...mine, token: undefined }], waiters: [theirs] });
        void outside;
      });
      await guard.release();
      await (await waiting).release();
      await reader.release();
      const names = (await client.inspect.locks()).map(({ name }) => name);
      for (const name of [a, b, c]) expect(names).not.toContain(name);
    });
  });
}
