/** What a shared lock does, in every setting: its owner is the guard, the session its lifetime. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  type Client,
  DeadlockError,
  type LockGuard,
  type LockProxy,
  NotLockOwnerError,
  TimeoutError,
  TypeMismatchError,
} from 'quartermaster';
import { LockGuard as Guard } from '#qm/proxy/lock-guard.js';
import { grantSymbol } from '#qm/proxy/lock-guard.js';
import { arrived, loseParty } from '../kit/arrived.ts';
import { freshName, managerOfSuite, type Setting, sever } from '../kit/managers.ts';
import { type Party, partyOfSuite, partyOfTest } from '../kit/parties.ts';

export function lockContract(setting: Setting): void {
  describe(`lock (${setting})`, () => {
    const manager = managerOfSuite(setting);
    const party = partyOfSuite(manager);

    async function freshLock(): Promise<{ client: Client; name: string; lock: LockProxy }> {
      const client = await manager().client();
      const name = freshName('lock');
      return { client, name, lock: client.lock(name) };
    }

    /** Another process takes the lock and keeps it. */
    const takenBy = (there: Party, name: string): Promise<bigint> =>
      there.run(async ({ client, kept }, name) => {
        kept['guard'] = await client.lock(name).acquire();
        return (kept['guard'] as LockGuard).token;
      }, name);

    /** Another process waits for the lock; resolves when it does. The wait itself is `granted`. */
    async function waitsIn(there: Party, name: string): Promise<{ granted: Promise<bigint> }> {
      const granted = there.run(async ({ client, kept, say }, name) => {
        const waiting = client.lock(name).acquire();
        await client.counter().get();
        say('waiting');
        kept['guard'] = await waiting;
        return (kept['guard'] as LockGuard).token;
      }, name);
      granted.catch(() => {});
      expect(await there.said()).toBe('waiting');
      return { granted };
    }

    test('acquire, tryAcquire, locked, owner and release', async () => {
      const { client, name, lock } = await freshLock();
      expect([await lock.locked(), await lock.owner(), await lock.snapshot()]).toEqual([false, undefined, false]);
      const guard = await lock.acquire();
      expect(guard.signal.aborted).toBe(false);
      expect([await lock.locked(), await lock.snapshot()]).toEqual([true, true]);
      const owner = { session: client.session, pid: process.pid, token: guard.token };
      expect(await lock.owner()).toMatchObject(owner);
      const other = await manager().client();
      expect(await other.lock(name).owner()).toMatchObject(owner);
      expect(await other.lock(name).tryAcquire()).toBe(undefined);
      expect(await lock.tryAcquire()).toBe(undefined);
      await guard.release();
      expect(await lock.locked()).toBe(false);
      const second = await other.lock(name).tryAcquire();
      expect(second?.token).toBeGreaterThan(guard.token);
      await second?.release();
    });

    test('the token is a bigint that grows with every grant, of any lock, in any process', async () => {
      const { client, name, lock } = await freshLock();
      const tokens: bigint[] = [];
      for (let i = 0; i < 3; i++) {
        for (const each of [lock, client.lock()]) {
          const guard = await each.acquire();
          tokens.push(guard.token);
          await guard.release();
        }
        tokens.push(
          await party().run(async ({ client }, name) => {
            const guard = await client.lock(name).acquire();
            await guard.release();
            return guard.token;
          }, name),
        );
      }
      expect(tokens.every((token) => typeof token === 'bigint')).toBe(true);
      for (let i = 1; i < tokens.length; i++) expect(tokens[i]).toBeGreaterThan(tokens[i - 1] as bigint);
    });

    test('L3 a guard released twice is harmless: the next holder keeps the lock', async () => {
      const { lock } = await freshLock();
      const first = await lock.acquire();
      const next = lock.acquire();
      await Promise.all([first.release(), first.release()]);
      const second = await next;
      await first.release();
      await first[Symbol.asyncDispose]();
      expect(await lock.owner()).toMatchObject({ token: second.token });
      expect(await lock.tryAcquire()).toBe(undefined);
      await second[Symbol.asyncDispose]();
      expect(await lock.locked()).toBe(false);
    });

    test('L4 release with the token of an earlier grant, or by somebody else, is refused', async () => {
      const { client, name, lock } = await freshLock();
      const old = await lock.acquire();
      await old.release();
      const current = await lock.acquire();
      const other = await manager().client();
      const thief = other.lock(name);
      for (const proxy of [lock, thief]) {
        for (const grant of [old, current]) {
          // What a guard would send that claims to be that grant: a grant of another session is not one's own.
          if (proxy === lock && grant === current) continue;
          const call = (proxy as unknown as { call(m: string, a: unknown[]): Promise<unknown> }).call.bind(proxy);
          await expect(call('release', [grant[grantSymbol].number])).rejects.toThrow(NotLockOwnerError);
        }
      }
      expect(await lock.owner()).toMatchObject({ token: current.token, session: client.session });
      await current.release();
    });

    test('L7 first come, first served, across processes and flows', async () => {
      const { client, name, lock } = await freshLock();
      const guard = await lock.acquire();
      const order: string[] = [];
      const flow = async (who: string): Promise<void> => {
        const mine = await lock.acquire();
        order.push(who);
        await mine.release();
      };
      const second = await partyOfTest(manager());
      const flows = [flow('here 1'), flow('here 2')];
      await arrived(client);
      const a = await waitsIn(party(), name);
      const b = await waitsIn(second, name);
      flows.push(flow('here 3'));
      await arrived(client);
      await guard.release();
      await Promise.all([flows[0], flows[1]]);
      expect(await lock.owner()).toMatchObject({ token: await a.granted, pid: party().pid });
      expect(order).toEqual(['here 1', 'here 2']);
      await party().run(({ kept }) => (kept['guard'] as LockGuard).release());
      expect(await lock.owner()).toMatchObject({ token: await b.granted, pid: second.pid });
      expect(order).toHaveLength(2);
      await second.run(({ kept }) => (kept['guard'] as LockGuard).release());
      await Promise.all(flows);
      expect(order).toEqual(['here 1', 'here 2', 'here 3']);
      expect(await lock.locked()).toBe(false);
    });

    test('L1 the holder is killed: the next waiter has the lock, its token is larger, and everybody is told', async () => {
      const { client, name, lock } = await freshLock();
      const doomed = await partyOfTest(manager());
      const token = await takenBy(doomed, name);
      const broken = once(client, 'lockBroken');
      const first = lock.acquire();
      await arrived(client);
      const second = await waitsIn(party(), name);
      await doomed.kill();
      const guard = await first;
      expect(guard.token).toBeGreaterThan(token);
      expect(await broken).toEqual([expect.objectContaining({ lock: name, pid: doomed.pid, token })]);
      expect(guard.signal.aborted).toBe(false);
      await guard.release();
      expect(await second.granted).toBeGreaterThan(guard.token);
      await party().run(({ kept }) => (kept['guard'] as LockGuard).release());
    });

    test('L1 a lost lock is told once to a client, however many proxies of it the client has', async () => {
      const { client, name, lock } = await freshLock();
      const again = client.lock(name);
      await again.locked();
      const events: unknown[] = [];
      client.on('lockBroken', (event) => events.push(event));
      const holder = await manager().client();
      const guard = await holder.lock(name).acquire();
      sever(holder);
      const mine = await lock.acquire();
      await arrived(client);
      expect(events).toEqual([expect.objectContaining({ lock: name, token: guard.token })]);
      await mine.release();
    });

    test('L1 the holder whose session ends learns it by the signal of its guard, and releases nothing of others', async () => {
      const { name } = await freshLock();
      const holder = await manager().client();
      const guard = await holder.lock(name).acquire();
      const next = await manager().client();
      const waiting = next.lock(name).acquire();
      await arrived(next);
      const lost = once(guard.signal, 'abort');
      sever(holder);
      await lost;
      expect(guard.signal.reason).toBeInstanceOf(Error);
      const current = await waiting;
      await expect(guard.release()).rejects.toThrow(NotLockOwnerError);
      expect(await next.lock(name).owner()).toMatchObject({ token: current.token });
      await current.release();
    });

    test('a client that closes gives its locks back', async () => {
      const { lock, name } = await freshLock();
      const holder = await manager().client();
      await holder.lock(name).acquire();
      const waiting = lock.acquire();
      await holder.close();
      await (await waiting).release();
    });

    test('L2 a timeout rejects with a fresh TimeoutError, and the waiter is gone', async () => {
      const { name, lock } = await freshLock();
      const guard = await lock.acquire();
      const [a, b] = await Promise.all(
        [0, 1].map((timeout) => lock.acquire({ timeout }).catch((error: unknown) => error)),
      );
      expect(a).toBeInstanceOf(TimeoutError);
      expect(b).toBeInstanceOf(TimeoutError);
      expect(a).not.toBe(b);
      await guard.release();
      // No grant went to a waiter that had left: the lock is free.
      expect(await lock.locked()).toBe(false);
      // What is free has not to be waited for: the shortest timeout is long enough.
      for (let i = 0; i < 50; i++) await (await lock.acquire({ timeout: 0 })).release();
      expect(
        await manager()
          .client()
          .then((client) => client.lock(name).locked()),
      ).toBe(false);
    });

    test('a wait that is over before it began, and times that are none', async () => {
      const { lock } = await freshLock();
      const reason = new Error('before');
      await expect(lock.acquire({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      await expect(lock.runExclusive(() => 1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      for (const timeout of [-1, NaN]) {
        await expect(lock.acquire({ timeout })).rejects.toThrow(RangeError);
        await expect(lock.runExclusive(() => 1, { timeout })).rejects.toThrow(RangeError);
      }
      expect(await lock.locked()).toBe(false);
    });

    test('L6 waiters that abort, or whose process is killed, are passed over; the rest are granted in order', async () => {
      const { client, name, lock } = await freshLock();
      const guard = await lock.acquire();
      const order: number[] = [];
      const reason = new Error('no longer');
      const aborting = new AbortController();
      const flow = (n: number, signal?: AbortSignal): Promise<void> =>
        lock.acquire({ signal }).then(async (mine) => {
          order.push(n);
          await mine.release();
        });
      const flows = [flow(1), expect(flow(2, aborting.signal)).rejects.toBe(reason)];
      await arrived(client);
      const doomed = await partyOfTest(manager());
      const dead = await waitsIn(doomed, name);
      flows.push(flow(3), expect(flow(4, aborting.signal)).rejects.toBe(reason), flow(5));
      await arrived(client);
      aborting.abort(reason);
      await loseParty(doomed, client);
      await expect(dead.granted).rejects.toThrow('SIGKILL');
      await guard.release();
      await Promise.all(flows);
      expect(order).toEqual([1, 3, 5]);
      expect(await lock.locked()).toBe(false);
    });

    test('L6 an abort at the moment of the grant: the lock is held by who resolved, and never stuck', async () => {
      const { name, lock } = await freshLock();
      const other = (await manager().client()).lock(name);
      let granted = 0;
      for (let i = 0; i < 300; i++) {
        const guard = await other.acquire();
        const aborting = new AbortController();
        const racing = lock.acquire({ signal: aborting.signal }).then(
          async (mine) => {
            granted++;
            await mine.release();
          },
          (error: unknown) => expect(error).toBe(aborting.signal.reason),
        );
        const released = guard.release();
        if (i % 3 === 1) await Promise.resolve();
        if (i % 3 === 2) await released;
        aborting.abort();
        await Promise.all([racing, released]);
        expect(await lock.locked()).toBe(false);
      }
      expect(granted).toBeLessThanOrEqual(300);
    });

    test('runExclusive holds the lock for its body, gives back its result, and its error', async () => {
      const { name, lock } = await freshLock();
      const other = (await manager().client()).lock(name);
      const result = await lock.runExclusive(async (guard) => {
        expect(guard).toBeInstanceOf(Guard);
        expect(await other.owner()).toMatchObject({ token: guard.token });
        return 'done';
      });
      expect(result).toBe('done');
      const failure = new Error('of the body');
      await expect(lock.runExclusive(() => Promise.reject(failure))).rejects.toBe(failure);
      await expect(
        lock.runExclusive(() => {
          throw failure;
        }),
      ).rejects.toBe(failure);
      expect(await other.locked()).toBe(false);
    });

    test('runExclusive rejects when the lock was lost under its body; an error of the body comes first', async () => {
      const name = freshName('lock');
      for (const fails of [false, true]) {
        const client = await manager().client();
        const running = client.lock(name).runExclusive(async (guard) => {
          const lost = once(guard.signal, 'abort');
          sever(client);
          await lost;
          if (fails) throw new Error('of the body');
        });
        if (fails) await expect(running).rejects.toThrow('of the body');
        else await expect(running).rejects.toThrow(NotLockOwnerError);
      }
    });

    test('L5 re-entry inside the body that holds the lock is a DeadlockError at once, which names the place', async () => {
      const { client, name, lock } = await freshLock();
      await lock.runExclusive(async (guard) => {
        const failure: unknown = await lock.acquire().catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(DeadlockError);
        expect((failure as DeadlockError).message).toContain('lock.contract');
        expect((failure as DeadlockError).message).toContain(`pid ${process.pid}`);
        expect((failure as DeadlockError).message).toContain(name);
        expect((failure as DeadlockError).cycle).toHaveLength(2);
        await expect(lock.runExclusive(() => 1)).rejects.toThrow(DeadlockError);
        await expect(client.lock(name).acquire()).rejects.toThrow(DeadlockError);
        await Promise.all([1, 2].map(() => expect(lock.acquire()).rejects.toThrow(DeadlockError)));
        expect(await lock.tryAcquire()).toBe(undefined);
        await client.lock(freshName()).runExclusive(async () => {
          await expect(lock.acquire()).rejects.toThrow(DeadlockError);
        });
        expect(await lock.owner()).toMatchObject({ token: guard.token });
      });
      expect(await lock.locked()).toBe(false);
    });

    test('L5 two flows of one process simply wait for each other', async () => {
      const { lock } = await freshLock();
      let inside = 0;
      const flow = (): Promise<void> =>
        lock.runExclusive(async () => {
          expect(++inside).toBe(1);
          await lock.locked();
          inside--;
        });
      await Promise.all(Array.from({ length: 20 }, flow));
      // A guard that was taken outside of any body does not make a re-entry either.
      const guard = await lock.acquire();
      const waiting = lock.acquire();
      await guard.release();
      await (await waiting).release();
    });

    test('L5 a flow that outlives the body that started it may have the lock, and so may a body that gave it back', async () => {
      const { lock } = await freshLock();
      let over = (): void => {};
      const end = new Promise<void>((resolve) => (over = resolve));
      const outliving: Promise<void>[] = [];
      await lock.runExclusive((guard) => {
        outliving.push(
          end.then(async () => {
            await (await lock.acquire()).release();
            await lock.runExclusive(() => {});
          }),
        );
        void guard;
      });
      over();
      await Promise.all(outliving);
      await lock.runExclusive(async (guard) => {
        await guard.release();
        await (await lock.acquire()).release();
      });
    });

    test('a guard outlives the proxy that it was taken by', async () => {
      const { client, name, lock } = await freshLock();
      const dict = client.dict<string, number>();
      const guard = await lock.acquire();
      await lock.dispose();
      await expect(lock.locked()).rejects.toThrow('disposed');
      expect(await client.lock(name).owner()).toMatchObject({ token: guard.token });
      await dict.set('a', 1, { guard });
      await guard.release();
      await expect(dict.set('a', 2, { guard })).rejects.toThrow(NotLockOwnerError);
      await (await client.lock(name).acquire()).release();
    });

    test('a proxy that is disposed of while it waits: the guard that comes is as good as any', async () => {
      const { client, name, lock } = await freshLock();
      const held = await client.lock(name).acquire();
      const waiting = lock.acquire();
      await lock.dispose();
      await held.release();
      const guard = await waiting;
      await client.dict<string, number>().set('a', 1, { guard });
      await guard.release();
      expect(await client.lock(name).locked()).toBe(false);
    });

    test('a name that belongs to something else', async () => {
      const { client, name, lock } = await freshLock();
      await lock.locked();
      await expect(client.counter(name).get()).rejects.toThrow(TypeMismatchError);
      const taken = freshName('dict');
      await client.dict(taken).size();
      await expect(client.lock(taken).acquire()).rejects.toThrow(TypeMismatchError);
      await expect(client.lock(taken).runExclusive(() => 1)).rejects.toThrow(TypeMismatchError);
    });
  });
}
