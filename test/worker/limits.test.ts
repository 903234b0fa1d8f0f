/** What a worker group does about workers that cannot start, need too much memory, write too much or leave children. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BrokenPoolError, WorkerGroup, WorkerLog } from 'quartermaster';
import { methods } from '#qm/protocol/messages.js';
import { connectionOf } from '#qm/proxy/client.js';
import { aFolder, aGroup, fresh, gone, sharedRig } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

const rig = sharedRig('process');
const greedy = new URL('../fixtures/greedy.mjs', import.meta.url);

function aQueue(options?: { poisonAfter?: number }) {
  const { client } = rig();
  const name = fresh('queue');
  return { client, name, queue: client.tasks(name, options) };
}

describe('W9 a module that cannot be loaded any more', () => {
  test('few starts, the error’s text, nothing taken from the queue, and back once it loads', async () => {
    const { client, name, queue } = aQueue();
    const folder = aFolder();
    const file = path.join(folder, 'tasks.mjs');
    const [starts, go] = [path.join(folder, 'starts'), path.join(folder, 'go')];
    const noted = `
      import { appendFileSync, existsSync } from 'node:fs';
      appendFileSync(${JSON.stringify(starts)}, '.');
      while (!existsSync(${JSON.stringify(go)}));`;
    writeFileSync(file, 'export default { pid: () => process.pid }');
    const group = await aGroup(client, { queue: name, count: 2 }, pathToFileURL(file));
    writeFileSync(file, `${noted} throw new Error('broken meanwhile')`);
    const broken = once(group, 'broken') as Promise<[BrokenPoolError]>;
    const lost = nthLost(group, 2);
    for (const { pid } of group.workers()) process.kill(pid, 'SIGKILL');
    await lost;
    const task = await queue.put('pid');
    // None of them fails before all of them have been started.
    writeFileSync(go, '');
    const [error] = await broken;
    expect(error.message).toContain('broken meanwhile');
    // Two replacements, which fail together, and two more tries.
    expect(readFileSync(starts, 'utf8')).toBe('....');
    expect(await task.record()).toMatchObject({ state: 'ready', attempt: 0 });
    await expect(group.resize(3)).rejects.toThrow('broken meanwhile');
    await expect(group.recycle()).resolves.toBeUndefined();
    expect(group.workers()).toEqual([]);
    writeFileSync(file, 'export default { pid: () => process.pid }');
    await group.resize(2);
    expect(group.workers().map(({ pid }) => pid)).toContain(await task.result());
    expect(await task.record()).toMatchObject({ state: 'succeeded', attempt: 1 });
  });
});

describe('W6 memory', () => {
  test('a heap that is full: the error says so, the task is dead after poisonAfter, the others go on', async () => {
    const { client, name, queue } = aQueue({ poisonAfter: 2 });
    const group = await aGroup(client, { queue: name, count: 2, heapLimit: 32, logs: () => {} }, greedy);
    const reasons: unknown[] = [];
    group.on('workerLost', ({ reason }) => reasons.push(reason));
    const poison = await queue.put('fillHeap');
    const others = Promise.all(Array.from({ length: 50 }, (_, i) => queue.run('echo', i)));
    await expect(poison.result()).rejects.toMatchObject({
      code: 'QM_WORKER_LOST',
      reason: expect.stringContaining('out of memory'),
    });
    expect(await others).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(reasons).toHaveLength(2);
    expect(await poison.record()).toMatchObject({ state: 'failed', attempt: 2 });
    while (group.workers().length < 2) await once(group, 'workerStarted');
    expect(await queue.run('echo', 'the pool is full')).toBe('the pool is full');
  });

  test('maxMemory: above it a worker finishes what it runs and is replaced', async () => {
    const { client, name, queue } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1, maxMemory: 160 * 1024 * 1024 }, greedy);
    group.on('workerLost', () => expect.unreachable('it has retired'));
    const replaced = once(group, 'workerStarted');
    const handle = await queue.put('keep', { bytes: 110 * 1024 * 1024 });
    const { pid } = (await handle.result()) as { pid: number };
    await replaced;
    expect(await queue.run('pid')).not.toBe(pid);
    expect(await handle.record()).toMatchObject({ attempt: 1 });
  });

  test.runIf(process.platform === 'linux')(
    'maxMemory: far above it a worker is killed, and the error says why',
    async () => {
      const { client, name, queue } = aQueue({ poisonAfter: 1 });
      await aGroup(client, { queue: name, count: 1, maxMemory: 100 * 1024 * 1024 }, greedy);
      await expect(queue.run('keep', { bytes: 200 * 1024 * 1024, blocks: true })).rejects.toMatchObject({
        code: 'QM_WORKER_LOST',
        signal: 'SIGKILL',
        reason: expect.stringMatching(/^out of memory: it had \d+ MiB, and 150 is the most$/),
      });
    },
  );
});

describe('W12 what a task has spawned ends with its worker', () => {
  test.each([
    ['is killed', 'killed'],
    ['ends by itself in the middle of the task', 'exits'],
    ['has run as many tasks as it may', 'retires'],
    ['is drained', 'drained'],
  ])('which %s', async (_, how) => {
    const { client, name, queue } = aQueue();
    const started = client.queue<{ pid: number; child: number }>(fresh('started'));
    const group = await aGroup(
      client,
      { queue: name, count: 1, ...(how === 'retires' ? { maxTasksPerWorker: 1 } : {}) },
      greedy,
    );
    const handle = await queue.put('spawns', { started, how }, { atMostOnce: true });
    const { pid, child } = await started.get();
    if (how === 'killed') process.kill(pid, 'SIGKILL');
    await handle.result().catch(() => {});
    if (how === 'drained') await group.drain();
    await gone(pid);
    await gone(child);
  });
});

describe('logs', () => {
  test('W10 a flood is drained and bounded: few lines come, what was dropped is counted, tasks go on', async () => {
    const { client, name, queue } = aQueue();
    const lines: WorkerLog[] = [];
    const logs = (line: WorkerLog): void => void lines.push(line);
    const group = await aGroup(client, { queue: name, count: 2, logs }, greedy);
    /** Tasks go on meanwhile. Gives the most memory that was seen. */
    const flood = async (megabytes: number): Promise<number> => {
      let flooding = true;
      const ended = queue.run('flood', { megabytes }).then(() => (flooding = false));
      let most = 0;
      for (let i = 0; flooding; i++) {
        expect(await queue.run('echo', i)).toBe(i);
        most = Math.max(most, process.memoryUsage.rss());
      }
      await ended;
      return most;
    };
    // What reading and putting take once and for all: the heap of this process grows to the size that they need.
    const before = await flood(64);
    const told = (): number => lines.reduce((sum, line) => sum + (line.dropped ?? 1), 0);
    await until(async () => (await queue.dict.size()) > 0 && told() >= 64 * 1024);
    lines.length = 0;
    const megabytes = Number(process.env['QM_FLOOD_MB'] ?? 256);
    const most = await flood(megabytes);
    await group.drain();
    const shown = lines.filter(({ dropped }) => dropped === undefined);
    const dropped = lines.reduce((sum, line) => sum + (line.dropped ?? 0), 0);
    expect(dropped + shown.length).toBeGreaterThanOrEqual(megabytes * 1024);
    expect(dropped + shown.length).toBeLessThanOrEqual((megabytes + 64) * 1024);
    expect(shown.length).toBeLessThan(megabytes * 512);
    expect(new Set(shown.map(({ worker }) => worker)).size).toBe(1);
    // Its garbage makes the heap of this process a little larger still, but not with the flood.
    expect(most - before).toBeLessThan((megabytes / 4) * 1024 * 1024);
  });

  test('S9 lines are tagged, cut where they are too long, and hold nothing that a terminal obeys', async () => {
    const { client, name, queue } = aQueue();
    const lines: WorkerLog[] = [];
    const group = await aGroup(client, { queue: name, count: 1, logs: (line) => void lines.push(line) }, greedy);
    const [worker] = group.workers();
    await queue.run('say', { stdout: 'plain\r\n\u001b[31mred\rover\n', stderr: `${'x'.repeat(100_000)}\nno end` });
    await group.drain();
    expect(lines.filter(({ stream }) => stream === 'stdout')).toEqual([
      { worker: 'worker-1', pid: worker?.pid, stream: 'stdout', text: 'plain' },
      { worker: 'worker-1', pid: worker?.pid, stream: 'stdout', text: String.raw`\x1b[31mred\x0dover` },
    ]);
    const [long, last] = lines.filter(({ stream }) => stream === 'stderr').map(({ text }) => text);
    expect(long).toBe(`${'x'.repeat(8192)} … (100000 bytes)`);
    expect(last).toBe('no end');
  });
});

