/** How many workers a group has: bounds, resizing, replacing all of them, and the ways to end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BrokenPoolError, startManager, startWorkers } from 'quartermaster';
import { aGroup, aRig, fresh, gone, isAlive, sharedRig, type Started, tasksModule } from '../kit/tasks-rig.ts';

const rig = sharedRig('process');

function aQueue() {
  const { client } = rig();
  const name = fresh('queue');
  return { client, name, queue: client.tasks(name), started: client.queue<Started>(fresh('started')) };
}

describe('count: { min, max, idle }', () => {
  test('grows while tasks wait and nobody is idle, up to max; shrinks to min when they have nothing to do', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: { min: 1, max: 3, idle: 200 } });
    group.on('workerLost', () => expect.unreachable('those that are idle end in good order'));
    expect(group.workers()).toHaveLength(1);
    const go = client.queue();
    const handles = await queue
      .putMany(
        'meet',
        Array.from({ length: 5 }, (_, output) => ({ started, go, output })),
      )
      .toArray();
    const running = [await started.get(), await started.get(), await started.get()];
    expect(new Set(running.map(({ pid }) => pid)).size).toBe(3);
    expect(group.workers()).toHaveLength(3);
    await go.putMany([1, 2, 3, 4, 5]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([0, 1, 2, 3, 4]);
    while (group.workers().length > 1) await queue.dict.size();
    expect(await queue.run('pid')).toBe(group.workers()[0]?.pid);
    expect((await queue.dict.entries()).every(([, { attempt }]) => attempt === 1)).toBe(true);
  });

  test('min 0: nobody until there is work', async () => {
    const { client, name, queue } = aQueue();
    const group = await aGroup(client, { queue: name, count: { min: 0, max: 1, idle: 60_000 } });
    expect(group.workers()).toEqual([]);
    const pid = await queue.run('pid');
    expect(group.workers()).toMatchObject([{ pid }]);
  });

  test('bounds must make sense', async () => {
    const { client } = aQueue();
    for (const count of [
      { min: 2, max: 1 },
      { min: -1, max: 1 },
      { min: 0, max: 0 },
      { min: 1, max: 1.5 },
      { min: 1, max: 2, idle: NaN },
    ]) {
      await expect(startWorkers(client, tasksModule, { count })).rejects.toThrow(RangeError);
    }
  });
});

describe('resize and recycle', () => {
  test('more are ready, fewer have finished what they ran', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const lost: unknown[] = [];
    group.on('workerLost', (event) => lost.push(event));
    await group.resize(3);
    expect(group.workers()).toHaveLength(3);
    const go = client.queue();
    const handles = await queue
      .putMany(
        'meet',
        [1, 2, 3].map((output) => ({ started, go, output })),
      )
      .toArray();
    for (let i = 0; i < 3; i++) await started.get();
    const resized = group.resize(1);
    await go.putMany([1, 2, 3]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([1, 2, 3]);
    await resized;
    expect(group.workers()).toHaveLength(1);
    expect(lost).toEqual([]);
    for (const handle of handles) expect(await handle.record()).toMatchObject({ attempt: 1 });
    expect(() => group.resize(0)).toThrow(RangeError);
  });

  test('recycle: each is another process, none is lost, and what runs is finished', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 2 });
    group.on('workerLost', () => expect.unreachable('they end in good order'));
    const old = group.workers().map(({ pid }) => pid);
    let fewest = Infinity;
    group.on(
      'workerStarted',
      () => (fewest = Math.min(fewest, old.filter(isAlive).length + group.workers().length - old.length)),
    );
    const go = client.queue();
    const running = await queue.put('meet', { started, go, output: 'finished' });
    await started.get();
    const recycled = group.recycle();
    const others = Promise.all(Array.from({ length: 100 }, (_, i) => queue.run('echo', i)));
    expect(await others).toHaveLength(100);
    await go.put(1);
    await recycled;
    expect(await running.result()).toBe('finished');
    expect(await running.record()).toMatchObject({ attempt: 1 });
    const pids = group.workers().map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    expect(pids.filter((pid) => old.includes(pid))).toEqual([]);
    expect(fewest).toBeGreaterThanOrEqual(2);
  });
});

describe('D1 SIGTERM and SIGINT to a worker', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: it finishes what it runs, and another one takes its place',
    async (signal) => {
      const { client, name, queue, started } = aQueue();
      const group = await aGroup(client, { queue: name, count: 1 });
      group.on('workerLost', () => expect.unreachable('it ends in good order'));
      const go = client.queue();
      const running = await queue.put('meet', { started, go, output: 'finished' });
      const { pid } = await started.get();
      const waiting = await queue.put('pid');
      process.kill(pid, signal);
      // A signal is on its way for as long as the system likes: the group hears when it has arrived.
      while (group.ready > 0) await queue.dict.size();
      await go.put(1);
      expect(await running.result()).toBe('finished');
      expect(await running.record()).toMatchObject({ attempt: 1 });
      expect(await waiting.result()).not.toBe(pid);
    },
  );

  test('the second signal ends it at once: what it ran runs again, and the code says which signal', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const handle = await queue.put('wait', { started, hangs: 1 });
    const { pid } = await started.get();
    const lost = once(group, 'workerLost');
    process.kill(pid, 'SIGTERM');
    process.kill(pid, 'SIGINT');
    expect(await lost).toMatchObject([{ pid, exitCode: expect.toSatisfy((code) => code === 143 || code === 130) }]);
    expect(await handle.result()).toBe(2);
  });
});

describe('D1 SIGTERM to a program that lives for its workers', () => {
  test('it finishes what runs and exits with 0', async () => {
    const { child, pids } = await host();
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await said(child, 'draining');
    child.stdin?.write('go on\n');
    await said(child, 'finished');
    expect(await exit).toEqual([0, null]);
    await Promise.all(pids.map(gone));
  });

  test('a second signal ends it at once, with a code that says so', async () => {
    const { child, pids } = await host();
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await said(child, 'draining');
    child.kill('SIGINT');
    expect(await exit).toEqual([143, null]);
    await Promise.all(pids.map(gone));
  });
});

describe('D4 ending settles', () => {
  test('while workers are still starting, and twice', async () => {
    const manager = await startManager();
    onTestFinished(() => manager.shutdown());
    const starting = startWorkers(manager, new URL('../fixtures/loads-for-ever.mjs', import.meta.url), {
      count: 2,
      logs: 'ignore',
    });
    const outcome = starting.catch((error: unknown) => error);
    await manager.inspect.workers();
    await Promise.all([manager.shutdown(), manager.shutdown()]);
    expect(await outcome).toBeInstanceOf(BrokenPoolError);
  });

  test('while a replacement starts: drain does not wait for what has nothing to finish; resize hears of it', async () => {
    const { client, name } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const resized = expect(group.resize(3)).rejects.toThrow(BrokenPoolError);
    await client.inspect.workers();
    await Promise.all([group.drain(), group.drain(), group.close()]);
    await resized;
    expect(group.workers()).toEqual([]);
  });

  test('drain has heard of what was finished, however late the manager is heard', async () => {
    const { client, manager, hold, goOn } = await aSlowClient();
    const group = await aGroup(client, { count: 1 });
    const [started, go] = [manager.queue<Started>('started'), manager.queue('go')];
    const running = await client.tasks().put('meet', {
      started: client.queue('started'),
      go: client.queue('go'),
      output: 'finished',
    });
    const { pid } = await started.get();
    const heard: unknown[] = [];
    void running.result().then((output) => heard.push(output));
    hold();
    const drained = group.drain().then(() => [...heard]);
    await go.put(1);
    await gone(pid);
    while (group.workers().length > 0) await manager.tasks().dict.size();
    goOn();
    expect(await drained).toEqual(['finished']);
  });

  test('drain never waits for longer than its grace', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const handle = await queue.put('wait', { started, hangs: 1 });
    const { pid } = await started.get();
    await group.drain({ grace: 10 });
    expect(isAlive(pid)).toBe(false);
    const again = await queue.get();
    expect(again).toMatchObject({ id: handle.id, attempt: 2 });
    await again.complete();
    await expect(group.drain({ grace: -1 })).rejects.toThrow(RangeError);
  });
});

/** A client that hears nothing of its manager between `hold()` and `goOn()`. */
async function aSlowClient() {
  const { client: manager, connectionFile, another } = await aRig('process');
  const { address } = JSON.parse(readFileSync(String(connectionFile), 'utf8')) as { address: string };
  // A relay in the place of the manager's socket: keys are proved for an address.
  const here = address.replace('unix:', '');
  renameSync(here, `${here}.moved`);
  const relayed: Socket[] = [];
  const relay = createServer((client) => {
    const there = createConnection(`${here}.moved`);
    relayed.push(there);
    client.pipe(there).pipe(client);
    client.on('error', () => {}).on('close', () => there.destroy());
    there.on('error', () => {}).on('close', () => client.destroy());
  });
  relay.listen(here);
  await once(relay, 'listening');
  onTestFinished(() => void relay.close());
  const client = await another();
  onTestFinished(() => client.close());
  const [first] = relayed as [Socket];
  return { client, manager, hold: () => first.pause(), goOn: () => first.resume() };
}

/** A program that lives for one worker, which runs a task until the program is told to end it. */
async function host(): Promise<{ child: ChildProcess; pids: number[] }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'host-'));
  const program = path.join(import.meta.dirname, '..', 'fixtures', 'worker-host.mjs');
  const env = { ...process.env, TMPDIR: folder, XDG_RUNTIME_DIR: folder };
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'], env });
  onTestFinished(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const [text] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  return { child, pids: JSON.parse(String(text)) as number[] };
}

/** Waits until it says so. */
async function said(child: ChildProcess, what: string): Promise<void> {
  for (;;) {
    const [text] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
    if (String(text).includes(what)) return;
  }
}
