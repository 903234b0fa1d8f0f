/** What a re-entrant lock does beyond what every lock does, in every setting. */
import { describe, expect, test } from 'vitest';
import { NotLockOwnerError, TimeoutError } from 'quartermaster';
import { arrived, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting } from '../kit/managers.ts';
import { partyOfSuite, partyOfTest } from '../kit/parties.ts';

export function rlockContract(setting: Setting): void {
  describe(`rlock (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    test('two flows of one process exclude each other like two processes', async () => {
      const name = freshName('rlock');
      const client = await manager().client();
      const first = await client.rlock(name).acquire();
      expect(await client.rlock(name).tryAcquire()).toBe(undefined);
      await expect(client.rlock(name).acquire({ timeout: 1 })).rejects.toThrow(TimeoutError);
      const there = party().run(async ({ client: theirs }, at) => {
        const guard = await theirs.rlock(at).acquire();
        const { token } = guard;
        await guard.release();
        return token;
      }, name);
      await arrived(client);
      await first.release();
      expect(await there).toBeGreaterThan(first.token);
    });

    test('L5 inside its own body it is taken again, by any proxy of it, as often as one likes; one token', async () => {
      const name = freshName('rlock');
      const client = await manager().client();
      const other = (await manager().client()).rlock(name);
      const lock = client.rlock(name);
      await lock.runExclusive(async ({ token }) => {
        await client.rlock(name).runExclusive(async (inner) => {
          expect(inner.token).toBe(token);
          const third = await lock.acquire({ timeout: 0 });
          const fourth = await lock.tryAcquire();
          expect([third.token, fourth?.token]).toEqual([token, token]);
          await third.release();
          await fourth?.release();
        });
        expect(await other.tryAcquire()).toBe(undefined);
      });
      const after = await other.tryAcquire();
      expect(after).toBeDefined();
      await after?.release();
    });

    test('by a guard it is taken again outside of any body; it passes on with the last release, in whatever order', async () => {
      const name = freshName('rlock');
      const lock = (await manager().client()).rlock(name);
      const other = (await manager().client()).rlock(name);
      const first = await lock.acquire();
      const second = await lock.acquire({ guard: first });
      const third = await lock.acquire({ guard: second });
      const waiting = other.acquire();
      await first.release();
      await first.release();
      await third.release();
      expect(second.held).toBe(true);
      expect(await lock.locked()).toBe(true);
      await second.release();
      const passed = await waiting;
      expect(passed.token).toBeGreaterThan(first.token);
      await passed.release();
    });

    test('a guard that was released, or is of another lock, does not open it', async () => {
      const client = await manager().client();
      const lock = client.rlock(freshName('rlock'));
      const foreign = await client.rlock(freshName('rlock')).acquire();
      await expect(lock.acquire({ guard: foreign })).rejects.toThrow(NotLockOwnerError);
      const guard = await lock.acquire();
      await guard.release();
      await expect(lock.acquire({ guard })).rejects.toThrow(NotLockOwnerError);
      await foreign.release();
      expect(await lock.locked()).toBe(false);
    });

    test('L1 a holder is killed with three guards: the next waiter has it, with a larger token', async () => {
      const name = freshName('rlock');
      const observer = await manager().client();
      const doomed = await partyOfTest(manager());
      const token = await doomed.run(async ({ client, kept }, at) => {
        const lock = client.rlock(at);
        const guard = await lock.acquire();
        kept['guards'] = [guard, await lock.acquire({ guard }), await lock.acquire({ guard })];
        return guard.token;
      }, name);
      const waiting = observer.rlock(name).acquire();
      await arrived(observer);
      await loseParty(doomed, observer);
      const guard = await waiting;
      expect(guard.token).toBeGreaterThan(token);
      await guard.release();
    });

    test('a write with any of its guards counts while the grant lasts', async () => {
      const client = await manager().client();
      const lock = client.rlock(freshName('rlock'));
      const dict = client.dict<string, number>();
      const first = await lock.acquire();
      const second = await lock.acquire({ guard: first });
      await dict.set('a', 1, { guard: first });
      await first.release();
      await dict.set('a', 2, { guard: second });
      await second.release();
      await expect(dict.set('a', 3, { guard: second })).rejects.toThrow(NotLockOwnerError);
      expect(await dict.get('a')).toBe(2);
    });
  });
}
