/** Worker groups: processes that are started, kept alive, drained and ended. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { BrokenPoolError, startWorkers, TaskFailedError } from 'quartermaster';
import { aFolder, aGroup, fresh, isAlive, sharedRig, type Started, tasksModule } from '../kit/tasks-rig.ts';

const rig = sharedRig('socket');

function aQueue() {
  const { client } = rig();
  const name = fresh('queue');
  return { client, name, queue: client.tasks(name), started: client.queue<Started>(fresh('started')) };
}

/** A tasks module of its own, as a file. */
function aModule(text: string): URL {
  const file = path.join(aFolder(), 'tasks.mjs');
  writeFileSync(file, text);
  return pathToFileURL(file);
}

describe('starting', () => {
  test('as many processes as asked for, each loops on the queue', async () => {
    const { client, name, queue } = aQueue();
    const group = await aGroup(client, { queue: name, count: 2 });
    const workers = group.workers();
    expect(workers.map((worker) => worker.name)).toEqual(['worker-1', 'worker-2']);
    const pids = workers.map(({ pid }) => pid);
    expect(new Set([process.pid, ...pids]).size).toBe(3);
    expect(pids).toContain(await queue.run('pid'));
    const inspected = (await client.inspect.workers()).filter((worker) => worker.queue === name);
    expect(inspected.map(({ pid }) => pid).toSorted()).toEqual(pids.toSorted());
    expect(inspected.every(({ owned }) => owned)).toBe(true);
    const record = await (await queue.put('pid')).record();
    expect(record.id).toBe('t2');
  });

  test('the record names the worker process that ran a task', async () => {
    const { client, name, queue } = aQueue();
    await aGroup(client, { queue: name, count: 1 });
    const handle = await queue.put('pid');
    const pid = await handle.result();
    expect(await handle.record()).toMatchObject({ worker: 'worker-1', pid, attempt: 1 });
  });

  test('setup and teardown, environment and arguments for node', async () => {
    const { client, name, queue } = aQueue();
    const { name: said } = client.queue(fresh('said'));
    const module = aModule(`
      let dict
      export async function setup(client) { dict = client.queue(${JSON.stringify(said)}); await dict.put('setup') }
      export async function teardown() { await dict.put('teardown') }
      export default { env: (name) => process.env[name], execArgv: () => process.execArgv }
    `);
    const group = await aGroup(
      client,
      { queue: name, count: 1, env: { MINE: 'yes' }, execArgv: ['--no-warnings'] },
      module,
    );
    expect(await client.queue(said).getNowait()).toBe('setup');
    expect([await queue.run('env', 'MINE'), await queue.run('env', 'PATH')]).toEqual(['yes', process.env['PATH']]);
    expect(await queue.run('execArgv')).toEqual(['--no-warnings']);
    // What the allocator has read by then is nothing for what a handler spawns.
    expect(await queue.run('env', 'MALLOC_TRIM_THRESHOLD_')).toBeUndefined();
    await group.drain();
    expect(await client.queue(said).getNowait()).toBe('teardown');
  });

  test('arguments that Node.js would take for the script are refused', async () => {
    const { client, name } = aQueue();
    for (const execArgv of [
      [''],
      ['script.js'],
      ['--no-warnings', '--'],
      ['-'],
      ['-r', './a.js', './b.js'],
      [7],
      '-r',
    ]) {
      const options = { queue: name, count: 1, execArgv: execArgv as string[] };
      await expect(startWorkers(client, tasksModule, options)).rejects.toThrow(/^execArgv (has|must be)/);
    }
    await aGroup(client, { queue: name, count: 1, execArgv: ['--import', 'data:text/javascript,'] });
  });

  test('a module by its path', async () => {
    const { client, name, queue } = aQueue();
    const group = await startWorkers(client, path.relative(process.cwd(), tasksModule.pathname), {
      queue: name,
      count: 1,
    });
    expect(await queue.run('echo', 1)).toBe(1);
    await group.close();
  });

  test.each([
    ['throws', `throw new RangeError('not today')`, 'not today'],
    [
      'rejects in setup',
      `export default {}; export function setup() { throw new RangeError('not today') }`,
      'not today',
    ],
    ['has no handlers', `export const handlers = {}`, 'must default-export its handlers'],
    ['has what is no handler', `export default { x: 1 }`, `handler 'x'`],
    ['has a setup that is none', `export default {}; export const setup = 1`, `'setup', which must be a function`],
    ['does not parse', `export default {`, 'Unexpected'],
    ['ends the process', `process.exit(7)`, 'exit code 7'],
  ])('a module that %s: BrokenPoolError with the cause, and no process is left', async (_, text, why) => {
    const { client, name } = aQueue();
    const error = await startWorkers(client, aModule(text), { queue: name, count: 2 }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(BrokenPoolError);
    const { message, cause } = error as Error;
    expect(message).toContain(why);
    if (why === 'not today')
      expect(cause).toMatchObject({ name: 'RangeError', message: why, stack: expect.stringContaining('tasks.mjs') });
    expect((await client.inspect.workers()).filter((worker) => worker.queue === name)).toEqual([]);
  });

  test('a module that is not there', async () => {
    const { client } = aQueue();
    await expect(startWorkers(client, 'nowhere/tasks.mjs', { count: 1 })).rejects.toThrow(BrokenPoolError);
    await expect(startWorkers(client, 'nowhere/tasks.mjs', { count: 1 })).rejects.toThrow('nowhere');
  });

  test('options must make sense', async () => {
    const { client } = aQueue();
    for (const options of [{ count: 0 }, { count: 1.5 }, { concurrency: 0 }, { concurrency: NaN }]) {
      await expect(startWorkers(client, tasksModule, options)).rejects.toThrow(RangeError);
    }
  });
});

describe('running', () => {
  test('concurrency: so many tasks at once in each process', async () => {
    const { client, name, queue, started } = aQueue();
    await aGroup(client, { queue: name, count: 1, concurrency: 3 });
    const go = client.queue();
    const handles = await queue
      .putMany(
        'meet',
        Array.from({ length: 4 }, (_, output) => ({ started, go, output })),
      )
      .toArray();
    const first = [await started.get(), await started.get(), await started.get()];
    expect(new Set(first.map(({ pid }) => pid)).size).toBe(1);
    expect(await queue.dict.counts()).toMatchObject({ leased: 3, ready: 1 });
    await go.putMany([1, 2, 3, 4]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([0, 1, 2, 3]);
  });

  test('without concurrency, one at a time; two processes, two at a time', async () => {
    const { client, name, queue, started } = aQueue();
    await aGroup(client, { queue: name, count: 2 });
    const go = client.queue();
    const handles = await queue
      .putMany(
        'meet',
        Array.from({ length: 4 }, () => ({ started, go })),
      )
      .toArray();
    const first = [await started.get(), await started.get()];
    expect(new Set(first.map(({ pid }) => pid)).size).toBe(2);
    expect(await queue.dict.counts()).toMatchObject({ succeeded: 0 });
    expect(await started.getNowait()).toBeUndefined();
    await go.putMany([1, 2, 3, 4]);
    await Promise.all(handles.map((handle) => handle.result()));
  });

  test('what handlers throw comes back with the stack of their file', async () => {
    const { client, name, queue } = aQueue();
    await aGroup(
      client,
      { queue: name, count: 1 },
      aModule(`
      function inner() { throw Object.assign(new SyntaxError('bad'), { line: 7 }) }
      export default { boom: () => inner() }
    `),
    );
    const error = await queue.run('boom').catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TaskFailedError);
    const { cause } = error as { cause: Error };
    expect(cause).toBeInstanceOf(SyntaxError);
    expect(cause).toMatchObject({ message: 'bad', line: 7, stack: expect.stringMatching(/inner.*tasks\.mjs/) });
  });

  test('maxTasksPerWorker: a process that has run so many ends, and another one takes its place; nothing is lost', async () => {
    const { client, name, queue } = aQueue();
    const group = await aGroup(client, { queue: name, count: 2, maxTasksPerWorker: 3 });
    group.on('workerLost', () => expect.unreachable('it has retired'));
    const ran = new Map<number, number>();
    for (const pid of (await queue.map('pid', Array.from({ length: 24 })).toArray()) as number[]) {
      ran.set(pid, (ran.get(pid) ?? 0) + 1);
    }
    expect(Math.max(...ran.values())).toBe(3);
    expect(ran.size).toBeGreaterThanOrEqual(8);
    expect((await queue.dict.entries()).every(([, { attempt }]) => attempt === 1)).toBe(true);
    await group.close();
  });

  test('a killed worker is replaced: workerLost, then workerStarted', async () => {
    const { client, name, queue } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const [worker] = group.workers();
    const events: unknown[] = [];
    const replaced = new Promise<void>((resolve) => {
      group.on('workerLost', (event) => events.push(['lost', event]));
      group.on('workerStarted', (event) => {
        events.push(['started', event]);
        resolve();
      });
    });
    process.kill(worker?.pid as number, 'SIGKILL');
    await replaced;
    const [replacement] = group.workers();
    expect(events).toEqual([
      ['lost', { ...worker, exitCode: undefined, signal: 'SIGKILL' }],
      ['started', replacement],
    ]);
    expect(replacement?.name).toBe('worker-2');
    expect(await queue.run('pid')).toBe(replacement?.pid);
  });

  test('a replacement that cannot start any more: broken, after a few attempts', async () => {
    const { client, name } = aQueue();
    const folder = aFolder();
    const file = path.join(folder, 'tasks.mjs');
    writeFileSync(file, 'export default { x: () => 1 }');
    const group = await aGroup(client, { queue: name, count: 1 }, pathToFileURL(file));
    writeFileSync(file, `throw new Error('broken meanwhile')`);
    const broken = once(group, 'broken') as Promise<[BrokenPoolError]>;
    process.kill(group.workers()[0]?.pid as number, 'SIGKILL');
    const [error] = await broken;
    expect(error).toBeInstanceOf(BrokenPoolError);
    expect(error.message).toContain('broken meanwhile');
    expect(group.workers()).toEqual([]);
  });
});

describe('ending', () => {
  test('drain: what runs is finished and acknowledged, the rest stays in the queue', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const go = client.queue();
    const running = await queue.put('meet', { started, go, output: 'finished' });
    await started.get();
    const waiting = await queue.put('pid');
    const drained = group.drain();
    await go.put(1);
    await drained;
    expect(group.workers()).toEqual([]);
    expect(await running.result()).toBe('finished');
    expect(await running.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
    expect(await waiting.record()).toMatchObject({ attempt: 0, state: 'ready' });
    await group.drain();
    await group.close();
  });

  test('drain: a large output arrives whole before the process ends', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const go = client.queue();
    const output = Buffer.alloc(24 * 1024 * 1024, 'x');
    const running = await queue.put('meet', { started, go, output });
    await started.get();
    const drained = group.drain();
    await go.put(1);
    await drained;
    expect(((await running.result()) as Buffer).equals(output)).toBe(true);
    expect((await running.record()).attempt).toBe(1);
  });

  test('drain: idle workers end at once, as if they had never been lost', async () => {
    const { client, name } = aQueue();
    const group = await aGroup(client, { queue: name, count: 2 });
    const pids = group.workers().map(({ pid }) => pid);
    group.on('workerLost', () => expect.unreachable('a drained worker is not lost'));
    await group.drain();
    expect(pids.map(isAlive)).toEqual([false, false]);
  });

  test('close: ends every worker now; what it ran is run again elsewhere', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    const handle = await queue.put('wait', { started, hangs: 1 });
    const { pid } = await started.get();
    await group.close();
    expect(isAlive(pid)).toBe(false);
    await aGroup(client, { queue: name, count: 1 });
    expect(await handle.result()).toBe(2);
  });

  test('close while draining ends it now', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 1 });
    await queue.put('wait', { started });
    await started.get();
    const drained = group.drain();
    await Promise.all([group.close(), drained]);
    expect(group.workers()).toEqual([]);
  });
});
