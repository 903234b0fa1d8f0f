/** Who ends, and who must not hang, when there is nothing left to do, or somebody has gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManagerGoneError, startManager, startWorkers } from 'quartermaster';
import { aRig, gone, isAlive, sharedRig, tasksModule, working } from '../kit/tasks-rig.ts';

/** How long (ms) a program may take to end once it says that it is done. */
const LIMIT = 5_000;

interface Program {
  readonly child: ChildProcess;
  /** The next line that it says, however many come at once. */
  line(): Promise<string>;
}

function start(fixture: string, ...args: string[]): Program {
  const file = path.join(import.meta.dirname, '..', 'fixtures', fixture);
  // What is killed cannot remove what it made: it makes it in a folder of the test.
  const folder = mkdtempSync(path.join(tmpdir(), 'exit-'));
  const env = { ...process.env, TMPDIR: folder, XDG_RUNTIME_DIR: folder };
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env });
  onTestFinished(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
}

async function endsByItself({ child, line }: Program): Promise<number[]> {
  const ended = once(child, 'exit');
  const said = await line();
  expect(said).toMatch(/^done /);
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const [code, signal] = (await ended) as [number | null, string | null];
  clearTimeout(limit);
  expect([code, signal]).toEqual([0, null]);
  return JSON.parse(said.slice('done '.length)) as number[];
}

describe('D2 with nothing outstanding a process ends by itself', () => {
  const rig = sharedRig('process');

  test.each(['client', 'putter', 'mistaken', 'worker', 'holder', 'reader'])('%s', async (which) => {
    await endsByItself(start('ends-by-itself.mjs', which, rig().connectionFile as string));
  });

  test.each([
    'embedded',
    'manager',
    'group',
    'group-of-embedded',
    'waiter-of-embedded',
    'pool',
    'embedded-pool',
    'closing-pool',
  ])('%s: and all that it started ends with it', async (which) => {
    const pids = await endsByItself(start('ends-by-itself.mjs', which));
    expect(pids).toHaveLength(
      {
        embedded: 0,
        manager: 1,
        group: 3,
        'group-of-embedded': 2,
        'waiter-of-embedded': 1,
        pool: 3,
        'embedded-pool': 2,
        'closing-pool': 1,
      }[which] as number,
    );
    await Promise.all(pids.map(gone));
  });

  test('who waits stays, and ends when it has what it waited for', async () => {
    const program = start('ends-by-itself.mjs', 'waiter', rig().connectionFile as string);
    expect(await program.line()).toBe('waiting');
    const task = await rig().client.tasks('ends-waiter').get();
    expect(program.child.exitCode).toBeNull();
    await task.complete('output');
    await endsByItself(program);
  });

  test('who waits for the next value of a feed stays, and ends when it has it', async () => {
    const program = start('ends-by-itself.mjs', 'reader-who-waits', rig().connectionFile as string);
    expect(await program.line()).toBe('waiting');
    expect(program.child.exitCode).toBeNull();
    const set = rig().client.dict('ends-waited-for').set('k', 'value');
    await Promise.all([endsByItself(program), set]);
  });
});

