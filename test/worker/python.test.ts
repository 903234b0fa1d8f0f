/** How Pool and ProcessPoolExecutor begin and end, the way that docs/python.md says to do it. */
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { startManager, startWorkers, wait } from 'quartermaster';
import { aFolder, aGroup, fresh, isAlive, sharedRig, type Started, tasksModule } from '../kit/tasks-rig.ts';

const rig = sharedRig('socket');

function aQueue() {
  const { client } = rig();
  const name = fresh('queue');
  return { client, name, queue: client.tasks(name), started: client.queue<Started>(fresh('started')) };
}

test('without a count there are as many processes as cores', async () => {
  const { client, name } = aQueue();
  const group = await aGroup(client, { queue: name });
  expect(group.workers()).toHaveLength(availableParallelism());
});

test('close and join: what was put is waited for, then the workers end', async () => {
  const { client, name, queue } = aQueue();
  const group = await aGroup(client, { queue: name, count: 2 });
  const handles = await queue.putMany('echo', [1, 2, 3, 4, 5]).toArray();
  const pids = group.workers().map(({ pid }) => pid);
  expect((await wait(handles)).pending).toEqual([]);
  await group.drain();
  expect(pids.map(isAlive)).toEqual([false, false]);
  expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([1, 2, 3, 4, 5]);
});

test('a shutdown that is not waited for goes on: what runs is finished first', async () => {
  const { client, name, queue, started } = aQueue();
  const group = await aGroup(client, { queue: name, count: 1 });
  const go = client.queue();
  const handle = await queue.put('meet', { started, go, output: 'finished' });
  const { pid } = await started.get();
  const drained = group.drain();
  expect(isAlive(pid)).toBe(true);
  await go.put(1);
  expect(await handle.result()).toBe('finished');
  await drained;
  expect(isAlive(pid)).toBe(false);
});

test('arguments for setup: a shared value that it reads', async () => {
  const { client, name, queue } = aQueue();
  const file = path.join(aFolder(), 'tasks.mjs');
  const initial = client.value(fresh('arguments'), { greeting: 'Good morning', to: ['Ada', 'Grace'] });
  await initial.get();
  writeFileSync(
    file,
    `let greeting, to
    export async function setup(client) { ({ greeting, to } = await client.value('${initial.name}').get()) }
    export default { greet: (at) => greeting + ', ' + to[at] }`,
  );
  await aGroup(client, { queue: name, count: 2 }, pathToFileURL(file));
  expect(await queue.map('greet', [0, 1]).toArray()).toEqual(['Good morning, Ada', 'Good morning, Grace']);
});

test('await using: workers and manager end with the block, also by an error', async () => {
  const pids = { manager: 0, worker: 0 };
  const block = async (): Promise<void> => {
    await using manager = await startManager();
    pids.manager = manager.pid;
    const inner = async (): Promise<void> => {
      await using group = await startWorkers(manager, tasksModule, { count: 1 });
      pids.worker = group.workers()[0]?.pid as number;
      expect(await manager.tasks().run('echo', 'there')).toBe('there');
      throw new Error('of the block');
    };
    await expect(inner()).rejects.toThrow('of the block');
    expect([isAlive(pids.worker), isAlive(pids.manager)]).toEqual([false, true]);
    throw new Error('of the outer block');
  };
  await expect(block()).rejects.toThrow('of the outer block');
  expect(isAlive(pids.manager)).toBe(false);
});
