/** What a shared semaphore does, in every setting. */
import { describe, expect, test } from 'vitest';
import { type LockGuard, NotLockOwnerError, type SemaphoreProxy, TimeoutError, TypeMismatchError } from 'quartermaster';
import { arrived, lose, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfTest } from '../kit/parties.ts';

export function semaphoreContract(setting: Setting): void {
  describe(`semaphore (${setting})`, () => {
    const manager = managerOfSuite(setting);

    async function fresh(permits: number): Promise<{ name: string; semaphore: SemaphoreProxy }> {
      const name = freshName('semaphore');
      return { name, semaphore: (await manager().client()).semaphore(name, { permits }) };
    }

    test('as many at once as there are permits, also of two clients; tokens grow', async () => {
      const { name, semaphore } = await fresh(2);
      const other = (await manager().client()).semaphore(name);
      const first = await semaphore.acquire();
      const second = await other.acquire();
      expect(second.token).toBeGreaterThan(first.token);
      expect([await semaphore.available(), await other.tryAcquire()]).toEqual([0, undefined]);
      await expect(other.acquire({ timeout: 1 })).rejects.toThrow(TimeoutError);
      expect(await semaphore.snapshot()).toEqual({ permits: 2, available: 0, waiting: 0 });
      await first.release();
      await first.release();
      expect(await other.available()).toBe(1);
      await second.release();
      expect(await other.available()).toBe(2);
    });

    test('one who needs more is not passed by those who need less, and holds nobody up who comes after it has left', async () => {
      const { semaphore } = await fresh(3);
      const held = await semaphore.acquire(2);
      const order: string[] = [];
      const leaving = new AbortController();
      const heavy = semaphore.acquire(3).then((guard) => (order.push('heavy'), guard));
      const light = semaphore.acquire().then((guard) => (order.push('light'), guard));
      await arrived(await manager().client());
      expect(await semaphore.tryAcquire()).toBe(undefined);
      await held.release();
      await (await heavy).release();
      await (await light).release();
      expect(order).toEqual(['heavy', 'light']);

      const again = await semaphore.acquire(2);
      const gone = semaphore.acquire(3, { signal: leaving.signal });
      const next = semaphore.acquire();
      leaving.abort(new Error('enough'));
      await expect(gone).rejects.toThrow('enough');
      await (await next).release();
      await again.release();
      expect(await semaphore.available()).toBe(3);
    });

    test('what can never be had, and options that are none', async () => {
      const { name, semaphore } = await fresh(2);
      await expect(semaphore.acquire(3)).rejects.toThrow(RangeError);
      for (const weight of [0, -1, 1.5, NaN]) await expect(semaphore.tryAcquire(weight)).rejects.toThrow(RangeError);
      const client = await manager().client();
      await expect(client.semaphore(name, { permits: 3 }).available()).rejects.toThrow(TypeMismatchError);
      await expect(client.semaphore(undefined, { permits: 0 }).available()).rejects.toThrow(RangeError);
      expect(await client.semaphore().available()).toBe(1);
    });

    test('the first ask that says how many decides; whoever waits then has what there is', async () => {
      const client = await manager().client();
      const name = freshName('semaphore');
      const first = await client.semaphore(name).acquire();
      const waiting = client.semaphore(name).acquire();
      const sized = client.semaphore(name, { permits: 2 });
      await (await waiting).release();
      expect(await sized.available()).toBe(1);
      await first.release();
    });

    test('L3 permits handed across processes: released by somebody else, never above what there are', async () => {
      const { name, semaphore } = await fresh(2);
      const there = await partyOfTest(manager());
      const guard = await semaphore.acquire(2);
      await there.run(({ client }, at) => client.semaphore(at).release(), name);
      expect(await semaphore.available()).toBe(1);
      await expect(semaphore.release(2)).rejects.toThrow(RangeError);
      expect(await semaphore.available()).toBe(1);
      await semaphore.release();
      expect(await semaphore.available()).toBe(2);
      // What was given back for it, the guard does not give back again.
      await expect(guard.release()).rejects.toThrow(NotLockOwnerError);
      await expect(semaphore.release()).rejects.toThrow(RangeError);
      for (const n of [0, -1, 0.5]) await expect(semaphore.release(n)).rejects.toThrow(RangeError);
      expect(await semaphore.available()).toBe(2);
    });

    test('a release takes the own permits of the client first', async () => {
      const { name, semaphore } = await fresh(2);
      const other = (await manager().client()).semaphore(name);
      const oldest = await semaphore.acquire();
      const own = await other.acquire();
      await other.release();
      await expect(own.release()).rejects.toThrow(NotLockOwnerError);
      await oldest.release();
      expect(await semaphore.available()).toBe(2);
    });

    test('L1 permits of a process that is killed go to whoever waits', async () => {
      const { name, semaphore } = await fresh(2);
      const observer = await manager().client();
      const doomed = await partyOfTest(manager());
      await doomed.run(async ({ client, kept }, at) => {
        kept['guards'] = [await client.semaphore(at).acquire(), await client.semaphore(at).acquire()];
      }, name);
      const waiting = [semaphore.acquire(), semaphore.acquire()];
      await arrived(observer);
      await loseParty(doomed, observer);
      for (const guard of await Promise.all(waiting)) await guard.release();
      expect(await semaphore.available()).toBe(2);
    });

    test('L1 of those of a session that dies none is granted because another one has left', async () => {
      const { name, semaphore } = await fresh(3);
      const client = await manager().client();
      const broken: (string | undefined)[] = [];
      client.on('lockBroken', ({ lock }) => broken.push(lock));
      const held = await client.semaphore(name).acquire(2);
      const dying = await manager().client();
      const lost = [3, 1, 1].map((permits) => expect(dying.semaphore(name).acquire(permits)).rejects.toThrow());
      await arrived(dying);
      await lose(dying, client);
      await Promise.all(lost);
      expect(await semaphore.available()).toBe(1);
      await arrived(client);
      expect(broken).not.toContain(name);
      await held.release();
    });

    test('runExclusive: never more bodies at once than permits; permits come back after each', async () => {
      const { semaphore } = await fresh(3);
      let inside = 0;
      let most = 0;
      const body = async (guard: LockGuard): Promise<bigint> => {
        most = Math.max(most, ++inside);
        await semaphore.available();
        inside--;
        return guard.token;
      };
      const tokens = await Promise.all(Array.from({ length: 20 }, () => semaphore.runExclusive(body)));
      expect(new Set(tokens).size).toBe(20);
      expect(most).toBe(3);
      await expect(
        semaphore.runExclusive(() => Promise.reject(new Error('of the body')), { weight: 3 }),
      ).rejects.toThrow('of the body');
      expect(await semaphore.available()).toBe(3);
    });

    test('a guard opens writes while it holds its permit', async () => {
      const { semaphore } = await fresh(2);
      const client = await manager().client();
      const dict = client.dict<string, number>();
      const guard = await client.semaphore(semaphore.name).acquire();
      await dict.set('a', 1, { guard });
      await guard.release();
      await expect(dict.set('a', 2, { guard })).rejects.toThrow(NotLockOwnerError);
    });
  });
}
