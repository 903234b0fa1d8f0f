/** What a shared read-write lock does, in every setting. */
import { describe, expect, test } from 'vitest';
import { DeadlockError, NotLockOwnerError, TimeoutError } from 'quartermaster';
import { arrived, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfTest } from '../kit/parties.ts';

export function rwLockContract(setting: Setting): void {
  describe(`rwlock (${setting})`, () => {
    const manager = managerOfSuite(setting);

    test('many readers or one writer', async () => {
      const name = freshName('rwlock');
      const lock = (await manager().client()).rwLock(name);
      const other = (await manager().client()).rwLock(name);
      const readers = [await lock.read(), await other.read(), await other.read()];
      expect(await lock.snapshot()).toEqual({ readers: 3, writing: false, waiting: 0 });
      await expect(other.write({ timeout: 1 })).rejects.toThrow(TimeoutError);
      for (const guard of readers) await guard.release();
      const writer = await lock.write();
      expect(writer.token).toBeGreaterThan(readers[2]!.token);
      expect(await other.snapshot()).toEqual({ readers: 0, writing: true, waiting: 0 });
      await expect(other.read({ timeout: 1 })).rejects.toThrow(TimeoutError);
      await expect(other.write({ timeout: 1 })).rejects.toThrow(TimeoutError);
      await writer.release();
      await (await other.read()).release();
    });

    test('L7 first come, first served: readers do not pass a writer who waits, and go together after it', async () => {
      const client = await manager().client();
      const lock = client.rwLock();
      const order: string[] = [];
      const first = await lock.read();
      const writer = lock.write().then((guard) => (order.push('writer'), guard));
      const readers = [1, 2].map((n) => lock.read().then((guard) => (order.push(`reader ${n}`), guard)));
      const last = lock.write().then((guard) => (order.push('last'), guard));
      await arrived(client);
      expect(order).toEqual([]);
      await first.release();
      await (await writer).release();
      const reading = await Promise.all(readers);
      expect(await lock.snapshot()).toEqual({ readers: 2, writing: false, waiting: 1 });
      for (const guard of reading) await guard.release();
      await (await last).release();
      expect(order).toEqual(['writer', 'reader 1', 'reader 2', 'last']);
    });

    test('a writer who gives up lets the readers behind it go on', async () => {
      const client = await manager().client();
      const lock = client.rwLock();
      const first = await lock.read();
      const leaving = new AbortController();
      const writer = lock.write({ signal: leaving.signal });
      const reader = lock.read();
      await arrived(client);
      leaving.abort(new Error('enough'));
      await expect(writer).rejects.toThrow('enough');
      await (await reader).release();
      await first.release();
    });

    test('bodies: their result, their error, and the lock is free after either', async () => {
      const client = await manager().client();
      const lock = client.rwLock();
      const dict = client.dict<string, number>();
      expect(await lock.write(async (guard) => (await dict.set('a', 1, { guard }), 'written'))).toBe('written');
      expect(await lock.read(() => dict.get('a'))).toBe(1);
      await expect(lock.read(() => Promise.reject(new Error('of the body')))).rejects.toThrow('of the body');
      const { guard } = await lock.write((guard) => ({ guard }));
      await expect(dict.set('a', 2, { guard })).rejects.toThrow(NotLockOwnerError);
      expect(await lock.snapshot()).toEqual({ readers: 0, writing: false, waiting: 0 });
    });

    test('L5 a reader cannot become a writer, nor read again behind a writer who waits for it: DeadlockError', async () => {
      const client = await manager().client();
      const lock = client.rwLock(freshName('rwlock'));
      await lock.read(async () => {
        await expect(lock.write()).rejects.toThrow(DeadlockError);
        await (await lock.read()).release();
        const writer = client.rwLock(lock.name).write({ signal: AbortSignal.timeout(60_000) });
        // Of the same flow, so it is refused; a writer of another flow waits for the body.
        await expect(writer).rejects.toThrow(DeadlockError);
      });
      await lock.write(async () => {
        await expect(lock.read()).rejects.toThrow(DeadlockError);
      });
    });

    test('L1 a writer that is killed passes the lock on, to all readers that are next', async () => {
      const name = freshName('rwlock');
      const observer = await manager().client();
      const doomed = await partyOfTest(manager());
      const token = await doomed.run(async ({ client, kept }, at) => {
        const guard = await client.rwLock(at).write();
        kept['guard'] = guard;
        return guard.token;
      }, name);
      const lock = observer.rwLock(name);
      const readers = [lock.read(), lock.read()];
      await arrived(observer);
      await loseParty(doomed, observer);
      for (const guard of await Promise.all(readers)) {
        expect(guard.token).toBeGreaterThan(token);
        await guard.release();
      }
    });
  });
}
