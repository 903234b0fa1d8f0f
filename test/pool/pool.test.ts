/** Pools over every kind of manager: what `startPool` promises, with real worker processes. */
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  BrokenPoolError,
  Manager,
  type Pool,
  PoolTerminatedError,
  QueueShutdownError,
  startManager,
  startPool,
  type StartPoolOptions,
  TaskFailedError,
  WorkerLostError,
} from 'quartermaster';
import { aFolder, aGate, isAlive, tasksModule } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

type Tasks = Record<string, (input: never) => unknown>;

const kinds = ['process', 'embedded', 'the client of a process', 'the client of an embedded manager'] as const;

async function managerOf(kind: (typeof kinds)[number]): Promise<StartPoolOptions['manager']> {
  if (kind === 'the client of a process') {
    const manager = await startManager();
    onTestFinished(() => manager.shutdown());
    return manager;
  }
  if (kind === 'the client of an embedded manager') {
    const manager = new Manager();
    onTestFinished(() => manager.close());
    return manager.client();
  }
  return kind;
}

/** A tasks module of its own, as a file. */
function aModule(text: string): URL {
  const file = path.join(aFolder(), 'tasks.mjs');
  writeFileSync(file, text);
  return pathToFileURL(file);
}

/** A promise's reason. */
function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => Promise.reject(new Error(`it resolved with ${String(value)}`)),
    (reason: unknown) => reason,
  );
}

