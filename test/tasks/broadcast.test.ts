/** One task on every worker. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { QueueShutdownError, TaskFailedError, WorkerLostError } from 'quartermaster';
import { aClient, aGroup, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

const module = new URL('../fixtures/children-tasks.mjs', import.meta.url);
const valueOf = (each: PromiseSettledResult<unknown>): unknown =>
  each.status === 'fulfilled' ? each.value : undefined;

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  /** Worker loops of these names, which loop when it resolves. */
  async function loops(queue: string, names: readonly string[], handler: (worker: string) => unknown) {
    const all = await Promise.all(
      names.map(async (name) => working(await aClient(rig(), name), queue, { here: () => handler(name) }, { name })),
    );
    const known = async () => (await rig().client.inspect.workers()).filter((each) => each.queue === queue).length;
    await until(async () => (await known()) === names.length);
    return all;
  }

  test('runs once on every worker loop, and has each outcome in its place', async () => {
    const name = fresh('queue');
    const queue = rig().client.tasks(name);
    expect(await queue.broadcast('here')).toEqual([]);
    await loops(name, ['a', 'b', 'c'], (worker) => {
      if (worker === 'b') throw new RangeError('of b');
      return worker;
    });
    const outcomes = await queue.broadcast('here');
    expect(outcomes.map(valueOf).filter(Boolean).toSorted()).toEqual(['a', 'c']);
    const refused = outcomes.filter((each) => each.status === 'rejected').map((each) => each.reason as unknown);
    expect(refused).toEqual([expect.any(TaskFailedError)]);
    expect(await queue.dict.size()).toBe(3);
  });

  test('who takes a task by hand is no worker loop; a loop that has ended runs none', async () => {
    const name = fresh('queue');
    const queue = rig().client.tasks(name);
    const byHand = (await aClient(rig())).tasks(name);
    expect(await byHand.getNowait()).toBeUndefined();
    expect(await queue.broadcast('here')).toEqual([]);
    const loop = working(await aClient(rig(), 'a'), name, { here: () => 'ran' }, { name: 'a' });
    await until(async () => (await queue.broadcast('here')).length === 1);
    expect((await queue.broadcast('here')).map(valueOf)).toEqual(['ran']);
    await loop.stop();
    await until(async () => (await queue.broadcast('here')).length === 0);
  });

  test('a queue that was shut down refuses it', async () => {
    const name = fresh('queue');
    const queue = rig().client.tasks(name);
    const started = rig().client.queue<string>();
    const go = rig().client.event(fresh('event'));
    const [loop] = await loops(name, ['a'], async () => {
      await started.put('started');
      await go.wait();
      return 'ran';
    });
    const runs = queue.run('here');
    await started.get();
    await queue.shutdown();
    await expect(queue.broadcast('here')).rejects.toThrow(QueueShutdownError);
    await go.set();
    expect(await runs).toBe('ran');
    await loop?.ended;
  });
});

test('W1 a worker killed in the middle of a broadcast is lost, and all others have run it once', async () => {
  const rig = sharedRigOfTest;
  const name = fresh('queue');
  const queue = rig().client.tasks(name);
  const started = rig().client.queue<string>();
  const group = await aGroup(rig().client, { count: 3, queue: name }, module);
  const lost = once(group, 'workerLost');
  const outcomes = queue.broadcast('where', { started, hangs: 'worker-2' });
  const seen = [await started.get(), await started.get(), await started.get()];
  expect(seen.toSorted()).toEqual(['worker-1', 'worker-2', 'worker-3']);
  process.kill(group.workers().find((each) => each.name === 'worker-2')?.pid as number, 'SIGKILL');
  await lost;
  const ended = await outcomes;
  expect(ended.map(valueOf).filter(Boolean).toSorted()).toEqual(['worker-1', 'worker-3']);
  expect(ended.filter((each) => each.status === 'rejected').map((each) => each.reason as unknown)).toEqual([
    expect.any(WorkerLostError),
  ]);
  expect(await started.getNowait()).toBeUndefined();
});

const sharedRigOfTest = sharedRig('process');