test('a kill that the manager asks for: SIGTERM, then SIGKILL, with its reason; another one takes its place', async () => {
  const { client, name, queue } = aQueue();
  const vouched: string[] = [];
  const connection = client[connectionOf];
  const { call } = connection;
  connection.call = function (handle, method, args, ...rest) {
    if (handle === 0 && method === methods.manager.indexOf('vouch')) vouched.push(String(args[0]));
    return call.call(this, handle, method, args, ...rest);
  };
  onTestFinished(() => void (connection.call = call));
  const group = await aGroup(client, { queue: name, count: 1 }, greedy);
  const started = client.queue<object>(fresh('started'));
  const said: object[] = [];
  // One that the machine holds up for all of the time between the two signals hears neither: there is another go.
  while (!said.some((what) => 'signal' in what)) {
    const handle = await queue.put('stubborn', { started });
    await started.get();
    const lost = once(group, 'workerLost');
    connection.emit('manager:workerKill', [vouched.at(-1), 'its task ran for too long']);
    expect(await lost).toMatchObject([{ signal: 'SIGKILL', reason: 'its task ran for too long' }]);
    expect(await handle.result()).toBe(2);
    expect((await handle.record()).history.map(({ why }) => why).join()).toContain('its task ran for too long');
    for (let what = await started.getNowait(); what !== undefined; what = await started.getNowait()) said.push(what);
  }
  expect(said).toContainEqual({ signal: 'SIGTERM' });
});

/** Resolves with the group's nth loss from now on. */
function nthLost(group: WorkerGroup, nth: number): Promise<void> {
  let left = nth;
  return new Promise((resolve) => {
    group.on('workerLost', () => {
      if (--left === 0) resolve();
    });
  });
}
