/** What a shared condition does, in every setting. */
import { describe, expect, test } from 'vitest';
import { type LockGuard, NotLockOwnerError, TimeoutError, TypeMismatchError } from 'quartermaster';
import { arrived, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting, sever } from '../kit/managers.ts';
import { partyOfTest } from '../kit/parties.ts';
import { until } from '../kit/until.ts';

export function conditionContract(setting: Setting): void {
  describe(`condition (${setting})`, () => {
    const manager = managerOfSuite(setting);

    test('a wait gives the lock up and has it again when notified, with a larger token', async () => {
      const client = await manager().client();
      const condition = client.condition();
      const events: string[] = [];
      const waiting = condition.runExclusive(async (guard) => {
        const before = guard.token;
        events.push('waits');
        await condition.wait(guard);
        events.push('goes on');
        expect(guard.held).toBe(true);
        expect(guard.token).toBeGreaterThan(before);
        await client.dict().set('a', 1, { guard });
        expect((await condition.snapshot()).locked).toBe(true);
      });
      await arrived(client);
      await condition.runExclusive(async () => {
        expect(await condition.snapshot()).toEqual({ locked: true, waiting: 1 });
        expect(await condition.notify()).toBe(1);
        await arrived(client);
        events.push('notified');
      });
      await waiting;
      expect(events).toEqual(['waits', 'notified', 'goes on']);
      expect(await condition.snapshot()).toEqual({ locked: false, waiting: 0 });
    });

    test('notify lets the longest waiting go on, as many as it says; notifyAll all of them, one after the other', async () => {
      const client = await manager().client();
      const condition = client.condition(freshName('condition'));
      const order: number[] = [];
      const flows: Promise<void>[] = [];
      for (let n = 0; n < 5; n++) {
        const there = (n % 2 === 0 ? client : await manager().client()).condition(condition.name);
        flows.push(
          there.runExclusive(async (guard) => {
            await there.wait(guard);
            order.push(n);
          }),
        );
        await until(async () => (await condition.snapshot()).waiting === n + 1);
      }
      expect(await condition.runExclusive(() => condition.notify(2))).toBe(2);
      await Promise.all(flows.slice(0, 2));
      expect(order).toEqual([0, 1]);
      expect(await condition.runExclusive(() => condition.notifyAll())).toBe(3);
      await Promise.all(flows);
      expect(order).toEqual([0, 1, 2, 3, 4]);
      expect(await condition.runExclusive(() => condition.notify())).toBe(0);
    });

    test('waitFor waits until it is true', async () => {
      const client = await manager().client();
      const other = await manager().client();
      const name = freshName('condition');
      const count = client.counter(freshName('counter'));
      const condition = client.condition(name);
      const reached = condition.runExclusive(async (guard) => {
        await condition.waitFor(guard, async () => (await count.get()) >= 3);
        return count.get();
      });
      for (let n = 0; n < 3; n++) {
        const there = other.condition(name);
        await there.runExclusive(async () => {
          await other.counter(count.name).add();
          await there.notifyAll();
        });
      }
      expect(await reached).toBe(3);
      await condition.runExclusive((guard) => condition.waitFor(guard, () => true));
      await condition.runExclusive(async (guard) => {
        await expect(condition.waitFor(guard, () => false, { timeout: 5 })).rejects.toThrow(TimeoutError);
        expect(guard.held).toBe(true);
      });
    });

    test('L2 a wait that ends by timeout or signal has the lock again, after whoever has it then', async () => {
      const client = await manager().client();
      const condition = client.condition();
      await condition.runExclusive(async (guard) => {
        await expect(condition.wait(guard, { timeout: 0 })).rejects.toThrow(TimeoutError);
        expect([guard.held, (await condition.snapshot()).locked]).toEqual([true, true]);
        await client.dict().set('a', 1, { guard });
      });
      const leaving = new AbortController();
      const events: string[] = [];
      const waiting = condition.runExclusive(async (guard) => {
        await expect(condition.wait(guard, { signal: leaving.signal })).rejects.toThrow('enough');
        events.push('back');
        expect(guard.held).toBe(true);
      });
      await arrived(client);
      await condition.runExclusive(async () => {
        leaving.abort(new Error('enough'));
        await arrived(client);
        events.push('held by another');
      });
      await waiting;
      expect(events).toEqual(['held by another', 'back']);
      expect(await condition.snapshot()).toEqual({ locked: false, waiting: 0 });
    });

    test('while it waits, no guard of the grant holds the lock: a re-entrant one is asked for anew', async () => {
      const client = await manager().client();
      const lock = client.rlock(freshName('rlock'));
      const other = (await manager().client()).rlock(lock.name);
      const condition = client.condition(undefined, { lock });
      let nested: Promise<bigint> | undefined;
      const waiting = lock.runExclusive((outer) =>
        lock.runExclusive(async (inner) => {
          const wait = condition.wait(inner);
          expect([inner.held, outer.held]).toEqual([false, false]);
          nested = lock.runExclusive(({ token }) => token);
          await wait;
          return outer.token;
        }),
      );
      await arrived(client);
      const theirs = await other.acquire();
      const { token } = theirs;
      await theirs.release();
      await lock.runExclusive(() => condition.notify());
      const again = await waiting;
      // Each had the lock for itself.
      expect(new Set([token, await nested, again]).size).toBe(3);
      expect(await lock.locked()).toBe(false);
    });

    test('its proxy is disposed of while it waits: it still ends, with the lock', async () => {
      const client = await manager().client();
      const name = freshName('condition');
      const condition = client.condition(name);
      await condition.runExclusive(async (guard) => {
        const waiting = condition.wait(guard, { timeout: 20 });
        await condition.dispose();
        await expect(waiting).rejects.toThrow(TimeoutError);
        expect(guard.held).toBe(true);
        await expect(condition.wait(guard)).rejects.toThrow('disposed');
        expect(guard.held).toBe(true);
      });
      expect(await client.condition(name).snapshot()).toEqual({ locked: false, waiting: 0 });
    });

    test('L4 only a guard that holds the lock can wait, and only who holds it can notify', async () => {
      const client = await manager().client();
      const condition = client.condition();
      const foreign = await client.lock().acquire();
      await expect(condition.wait(foreign)).rejects.toThrow(NotLockOwnerError);
      await expect(condition.notify()).rejects.toThrow(NotLockOwnerError);
      await expect(condition.notifyAll()).rejects.toThrow(NotLockOwnerError);
      const { guard } = await condition.runExclusive((guard) => ({ guard }));
      await expect(condition.wait(guard)).rejects.toThrow(NotLockOwnerError);
      expect(foreign.held).toBe(true);
    });

    test('of a lock of the user, also a re-entrant one that was taken twice; two conditions of one lock', async () => {
      const client = await manager().client();
      const lock = client.rlock(freshName('rlock'));
      const full = client.condition(undefined, { lock });
      const empty = client.condition(undefined, { lock });
      const waiting = lock.runExclusive(async (outer) => {
        await lock.runExclusive(async (inner) => {
          await full.wait(inner);
          expect([inner.held, outer.held, inner.token === outer.token]).toEqual([true, true, true]);
        });
        await empty.notify();
      });
      await arrived(client);
      await lock.runExclusive(async (guard) => {
        expect([await empty.notify(), await full.notify()]).toEqual([0, 1]);
        await empty.wait(guard);
      });
      await waiting;
      expect(await lock.locked()).toBe(false);
    });

    test('what is no lock, and another lock later', async () => {
      const client = await manager().client();
      const name = freshName('condition');
      await expect(client.condition(undefined, { lock: client.dict() as never }).snapshot()).rejects.toThrow(TypeError);
      await expect(client.condition(undefined, { lock: 'lock' as never }).snapshot()).rejects.toThrow(TypeError);
      const lock = client.lock(freshName('lock'));
      await client.condition(name, { lock }).snapshot();
      await client.condition(name).snapshot();
      await client.condition(name, { lock: client.lock(lock.name) }).snapshot();
      await expect(client.condition(name, { lock: client.lock() }).snapshot()).rejects.toThrow(TypeMismatchError);
    });

    test('L1 who waits and is killed is passed over; who holds the lock and is killed passes it on', async () => {
      const client = await manager().client();
      const name = freshName('condition');
      const condition = client.condition(name);
      const doomed = await partyOfTest(manager());
      const lost = doomed.run(({ client: theirs }, at) => {
        const there = theirs.condition(at);
        return there.runExclusive((guard) => there.wait(guard));
      }, name);
      lost.catch(() => {});
      await until(async () => (await condition.snapshot()).waiting === 1);
      const waiting = condition.runExclusive((guard) => condition.wait(guard));
      await arrived(client);
      await loseParty(doomed, client);
      expect(await condition.snapshot()).toEqual({ locked: false, waiting: 1 });
      expect(await condition.runExclusive(() => condition.notify())).toBe(1);
      await waiting;
      await expect(lost).rejects.toThrow();
    });

    test('the session ends while it waits: the wait rejects, and the guard is lost', async () => {
      const client = await manager().client();
      const other = await manager().client();
      const name = freshName('condition');
      let guard: LockGuard | undefined;
      const waiting = client.condition(name).runExclusive(async (own) => {
        guard = own;
        await client.condition(name).wait(own);
      });
      await arrived(client);
      sever(client);
      await expect(waiting).rejects.toThrow();
      expect(guard?.signal.aborted).toBe(true);
      await other.condition(name).runExclusive(() => {});
    });
  });
}
