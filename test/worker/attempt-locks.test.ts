/** Locks that are taken through a task's `context.client`: they end with the attempt, however it ends. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { LeaseLostError, type LockGuard, NotLockOwnerError, type TaskContext } from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { aClient, aGroup, aRig, fresh, places, type Started, working } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

describe.each(places)('%s', (place) => {
  async function setting() {
    const rig = await aRig(place);
    const name = fresh('queue');
    const worker = await aClient(rig);
    return {
      rig,
      worker,
      client: rig.client,
      name,
      queue: rig.client.tasks(name),
      lock: rig.client.lock(fresh('lock')),
    };
  }

  test.each([
    ['completed', async () => 'done'],
    ['failed', () => Promise.reject(new Error('of the handler'))],
  ])('the attempt has %s: what it kept is free, and its guards are lost', async (_, end) => {
    const { worker, client, name, queue, lock } = await setting();
    const guards: LockGuard[] = [];
    const loop = working(worker, name, {
      keep: async (_input: unknown, { client: own }: TaskContext) => {
        expect(own.session).toBe(worker.session);
        guards.push(await own.lock(lock.name).acquire());
        guards.push(await own.rwLock(lock.name + 'rw').write());
        guards.push(await own.semaphore(lock.name + 'semaphore').acquire());
        expect(await lock.locked()).toBe(true);
        return end();
      },
    });
    await (await queue.put('keep')).result().catch(() => {});
    expect(await lock.locked()).toBe(false);
    expect(await client.rwLock(lock.name + 'rw').snapshot()).toMatchObject({ writing: false });
    expect(await client.semaphore(lock.name + 'semaphore').available()).toBe(1);
    for (const guard of guards) {
      expect(guard.signal.aborted).toBe(true);
      await expect(guard.release()).rejects.toThrow(NotLockOwnerError);
    }
    await loop.stop();
  });

  test('what was released in time is somebody else’s by then, and what others of the worker took stays', async () => {
    const { worker, name, queue, lock } = await setting();
    let later: LockGuard | undefined;
    let own: LockGuard | undefined;
    const loop = working(worker, name, {
      keep: async (_input: unknown, context: TaskContext) => {
        const guard = await context.client.lock(lock.name).acquire();
        await guard.release();
        later = await lock.acquire();
        own = await worker.lock(lock.name + 'own').acquire();
        return context.client === context.client;
      },
    });
    expect(await queue.run('keep')).toBe(true);
    expect([later?.held, own?.held, await lock.locked(), await worker.lock(lock.name + 'own').locked()]).toEqual([
      true,
      true,
      true,
      true,
    ]);
    await loop.stop();
  });

  test('an attempt that is over gets no lock any more, nor one that it waits for', async () => {
    const { worker, client, name, queue, lock } = await setting();
    const taken = await lock.acquire();
    const kept: { context?: TaskContext; waiting?: Promise<unknown> } = {};
    const loop = working(worker, name, {
      keep: async (_input: unknown, context: TaskContext) => {
        kept.context = context;
        kept.waiting = context.client.lock(lock.name).acquire();
        kept.waiting.catch(() => {});
        await arrived(worker);
      },
    });
    await queue.run('keep');
    await expect(kept.waiting).rejects.toThrow(LeaseLostError);
    await expect(kept.context!.client.lock(fresh('lock')).acquire()).rejects.toThrow(LeaseLostError);
    await taken.release();
    expect(await client.lock(lock.name).locked()).toBe(false);
    await loop.stop();
  });

  test('an attempt that waits for what it holds itself ends all the same, and the lock passes on to others', async () => {
    const { worker, name, queue, lock } = await setting();
    let waiting: Promise<unknown> | undefined;
    const loop = working(worker, name, {
      keep: async (_input: unknown, { client: own }: TaskContext) => {
        const there = own.lock(lock.name);
        await there.acquire();
        waiting = there.acquire();
        waiting.catch(() => {});
        await arrived(worker);
        return 'done';
      },
    });
    const handle = await queue.put('keep');
    expect(await handle.result()).toBe('done');
    await expect(waiting).rejects.toThrow(LeaseLostError);
    await (await lock.acquire()).release();
    expect(await queue.dict.counts()).toMatchObject({ leased: 0, succeeded: 1 });
    await loop.stop();
  });

  test('a condition of the attempt, and a wait for it', async () => {
    const { worker, client, name, queue } = await setting();
    const condition = client.condition(fresh('condition'));
    const loop = working(worker, name, {
      wait: (_input: unknown, { client: own }: TaskContext) => {
        const there = own.condition(condition.name);
        return there.runExclusive(async (guard) => {
          await there.wait(guard);
          return guard.held;
        });
      },
      leave: (_input: unknown, { client: own }: TaskContext) => {
        const there = own.condition(condition.name);
        there.runExclusive((guard) => there.wait(guard)).catch(() => {});
        return until(async () => (await condition.snapshot()).waiting === 1);
      },
    });
    const waiting = queue.run('wait');
    await until(async () => (await condition.snapshot()).waiting === 1);
    await condition.runExclusive(() => condition.notify());
    expect(await waiting).toBe(true);
    await queue.run('leave');
    expect(await condition.snapshot()).toEqual({ locked: false, waiting: 0 });
    await loop.stop();
  });

  test('the task is cancelled while it holds the lock: the lock passes on, although the worker goes on', async () => {
    const { worker, client, name, queue, lock } = await setting();
    const started = client.queue<Started>();
    const leave = client.event();
    const loop = working(worker, name, {
      keep: async (_input: unknown, { client: own, id, attempt, pid }: TaskContext) => {
        const guard = await own.lock(lock.name).acquire();
        await started.put({ id, attempt, worker: '', pid });
        await once(guard.signal, 'abort');
        await leave.wait();
      },
    });
    const handle = await queue.put('keep');
    await started.get();
    await handle.cancel('enough');
    await (await lock.acquire()).release();
    await leave.set();
    await loop.stop();
  });
});

test('L1 the worker of the attempt is killed, or its lease runs out: the lock passes on', async () => {
  const { client } = await aRig('process');
  const name = fresh('queue');
  const group = await aGroup(client, { queue: name, count: 1 });
  const lock = client.lock(fresh('lock'));
  const started = client.queue<Started>(fresh('started'));
  const handle = await client.tasks(name, { poisonAfter: 1 }).put('holdLock', { started, lock: lock.name });
  const { pid } = await started.get();
  expect(await lock.locked()).toBe(true);
  process.kill(pid, 'SIGKILL');
  await (await lock.acquire()).release();
  await expect(handle.result()).rejects.toThrow('SIGKILL');
  await group.close();
});