describe.each(kinds)('a pool with %s as its manager', (kind) => {
  async function aPool(options: Partial<StartPoolOptions> = {}): Promise<Pool<Tasks>> {
    const manager = await managerOf(kind);
    const pool = await startPool<Tasks>({ tasks: tasksModule, workers: 2, manager, ...options });
    onTestFinished(() => pool.terminate());
    return pool;
  }

  test('put, run, map and broadcast; its workers are processes of their own', async () => {
    const pool = await aPool();
    const pids = pool.workers().map(({ pid }) => pid);
    expect(new Set([process.pid, ...pids]).size).toBe(3);
    expect(await pool.run('echo', { a: [1, new Date(0)] } as never)).toEqual({ a: [1, new Date(0)] });
    const handle = await pool.put('echo', 'put' as never);
    expect(await handle.result()).toBe('put');
    expect(await pool.map('echo', [3, 1, 2] as never[]).toArray()).toEqual([3, 1, 2]);
    const told = await pool.broadcast('pid', undefined as never);
    expect(told.map((one) => (one as PromiseFulfilledResult<number>).value).toSorted()).toEqual(pids.toSorted());
    await expect(pool.run('no such task', 0 as never)).rejects.toThrow(TaskFailedError);
  });

  test('close takes no more, and finishes what was put, also what its tasks put then', async () => {
    const module = aModule(`
      export default {
        async tree(depth, context) {
          if (depth === 0) return 1
          const children = await Promise.all([1, 2].map(() => context.put('tree', depth - 1)))
          return (await Promise.all(children.map((child) => child.result()))).reduce((a, b) => a + b, 1)
        },
      }
    `);
    const pool = await aPool({ tasks: module });
    const processes = pool.workers();
    const tree = pool.run('tree', 4 as never);
    const closed = pool.close();
    await expect(pool.run('tree', 0 as never)).rejects.toThrow(QueueShutdownError);
    await expect(pool.put('tree', 0 as never)).rejects.toThrow('the pool has been closed');
    await expect(pool.broadcast('tree', 0 as never)).rejects.toThrow(QueueShutdownError);
    expect(() => pool.map('tree', [])).toThrow(QueueShutdownError);
    await closed;
    // Its outcome was here before the pool ended.
    expect(await Promise.race([tree, Promise.resolve('not yet')])).toBe(31);
    for (const { pid } of processes) expect(isAlive(pid)).toBe(false);
    expect(pool.workers()).toEqual([]);
    await pool.join();
    await pool.close();
  });

  test('close waits for a map that is read, however many inputs are left', async () => {
    const pool = await aPool();
    const all = pool.map('echo', Array.from({ length: 50 }, (_, i) => i) as never[], { inFlight: 2 }).toArray();
    await pool.close();
    expect(await all).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('close waits for outcomes whose reader is slower than their workers', async () => {
    const pool = await aPool();
    const outputs = Array.from({ length: 12 }, () => pool.run('large', (4 << 20) as never));
    await pool.close();
    for (const output of await Promise.all(outputs)) expect((output as Buffer).length).toBe(4 << 20);
  });

  test('terminate: what runs is killed, and all that is unfinished is rejected, for ever', async () => {
    const pool = await aPool({ workers: 1 });
    const processes = pool.workers();
    const started = pool.client.queue();
    const gate = aGate();
    const runs = reasonOf(pool.run('spinUntil', { started, file: gate.file } as never));
    const waits = reasonOf(pool.run('echo', 0 as never));
    const awaited = reasonOf((await pool.put('echo', 1 as never)).result());
    const unread = await pool.put('echo', 0 as never);
    const read = reasonOf(pool.map('echo', endless() as never, { onError: 'yield' }).toArray());
    await started.get();
    const closing = pool.close();
    const joined = pool.join();
    await pool.terminate();
    for (const reason of await Promise.all([runs, waits, awaited, read, reasonOf(unread.result())])) {
      expect(reason).toBeInstanceOf(PoolTerminatedError);
    }
    await Promise.all([closing, joined]);
    await expect(pool.run('echo', 0 as never)).rejects.toThrow(PoolTerminatedError);
    expect(() => pool.map('echo', [])).toThrow('the pool was terminated');
    for (const { pid } of processes) expect(isAlive(pid)).toBe(false);
    await pool.terminate();
  });

  test('resize and recycle; events of its workers', async () => {
    const pool = await aPool({ workers: 1 });
    await pool.resize(3);
    expect(pool.workers()).toHaveLength(3);
    await pool.resize(1);
    const [before] = pool.workers();
    await pool.recycle();
    const [after] = pool.workers();
    expect(after?.pid).not.toBe(before?.pid);
    const lost = once(pool, 'workerLost');
    const replaced = once(pool, 'workerStarted');
    process.kill(after?.pid as number, 'SIGKILL');
    expect(await lost).toMatchObject([{ pid: after?.pid, signal: 'SIGKILL' }]);
    await replaced;
    expect(await pool.run('echo', 'goes on' as never)).toBe('goes on');
  });

  test.each(['its top level', 'setup'])('a module whose %s throws: no pool, at once, with the cause', async (where) => {
    const text = where === 'setup' ? 'export function setup() { throw 1 }; export default {}' : 'throw 1';
    const thrown = text.replace('throw 1', "throw new TypeError('it cannot be')");
    const reason = await reasonOf(aPool({ tasks: aModule(thrown) }));
    expect(reason).toBeInstanceOf(BrokenPoolError);
    expect((reason as Error).message).toContain('it cannot be');
  });

  test('workers that cannot be replaced: the pool goes on with those that are left, and ends with the last', async () => {
    const file = path.join(aFolder(), 'broken');
    const module = aModule(`
      import { existsSync, writeFileSync } from 'node:fs'
      if (existsSync(${JSON.stringify(file)})) throw new TypeError('it cannot be again')
      export default {
        breaks() { writeFileSync(${JSON.stringify(file)}, ''); process.exit(3) },
        ends() { process.exit(4) },
        echo: (input) => input,
      }
    `);
    const pool = await aPool({ tasks: module, workers: 2, poisonAfter: 1 });
    const broken = once(pool, 'broken');
    await expect(pool.run('breaks', 0 as never)).rejects.toThrow(WorkerLostError);
    expect(String((await broken)[0])).toContain('it cannot be again');
    expect(await pool.run('echo', 'goes on' as never)).toBe('goes on');
    const [last, waits] = [pool.run('ends', 0 as never), pool.run('echo', 1 as never)].map(reasonOf);
    expect(await waits).toBeInstanceOf(BrokenPoolError);
    expect(((await waits) as Error).message).toContain('it cannot be again');
    expect(await last).toBeInstanceOf(Error);
    await pool.join();
  });

  test('workers that cannot be replaced, and none is left: what waits is rejected with the cause', async () => {
    const file = path.join(aFolder(), 'broken');
    const module = aModule(`
      import { existsSync, writeFileSync } from 'node:fs'
      if (existsSync(${JSON.stringify(file)})) throw new TypeError('it cannot be again')
      export default { ends() { writeFileSync(${JSON.stringify(file)}, ''); process.exit(3) } }
    `);
    const pool = await aPool({ tasks: module, workers: 1 });
    const ends = pool.run('ends', 0 as never);
    const reason = await reasonOf(ends);
    expect(reason).toBeInstanceOf(BrokenPoolError);
    expect((reason as Error).message).toContain('it cannot be again');
    await pool.join();
    await expect(pool.run('ends', 0 as never)).rejects.toThrow(BrokenPoolError);
  });
});

function* endless(): Generator<number> {
  for (let i = 0; ; i++) yield i;
}

describe('who shares the manager', () => {
  test('two pools of one client keep apart, and end apart; their tasks share its objects', async () => {
    const manager = await startManager();
    onTestFinished(() => manager.shutdown());
    const module = aModule(`export default { add: ({ to, by }) => to.add(by) }`);
    const counter = manager.counter();
    const pools = [
      await startPool<Tasks>({ tasks: module, workers: 1, manager }),
      await startPool<Tasks>({ tasks: tasksModule, workers: 1, manager }),
    ] as const;
    await pools[0].run('add', { to: counter, by: 3 } as never);
    expect(await pools[1].run('echo', 1 as never)).toBe(1);
    const waits = reasonOf(pools[0].run('add', { to: counter, by: 4 } as never, { delay: 3_600_000 }));
    await pools[0].terminate();
    expect(await waits).toBeInstanceOf(PoolTerminatedError);
    expect(await pools[1].run('echo', 2 as never)).toBe(2);
    await pools[1].close();
    expect(await counter.get()).toBe(3);
  });

  test('of a pool that was terminated nothing is left for others to run', async () => {
    const manager = await startManager();
    onTestFinished(() => manager.shutdown());
    const pool = await startPool<Tasks>({ tasks: tasksModule, workers: 1, manager, queue: 'shared' });
    const started = manager.queue();
    const ended = reasonOf(pool.run('wait', { started } as never));
    const left = reasonOf(pool.run('echo', 1 as never));
    await started.get();
    await pool.terminate();
    expect([await ended, await left]).toEqual([expect.any(PoolTerminatedError), expect.any(PoolTerminatedError)]);
    expect(await manager.tasks('shared').dict.counts()).toMatchObject({
      ready: 0,
      leased: 0,
      delayed: 0,
      cancelled: 2,
    });
  });

  test('the client that is closed takes the pool along', async () => {
    const manager = await startManager();
    onTestFinished(() => manager.shutdown());
    const other = await startPool<Tasks>({ tasks: tasksModule, workers: 1, manager });
    const processes = other.workers();
    const ended = other.join();
    await manager.close();
    await ended;
    await until(() => Promise.resolve(processes.every(({ pid }) => !isAlive(pid))));
    await expect(other.run('echo', 0 as never)).rejects.toThrow('the client has been closed');
  });

  test('a manager that is killed takes the pool along', async () => {
    const pool = await startPool<Tasks>({ tasks: tasksModule, workers: 1 });
    const started = pool.client.queue();
    const waits = reasonOf(pool.run('wait', { started } as never));
    await started.get();
    process.kill((pool.client as Awaited<ReturnType<typeof startManager>>).pid, 'SIGKILL');
    expect(await waits).toMatchObject({ code: 'QM_MANAGER_GONE' });
    await pool.join();
    expect(pool.workers()).toEqual([]);
    await expect(pool.close()).rejects.toMatchObject({ code: 'QM_MANAGER_GONE' });
  });
});

test('await using closes a pool: what was put is finished', async () => {
  let output: Promise<unknown>;
  let processes;
  {
    await using pool = await startPool<Tasks>({ tasks: tasksModule, workers: 1 });
    processes = pool.workers();
    output = pool.run('block', { ms: 50 } as never);
  }
  expect(await Promise.race([output, Promise.resolve('not yet')])).toBe(1);
  expect(processes.map(({ pid }) => isAlive(pid))).toEqual([false]);
});

test('a pool without a number of workers has as many as there are cores', async () => {
  const pool = await startPool<Tasks>({ tasks: tasksModule, manager: 'embedded' });
  onTestFinished(() => pool.terminate());
  expect(pool.workers()).toHaveLength(availableParallelism());
});

describe('options', () => {
  test.each([
    [{ tasks: 7 }, 'tasks must be the path or URL of a tasks module, not 7'],
    [{ workers: 0 }, 'count must be a whole number of at least 1, not 0'],
    [{ manager: 'thread' }, "manager must be 'process', 'embedded' or a client, not thread"],
    [{ worker: 2 }, /worker/],
    [{ concurrency: 0 }, 'concurrency must be a whole number of at least 1, not 0'],
    [{ retries: -1 }, /retries/],
  ])('%o is refused before anything is started', async (options, message) => {
    const before = process.getActiveResourcesInfo().filter((resource) => resource === 'ProcessWrap');
    await expect(startPool({ tasks: tasksModule, ...options } as never)).rejects.toThrow(message);
    expect(process.getActiveResourcesInfo().filter((resource) => resource === 'ProcessWrap')).toEqual(before);
  });

  test('options of the queue, of the workers, and of both', async () => {
    const pool = await startPool<Tasks>({
      tasks: tasksModule,
      workers: { min: 1, max: 2 },
      retries: 2,
      env: { MINE: 'yes' },
      execArgv: ['--no-warnings'],
      tags: ['here'],
    });
    onTestFinished(() => pool.close());
    expect(await pool.run('env', 'MINE' as never)).toBe('yes');
    expect(await pool.run('execArgv', undefined as never, { tags: ['here'] })).toContain('--no-warnings');
    const handle = await pool.put('throwOutside', { how: 'timer', times: 2 } as never);
    expect(await handle.result()).toBe(3);
  });
});
