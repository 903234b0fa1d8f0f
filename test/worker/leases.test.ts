/** Leases, time and silence: who counts as alive, who has lost what he held. Every test waits for a few lease timeouts. */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Client, type LeasedTask, LeaseLostError, type TaskQueueOptions } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { connectionOf } from '#qm/proxy/client.js';
import { listening } from '../kit/listening.ts';
import { partyOfTest } from '../kit/parties.ts';
import { aBusyWorker, withWindow } from '../kit/windows.ts';
import {
  aClient,
  aFolder,
  aGate,
  aGroup,
  aRig,
  fresh,
  type Place,
  type Rig,
  type Started,
  working,
} from '../kit/tasks-rig.ts';

/** ms; the tests block threads for three of them. */
const LEASE = 500;
const options = { queue: { leaseTimeout: LEASE } };
/** ms; where nobody is to lose a lease, however long the machine stands still. */
const LONG = 5_000;

async function aQueue(place: Place, leaseTimeout = LEASE) {
  const rig = await aRig(place, { queue: { leaseTimeout } });
  const { client } = rig;
  const name = fresh('queue');
  return { rig, client, name, queue: client.tasks(name), started: client.queue<Started>(fresh('started')) };
}

describe('a worker that is busy', () => {
  test.each(['socket', 'process'] as const)(
    'W7 a thread blocked for three leases is not dead: its task runs once (%s)',
    async (place) => {
      const { client, name, queue, started } = await aQueue(place, LONG);
      const group = await aGroup(client, { queue: name, count: 1 });
      group.on('workerLost', () => expect.unreachable('it was busy'));
      const pid = await queue.run('pid');
      // Its helper thread is there: it beats while its main thread cannot.
      const gate = aGate();
      const kept = await queue.put('spinUntil', { started, file: gate.file });
      while (!existsSync(`${gate.file}.kept`)) await new Promise(setImmediate);
      await beating(client, name);
      gate.open();
      await kept.result();
      await client.tasks(name, { leaseTimeout: LEASE }).dict.size();
      const handle = await queue.put('block', { ms: 3 * LEASE });
      expect(await handle.result()).toBe(1);
      expect(await handle.record()).toMatchObject({ attempt: 1, pid });
      expect((await handle.record()).history).toHaveLength(3);
      expect(await queue.run('pid')).toBe(pid);
    },
  );

  test('W7 its helper thread comes in when there is room, and back when its connection breaks', async () => {
    // Room for somebody else and for one worker without its helper.
    const { manager, connect } = await listening({ ...options, limits: { connections: 2 } });
    const client = manager.client();
    const other = await connect();
    const name = fresh('queue');
    const group = await aGroup(client, { queue: name, count: 1 });
    group.on('workerLost', () => expect.unreachable('it was alive'));
    const pid = await client.tasks(name).run('pid');
    const worker = [...manager[coreOf].sessions.values()].find(({ peer }) => peer.pid === pid);
    // Its main thread beats meanwhile.
    await beating(client, name);
    expect(worker?.helper).toBeUndefined();
    await other.close();
    while (worker?.helper === undefined) await new Promise(setImmediate);
    worker.helper.transport.destroy();
    while (worker.helper !== undefined) await new Promise(setImmediate);
    await beating(client, name);
    while (worker.helper === undefined) await new Promise(setImmediate);
  });

  /** Its helper thread is not let in before `letIn()`; a task blocks it until `gate` opens, and others lie in its window. */
  async function aBusyWorkerWithoutHelper(options?: TaskQueueOptions) {
    const { manager, connect } = await listening({ limits: { connections: 2 } });
    const client = manager.client();
    const other = await connect();
    const name = fresh('queue');
    const queue = client.tasks(name, options);
    const started = client.queue<Started>(fresh('started'));
    const group = await aGroup(client, { queue: name, count: 1 });
    const busy = await aBusyWorker(queue, started, 2, [0, 1, 2, 3, 4]);
    return { ...busy, manager, queue, group, letIn: () => other.close() };
  }

  test('W7 a helper thread that comes in while somebody waits gives back what its worker has not started', async () => {
    const { queue, gate, long, short, letIn } = await aBusyWorkerWithoutHelper();
    for (let task = await queue.getNowait(); task !== undefined; task = await queue.getNowait()) await task.complete();
    const task = queue.get();
    await letIn();
    await (await task).complete();
    gate.open();
    expect(await long.result()).toBe(1);
    await Promise.all(short.map((handle) => handle.result()));
  });

  test('Q10 nobody is killed for what was cancelled un-started: a helper thread that comes in late says so', async () => {
    const { manager, queue, group, gate, long, short, letIn } = await aBusyWorkerWithoutHelper({ cancelGrace: 20 });
    group.on('workerLost', () => expect.unreachable('nobody was to blame'));
    for (const handle of short) expect(await handle.cancel()).toBe(true);
    const takers = [...manager[coreOf].boards].flatMap((board) => [...board.takers.values()]);
    const taker = takers.find(({ endings }) => endings !== undefined);
    expect(taker).toBeDefined();
    // The grace is over, and it is not known what has been started.
    while (taker?.doom === undefined) await new Promise(setImmediate);
    expect(taker.doom).toBe('asked');
    await letIn();
    while (taker.doom !== undefined) await new Promise(setImmediate);
    gate.open();
    expect(await long.result()).toBe(1);
    expect(await queue.run('echo', 'it goes on')).toBe('it goes on');
  });

  test('Q10 nobody is killed for what was cancelled un-started: a worker without a helper thread says so itself', async () => {
    const { manager, queue, group, gate, long, short } = await aBusyWorkerWithoutHelper({ cancelGrace: 20 });
    group.on('workerLost', () => expect.unreachable('nobody was to blame'));
    for (const handle of short) expect(await handle.cancel()).toBe(true);
    const takers = [...manager[coreOf].boards].flatMap((board) => [...board.takers.values()]);
    const taker = takers.find(({ endings }) => endings !== undefined);
    expect(taker).toBeDefined();
    // Of all of them the grace is over.
    while (![...(taker?.endings?.values() ?? [])].every(({ overdue }) => overdue)) await new Promise(setImmediate);
    expect(taker?.endings?.size).toBeGreaterThan(0);
    gate.open();
    expect(await long.result()).toBe(1);
    while (taker?.doom !== undefined) await new Promise(setImmediate);
    expect(await queue.run('echo', 'it goes on')).toBe('it goes on');
  });

  test.each([
    ['what its thread has seen', 100],
    ['what its thread has not even read', 30_000],
  ])('W7 its un-started window is given back meanwhile: %s', async (_, bytes) => {
    const { rig, client, name, queue, started } = await aQueue('process', LONG);
    await aGroup(client, { queue: name, count: 1 });
    await queue.run('echo');
    await beating(client, name);
    const { gate, long, short } = await aBusyWorker(queue, started, 2, Array(40).fill('x'.repeat(bytes)));
    // Somebody else has time for them.
    const helper = await aClient(rig);
    const order: string[] = [];
    for (let i = 0; i < short.length; i++) {
      const task = await helper.tasks(name).get();
      order.push(task.id);
      await task.complete();
    }
    // Those that were in nobody's window came first.
    expect(order.toSorted()).toEqual(short.map(({ id }) => id).toSorted());
    expect(await long.state()).toBe('leased');
    gate.open();
    expect(await long.result()).toBe(1);
    for (const handle of short) expect(await handle.record()).toMatchObject({ state: 'succeeded', attempt: 1 });
    expect(await queue.run('echo', 'the worker goes on')).toBe('the worker goes on');
  });

  test('what is cancelled while it waits in a window never runs', async () => {
    const { client, name, queue, started } = await aQueue('process', LONG);
    await aGroup(client, { queue: name, count: 1 });
    const go = client.queue();
    const { file, long, short } = await withWindow(
      queue,
      3,
      async () => {
        const file = path.join(aFolder(), 'marks');
        const puts = [queue.put('meet', { started, go })];
        for (let id = 0; id < 20; id++) puts.push(queue.put('mark', { file, id }));
        const [long, ...short] = await Promise.all(puts);
        await started.get();
        return { file, long, short };
      },
      async ({ long, short }) => {
        await go.put(1);
        await long?.result();
        await Promise.all(short.map((handle) => handle.result()));
      },
    );
    for (const handle of short.slice(0, 10)) expect(await handle.cancel()).toBe(true);
    await go.put(1);
    await long?.result();
    await Promise.all(short.slice(10).map((handle) => handle.result()));
    expect(readFileSync(file, 'utf8').trim().split('\n').map(Number)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  test('W7 work() in a process of one’s own beats as well while a handler blocks it', async () => {
    const { rig, name, queue } = await aQueue('process', LONG);
    working(await aClient(rig), name, {
      keep,
      block(ms: number, { attempt }) {
        blockThread(ms);
        return attempt;
      },
    });
    await helpedHere(rig, name);
    const handle = await queue.put('block', 3 * LEASE);
    expect(await handle.result()).toBe(1);
    expect((await handle.record()).history).toHaveLength(3);
  });

  test('W7 a worker in the manager’s own process may block both', async () => {
    const { rig, name, queue } = await aQueue('embedded');
    working(await aClient(rig), name, {
      block(ms: number, { attempt }) {
        blockThread(ms);
        return attempt;
      },
    });
    const handle = await queue.put('block', 3 * LEASE);
    expect(await handle.result()).toBe(1);
    expect((await handle.record()).history).toHaveLength(3);
  });
});

test('a manager that was itself blocked has heard nobody, and takes nothing away for it', async () => {
  const { rig, client, name, queue, started } = await aQueue('socket');
  const group = await aGroup(client, { queue: name, count: 1 });
  group.on('workerLost', () => expect.unreachable('it was the manager that was silent'));
  const go = client.queue();
  const handle = await queue.put('meet', { started, go, output: 'done' });
  await started.get();
  const remote = (await aClient(rig)).tasks(name);
  const other = await queue.put('x');
  const task = await remote.get();
  blockThread(3 * LEASE);
  await task.complete('kept');
  await go.put(1);
  expect([await handle.result(), await other.result()]).toEqual(['done', 'kept']);
  expect(await handle.record()).toMatchObject({ attempt: 1 });
});

describe('W8 a process that is stopped for longer than its lease', () => {
  test('owned: its group kills it, and only then the task runs elsewhere', async () => {
    const { client, name, queue, started } = await aQueue('process');
    const group = await aGroup(client, { queue: name, count: 2 });
    const handle = await queue.put('wait', { started, hangs: 1 });
    const first = await started.get();
    const lost = once(group, 'workerLost');
    process.kill(first.pid, 'SIGSTOP');
    const second = await started.get();
    // It cannot be continued any more.
    expect(() => process.kill(first.pid, 'SIGCONT')).toThrow('ESRCH');
    expect(second).toMatchObject({ id: handle.id, attempt: 2 });
    expect(await lost).toMatchObject([{ pid: first.pid, signal: 'SIGKILL' }]);
    expect(await handle.result()).toBe(2);
  });

  test('remote: another one has the task; what it says when it goes on is refused', async () => {
    const { rig, client, name, queue } = await aQueue('process');
    const party = await partyOfTest({ connectionFile: rig.connectionFile as string });
    const handle = await queue.put('x');
    await party.run(
      async ({ client: there, kept }, tasks) => void (kept['task'] = await there.tasks(tasks).get()),
      name,
    );
    process.kill(party.pid, 'SIGSTOP');
    const again = await client.tasks(name).get();
    await again.extend(60_000); // whatever holds up this process from here on
    process.kill(party.pid, 'SIGCONT');
    const late = party.run(({ kept }) => (kept['task'] as LeasedTask).complete('late'));
    await expect(late).rejects.toMatchObject({ code: 'QM_LEASE_LOST' });
    await again.complete('in time');
    expect(await handle.result()).toBe('in time');
    expect(await handle.record()).toMatchObject({ attempt: 2, state: 'succeeded' });
  });
});

describe('W11 a crash at the end of a task', () => {
  test.each(['before it is said', 'after it is said'])('%s: one outcome, and one record', async (when) => {
    const { client, name, queue, started } = await aQueue('process', LONG);
    await aGroup(client, { queue: name, count: 2 });
    const handle = await queue.put('diesAtEnd', { started, when });
    const result = await handle.result();
    const { attempt, history } = await handle.record();
    // Where it was said and heard, that was it; otherwise it runs again. Never both.
    expect(result).toBe(attempt);
    if (when === 'before it is said') expect(attempt).toBe(2);
    expect(history.filter(({ to }) => to === 'succeeded')).toHaveLength(1);
    expect(await queue.dict.counts()).toMatchObject({ succeeded: 1, failed: 0, leased: 0, ready: 0 });
    const runs = [await started.get()];
    for (let run = await started.getNowait(); run !== undefined; run = await started.getNowait()) runs.push(run);
    expect(runs.map((run) => run.attempt)).toEqual(attempt === 1 ? [1] : [1, 2]);
  });

  test('between what is said and the answer: said again it is refused or answered alike, and recorded once', async () => {
    const { rig, name, queue } = await aQueue('process', LONG);
    const client = await aClient(rig);
    const other = await aClient(rig);
    for (let i = 0; i < 20; i++) {
      const handle = await queue.put('x');
      const task = await client.tasks(name).get();
      const reconnected = once(client, 'reconnected');
      const said = task.complete(`said ${i}`).catch(() => {});
      client[connectionOf].link.flush();
      client[connectionOf].link.transport.destroy();
      await Promise.all([said, reconnected]);
      const again = await other.tasks(name).getNowait();
      await task.complete('said again').catch((error: unknown) => expect(error).toBeInstanceOf(LeaseLostError));
      await again?.complete('of the other');
      expect(await handle.result()).toBe(again === undefined ? `said ${i}` : 'of the other');
      const { history } = await handle.record();
      expect(history.filter(({ to }) => to === 'succeeded')).toHaveLength(1);
    }
  });
});

describe('a remote client that falls silent', () => {
  test('Q9 its lease ends: late calls are refused, its signal has fired, another one has the task', async () => {
    const { rig, name, queue } = await aQueue('process');
    const silent = (await aClient(rig)).tasks(name);
    const puts = ['complete', 'fail', 'extend', 'release'].map((late) => queue.put(late));
    const handles = await Promise.all(puts);
    const tasks: LeasedTask[] = [];
    for (let i = 0; i < handles.length; i++) tasks.push(await silent.get());
    const signals = tasks.map(({ signal }) => signal);
    await silentUntil(rig, name, { ready: 4 });
    const [first, second, third, fourth] = tasks as [LeasedTask, LeasedTask, LeasedTask, LeasedTask];
    const late = [first.complete('late'), second.fail(new Error('late')), third.extend(1000), fourth.release()];
    for (const call of late) await expect(call).rejects.toThrow(LeaseLostError);
    for (const signal of signals) {
      expect(signal.aborted).toBe(true);
      expect(signal.reason).toBeInstanceOf(LeaseLostError);
    }
    const other = (await aClient(rig)).tasks(name);
    for (const { id, token } of tasks) {
      const again = await other.get();
      expect([again.id, again.attempt]).toEqual([id, 2]);
      expect(again.token).toBeGreaterThan(token);
      await again.complete('in time');
      expect(await queue.handle(id).result()).toBe('in time');
    }
    // Refused for good, also when the task has ended.
    await expect(first.complete('late')).rejects.toThrow(LeaseLostError);
    expect(await handles[0]?.result()).toBe('in time');
  });

  test('Q9 the signal fires without a call', async () => {
    const { rig, name, queue } = await aQueue('process');
    const silent = (await aClient(rig)).tasks(name);
    await queue.put('x');
    const { signal } = await silent.get();
    await silentUntil(rig, name, { ready: 1 });
    if (!signal.aborted) await once(signal, 'abort');
    expect(signal.reason).toBeInstanceOf(LeaseLostError);
  });

  test('extend keeps a lease through the silence, and no longer', async () => {
    const { rig, name, queue } = await aQueue('process');
    const silent = (await aClient(rig)).tasks(name);
    const handles = [await queue.put('x'), await queue.put('x')];
    const [long, short] = [await silent.get(), await silent.get()];
    await Promise.all([long.extend(60_000), short.extend(1)]);
    await silentUntil(rig, name, { ready: 1 });
    await long.complete('kept');
    await expect(short.complete('late')).rejects.toThrow(LeaseLostError);
    expect(await handles[0]?.result()).toBe('kept');
    expect(await handles[1]?.state()).toBe('ready');
  });

  test('at most once: it fails, and says that its worker was silent', async () => {
    const { rig, name, queue } = await aQueue('process');
    const silent = (await aClient(rig, 'the silent one')).tasks(name);
    const handle = await queue.put('x', undefined, { atMostOnce: true });
    await silent.get();
    await silentUntil(rig, name, { failed: 1 });
    await expect(handle.result()).rejects.toMatchObject({ code: 'QM_WORKER_LOST', pid: process.pid });
    await expect(handle.result()).rejects.toThrow(/the silent one.*silent for more than 500 ms/);
  });

  test('a client that only waits keeps its leases, however long', async () => {
    const { rig, name, queue } = await aQueue('process');
    const holder = (await aClient(rig)).tasks(name);
    const handle = await queue.put('x');
    const task = await holder.get();
    const other = (await aClient(rig)).tasks(name);
    await expect(other.get({ timeout: 4 * LEASE })).rejects.toThrow('longer than');
    await task.complete('held');
    expect(await handle.result()).toBe('held');
  });
});

describe('a connection that breaks', () => {
  test('leases from before are stale: signals fire, late calls are refused, the client goes on', async () => {
    const { rig, name, queue } = await aQueue('process', LONG);
    const client = await aClient(rig);
    const proxy = client.tasks(name);
    const handle = await queue.put('x');
    const task = await proxy.get();
    const { session } = client;
    const reconnected = once(client, 'reconnected');
    client[connectionOf].link.transport.destroy();
    await reconnected;
    expect(client.session).not.toBe(session);
    expect(task.signal.aborted).toBe(true);
    for (const late of [() => task.complete('late'), () => task.fail(new Error('late')), () => task.extend(9)]) {
      await expect(late()).rejects.toThrow(LeaseLostError);
    }
    const again = await proxy.get();
    expect([again.id, again.attempt, again.token > task.token]).toEqual([handle.id, 2, true]);
    await again.complete('in time');
    expect(await handle.result()).toBe('in time');
  });

  test('the loop of work() goes on over the new connection, and its helper with it', async () => {
    const { rig, name, queue } = await aQueue('process', LONG);
    const client = await aClient(rig);
    working(client, name, {
      echo: (input) => input,
      keep,
      block(ms: number, { attempt }) {
        blockThread(ms);
        return attempt;
      },
    });
    expect(await queue.run('echo', 1)).toBe(1);
    const reconnected = once(client, 'reconnected');
    client[connectionOf].link.transport.destroy();
    await reconnected;
    expect(await queue.run('echo', 2)).toBe(2);
    await helpedHere(rig, name);
    expect(await queue.run('block', 3 * LEASE)).toBe(1);
  });

  test('who waits for a result hears that the connection was lost, and can ask again', async () => {
    const { rig, name, queue } = await aQueue('process');
    const client = await aClient(rig);
    const handle = await client.tasks(name).put('x');
    const waiting = expect(handle.result()).rejects.toMatchObject({ code: 'QM_CONNECTION_LOST' });
    const reconnected = once(client, 'reconnected');
    client[connectionOf].link.transport.destroy();
    await Promise.all([waiting, reconnected]);
    const result = handle.result();
    await (await queue.get()).complete('after all');
    expect(await result).toBe('after all');
  });
});

/** Blocks this thread for so long (ms): nothing is read, nothing beats. */
function blockThread(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Blocks this thread, which may read nothing before it speaks again, until another process has seen so many tasks. */
async function silentUntil(rig: Rig, queue: string, counts: { ready?: number; failed?: number }): Promise<void> {
  const party = await partyOfTest({ connectionFile: rig.connectionFile as string });
  const seen = path.join(aFolder(), 'seen');
  const looks = party.said();
  const looking = party.run(
    async ({ client, say }, name, { ready = 0, failed = 0 }, file) => {
      say('it looks');
      for (;;) {
        const now = await client.tasks(name).dict.counts();
        if (now.ready >= ready && now.failed >= failed) break;
      }
      process.getBuiltinModule('fs').writeFileSync(file, '');
    },
    queue,
    counts,
    seen,
  );
  await looks;
  while (!existsSync(seen)) blockThread(5);
  await looking;
}

/** A handler that keeps its thread until the file is there. */
function keep(file: string): void {
  writeFileSync(`${file}.kept`, '');
  while (!existsSync(file)) blockThread(5);
}

/**
 * Waits until the one worker of the queue, which runs in this process and has the handler `keep`, is heard while it
 * keeps this thread: its helper is there. From here on LEASE counts.
 */
async function helpedHere(rig: Rig, queue: string): Promise<void> {
  const party = await partyOfTest({ connectionFile: rig.connectionFile as string });
  const heard = path.join(aFolder(), 'heard');
  const looks = party.said();
  const looking = party.run(
    async ({ client, say }, name, file, while_) => {
      const fs = process.getBuiltinModule('fs');
      say('it looks');
      while (!fs.existsSync(`${file}.kept`)) await client.counter('n').get();
      const before = performance.now();
      for (;;) {
        const worker = (await client.inspect.workers()).find((each) => each.queue === name);
        if (worker !== undefined && performance.now() - worker.lastHeardMs > before + while_) break;
      }
      fs.writeFileSync(file, '');
    },
    queue,
    heard,
    LEASE / 5,
  );
  await looks;
  await rig.client.tasks(queue).run('keep', heard);
  await looking;
  await rig.client.tasks(queue, { leaseTimeout: LEASE }).dict.size();
}

/** Waits until the queue's workers, which have nothing to say, are heard all the same: their helper threads are there. */
async function beating(client: Client, queue: string): Promise<void> {
  const before = performance.now();
  for (;;) {
    const workers = (await client.inspect.workers()).filter((worker) => worker.queue === queue);
    const now = performance.now();
    if (workers.length > 0 && workers.every(({ lastHeardMs }) => now - lastHeardMs > before + LEASE / 5)) return;
  }
}