describe('D3 the parent is killed while its workers never let their threads go', () => {
  test.each(['process', 'embedded'])('nobody is left, no grandchildren either (manager: %s)', async (where) => {
    const { child: parent, line } = start('parent.mjs', where);
    const { pids, address } = JSON.parse(await line()) as { pids: number[]; address: string };
    expect(pids).toHaveLength(where === 'process' ? 5 : 4);
    expect(pids.every(isAlive)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await Promise.all(pids.map(gone));
    if (where === 'process') expect(existsSync(path.dirname(address.slice('unix:'.length)))).toBe(false);
  });
});

test('D3 the parent is killed while its workers load a module that never ends', async () => {
  const { child: parent, line } = start('parent.mjs', 'process', 'loads-for-ever.mjs');
  const { pids } = JSON.parse(await line()) as { pids: number[] };
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await Promise.all(pids.map(gone));
});

describe('M1 the manager is killed', () => {
  test('every pending promise of every kind rejects with ManagerGoneError, and so does every later call', async () => {
    const { client, another, close } = await aRig('process');
    const other = await another();
    const full = client.tasks('full', { maxSize: 1 });
    await full.put('x');
    const tasks = client.tasks('tasks');
    const handle = await tasks.put('x');
    const leased = await other.tasks('tasks').get();
    const there = other.tasks('tasks').handle(handle.id);
    await client.lock('lock').acquire();
    const held = client.dict('held').withLock(() => new Promise(() => {}));
    await client.queue('size', { maxSize: 1 }).put(1);
    const pending: Record<string, Promise<unknown>> = {
      'tasks.get': client.tasks('empty').get(),
      'tasks.put': full.put('x'),
      'tasks.putMany': full.putMany('x', [1, 2]).toArray(),
      'tasks.run': tasks.run('x'),
      'tasks.run with a timeout': tasks.run('x', undefined, { timeout: 1e6 }),
      'handle.result': handle.result(),
      'handle.result of another': there.result({ timeout: 1e6 }),
      'handle.progress': there.progress()[Symbol.asyncIterator]().next(),
      'queue.get': client.queue('nothing').get(),
      'queue.put': client.queue('size').put(2),
      'lock.acquire': other.lock('lock').acquire(),
      'dict.withLock': other.dict('held').withLock(() => {}),
      'dict.watch': client.dict('watched').watch()[Symbol.asyncIterator]().next(),
      'topic.subscribe': client.topic('topic').subscribe()[Symbol.asyncIterator]().next(),
      'a call behind a hold': other.dict('held').get('x'),
    };
    const settled = Object.entries(pending).map(async ([what, promise]) => {
      const error: unknown = await promise.then(
        () => 'fulfilled',
        (reason: unknown) => reason,
      );
      return [what, error instanceof Error ? error.name : error];
    });
    // All of it has arrived before the end comes.
    await Promise.all([client.tasks('tasks').dict.size(), other.tasks('tasks').dict.size()]);
    process.kill(client.pid, 'SIGKILL');
    expect(await Promise.all(settled)).toEqual(Object.keys(pending).map((what) => [what, 'ManagerGoneError']));
    expect(leased.signal.aborted).toBe(true);
    await expect(leased.complete()).rejects.toMatchObject({ code: 'QM_LEASE_LOST' });
    const later = [tasks.put('x'), tasks.run('x'), tasks.getNowait(), tasks.get(), handle.result(), there.state()];
    const more = [
      client.dict('d').get('x'),
      client.inspect.workers(),
      other.counter('c').add(1),
      tasks.putMany('x', [1]).toArray(),
    ];
    for (const call of [...later, ...more]) await expect(call).rejects.toThrow(ManagerGoneError);
    // The hold's own promise is its function's.
    void held;
    await Promise.all([client.close(), other.close()]);
    await close();
  });

  test('the clients of an embedded one hear the same when it is closed', async () => {
    const { client, manager, another } = await aRig('embedded');
    const other = await another();
    const handle = await client.tasks('tasks').put('x');
    const pending = [
      client.tasks('tasks').run('x'),
      handle.result(),
      other.tasks('empty').get(),
      other.queue('nothing').get(),
    ];
    const settled = Promise.allSettled(pending);
    await other.tasks('tasks').dict.size();
    await manager?.close();
    for (const one of await settled) {
      expect(one).toMatchObject({ status: 'rejected', reason: expect.objectContaining({ code: 'QM_MANAGER_GONE' }) });
    }
    await expect(handle.result()).rejects.toThrow(ManagerGoneError);
  });

  test('its workers end, busy or idle, and nothing hangs', async () => {
    const { client, another, close } = await aRig('process');
    const started = client.queue<{ pid: number }>();
    const group = await startWorkers(client, tasksModule, { count: 2 });
    await client.tasks().put('wait', { started });
    await started.get();
    const pids = group.workers().map(({ pid }) => pid);
    const mine = working(await another(), 'mine', { x: () => {} });
    await client.tasks('mine').run('x');
    process.kill(client.pid, 'SIGKILL');
    await mine.ended;
    await expect(mine.stop()).rejects.toThrow(ManagerGoneError);
    await Promise.all(pids.map(gone));
    await group.close();
    expect(group.workers()).toEqual([]);
    await close();
  });

  test('R2 what it had in the file system goes all the same', async () => {
    const manager = await startManager();
    const { connectionFile } = manager;
    const waiting = expect(manager.queue().get()).rejects.toThrow(ManagerGoneError);
    process.kill(manager.pid, 'SIGKILL');
    await waiting;
    await manager.shutdown();
    expect(existsSync(path.dirname(connectionFile))).toBe(false);
  });
});
