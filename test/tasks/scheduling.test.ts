/** Who runs what, and when: every rule through the whole product. How rules compose is tested at the queue's core. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  JobGraph,
  type LeasedTask,
  Manager,
  QueueShutdownError,
  startWorkers,
  type TakeOptions,
  TaskExpiredError,
  TimeoutError,
  type TaskQueueOptions,
  type TaskQueueProxy,
  UnknownTaskError,
} from 'quartermaster';
import { aClient, aGroup, aRig, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

type Queue = TaskQueueProxy<never>;

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place, { resources: { licence: 2 } });

  async function aQueue(options: TaskQueueOptions = {}) {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, options);
    const other = await aClient(rig(), 'other');
    return { name, queue, other, elsewhere: other.tasks(name) };
  }

  /** Takes all there is, and completes nothing. */
  async function takeAll(queue: Queue, options?: TakeOptions): Promise<LeasedTask[]> {
    const tasks: LeasedTask[] = [];
    for (let task = await queue.getNowait(options); task !== undefined; task = await queue.getNowait(options)) {
      tasks.push(task);
    }
    return tasks;
  }

  const inputs = (tasks: readonly LeasedTask[]): unknown[] => tasks.map(({ input }) => input);

  describe('who may', () => {
    test('tags: only a taker that has all of them', async () => {
      const { queue, elsewhere } = await aQueue();
      await queue.put('x', 'both', { tags: ['gpu', 'big'] });
      await queue.put('x', 'one', { tags: ['gpu'] });
      await queue.put('x', 'none');
      expect(inputs(await takeAll(elsewhere))).toEqual(['none']);
      expect(inputs(await takeAll(elsewhere, { tags: ['gpu'] }))).toEqual(['one']);
      expect(inputs(await takeAll(elsewhere, { tags: ['big', 'more', 'gpu'] }))).toEqual(['both']);
    });

    test('one who waits is given what it may run, though another who may not waits before it', async () => {
      const { queue, elsewhere, other } = await aQueue();
      const wait = new AbortController();
      const plain = elsewhere.get({ signal: wait.signal });
      await other.inspect.workers();
      const tagged = elsewhere.get({ tags: ['gpu'] });
      await other.inspect.workers();
      await queue.put('x', 1, { tags: ['gpu'] });
      expect((await tagged).input).toBe(1);
      wait.abort(new Error('enough'));
      await expect(plain).rejects.toThrow('enough');
    });

    test('worker: only the one of that name; its offers keep their names', async () => {
      const { queue, elsewhere, other } = await aQueue();
      await queue.put('x', 'for another', { worker: 'another' });
      await queue.put('x', 'for other', { worker: 'other' });
      // A client of an embedded manager has the manager's name.
      const name = { name: 'other' };
      expect(inputs(await takeAll(elsewhere, name))).toEqual(['for other']);
      expect(inputs(await takeAll(elsewhere, { name: 'another' }))).toEqual(['for another']);
      const names = (await other.inspect.workers()).filter(({ queue: of }) => of === elsewhere.name);
      expect(names.map((worker) => worker.name).toSorted()).toEqual(['another', 'other']);
    });

    test('resources of a taker: as many at once as fit in what it offers', async () => {
      const { queue, elsewhere } = await aQueue();
      for (const memory of [4, 5, 3, 20]) await queue.put('x', memory, { resources: { memory } });
      const offer = { resources: { memory: 8 } };
      const first = await takeAll(elsewhere, offer);
      expect(inputs(first)).toEqual([4, 3]);
      await first[0]?.complete();
      expect(inputs(await takeAll(elsewhere, offer))).toEqual([5]);
      expect(inputs(await takeAll(elsewhere, { resources: { memory: 20 } }))).toEqual([20]);
    });

    test('resources of the host: shared by all who take, from any queue', async () => {
      const { queue, elsewhere } = await aQueue();
      const second = await aQueue();
      for (let i = 0; i < 2; i++) await queue.put('x', i, { resources: { licence: 1 } });
      await second.queue.put('x', 2, { resources: { licence: 1 } });
      const held = await takeAll(elsewhere);
      expect(inputs(held)).toEqual([0, 1]);
      const waits = second.elsewhere.get();
      expect(await second.queue.getNowait()).toBeUndefined();
      await held[0]?.complete();
      const third = await waits;
      expect(third.input).toBe(2);
      await Promise.all([held[1]?.complete(), third.complete()]);
    });

    test('a task that nobody who is there could ever run is said so, and shown', async () => {
      const { name, queue, other, elsewhere } = await aQueue();
      expect(await elsewhere.getNowait()).toBeUndefined();
      const told = once(other, 'unrunnable') as Promise<unknown[]>;
      await queue.put('x', 1, { tags: ['tpu'], resources: { memory: 5 }, id: 'nowhere' });
      await queue.put('x', 2);
      expect(await told).toEqual([{ queue: name, tags: ['tpu'], worker: undefined, resources: { memory: 5 } }]);
      const shown = (await other.inspect.tasks({ unrunnable: true })).filter((task) => task.queue === name);
      expect(shown.map(({ id }) => id)).toEqual(['nowhere']);
      const task = await elsewhere.getNowait({ tags: ['tpu'], resources: { memory: 6 } });
      expect(task?.id).toBe('nowhere');
    });
  });

  describe('how many at once', () => {
    test('concurrency: of the whole queue', async () => {
      const { queue, elsewhere } = await aQueue({ concurrency: 2 });
      for (let i = 0; i < 3; i++) await queue.put('x', i);
      const held = await takeAll(elsewhere);
      expect(inputs(held)).toEqual([0, 1]);
      const waits = queue.get();
      await held[0]?.complete();
      expect((await waits).input).toBe(2);
    });

    test('keyConcurrency: of one key; others pass', async () => {
      const { queue, elsewhere } = await aQueue({ keyConcurrency: 1 });
      for (const key of ['a', 'a', 'b']) await queue.put('x', key, { key });
      await queue.put('x', 'none');
      const held = await takeAll(elsewhere);
      expect(inputs(held)).toEqual(['a', 'b', 'none']);
      await held[0]?.complete();
      expect(inputs(await takeAll(queue))).toEqual(['a']);
    });

    test('rateLimit: the rest comes when its time has come', async () => {
      const { queue, elsewhere } = await aQueue({ rateLimit: { max: 2, per: 200 } });
      for (let i = 0; i < 3; i++) await queue.put('x', i);
      const started = performance.now();
      for (let i = 0; i < 3; i++) expect((await elsewhere.get()).input).toBe(i);
      // Less than that would be no limit; more is the machine's business.
      expect(performance.now() - started).toBeGreaterThanOrEqual(99);
    });

    test('rateLimit: what is over it is not there yet', async () => {
      const { queue, elsewhere } = await aQueue({ rateLimit: { max: 2, per: 1e9 } });
      for (let i = 0; i < 3; i++) await queue.put('x', i);
      expect(inputs(await takeAll(elsewhere))).toEqual([0, 1]);
      expect(await queue.dict.counts()).toMatchObject({ leased: 2, ready: 1 });
    });
  });

  describe('in which order', () => {
    test('policy lifo, within a priority', async () => {
      const { queue, elsewhere } = await aQueue({ policy: 'lifo' });
      for (let i = 0; i < 3; i++) await queue.put('x', i);
      await queue.put('x', 'first', { priority: 1 });
      expect(inputs(await takeAll(elsewhere))).toEqual(['first', 2, 1, 0]);
    });

    test('groups share fairly, by their weights', async () => {
      const { queue, elsewhere } = await aQueue({ weights: { a: 2 } });
      for (let i = 0; i < 40; i++) await queue.put('x', 'a', { group: 'a' });
      for (let i = 0; i < 40; i++) await queue.put('x', 'b', { group: 'b' });
      const first = inputs(await takeAll(elsewhere)).slice(0, 30);
      expect(first.filter((group) => group === 'a')).toHaveLength(20);
    });

    test('policy critical-path: of the jobs of a graph the one with the longest chain behind it first', async () => {
      const { queue, elsewhere } = await aQueue({ policy: 'critical-path' });
      const graph = new JobGraph<Record<string, (input: unknown) => unknown>>();
      graph.add('x', 'short', { id: 'short' });
      let before = graph.add('x', 'long', { id: 'long' });
      for (const id of ['b', 'c']) before = graph.add('x', id, { id, after: [before] });
      graph.add('x', 'middle', { id: 'end', after: [graph.add('x', 'middle', { id: 'middle' })] });
      const run = queue.runGraph(graph);
      await queue.dict.size();
      expect(inputs(await takeAll(elsewhere))).toEqual(['long', 'middle', 'short']);
      await run.cancel();
    });

    test('setPriority: of what waits; not of what has ended', async () => {
      const { queue, elsewhere } = await aQueue();
      const [a, b] = [await queue.put('x', 'a'), await queue.put('x', 'b')];
      expect(await elsewhere.setPriority(b.id, 5)).toBe(true);
      const tasks = await takeAll(elsewhere);
      expect(inputs(tasks)).toEqual(['b', 'a']);
      await tasks[0]?.complete();
      expect(await queue.setPriority(b.id, 1)).toBe(false);
      expect((await b.record()).priority).toBe(5);
      await expect(queue.setPriority(a.id, Number.NaN)).rejects.toThrow('priority must be a number');
      await expect(queue.setPriority('nobody', 1)).rejects.toThrow(UnknownTaskError);
    });
  });

  describe('when', () => {
    test('delay and runAt: not before; delayed until then', async () => {
      const { queue, elsewhere } = await aQueue();
      const far = [
        await queue.put('x', 'long delay', { delay: 1e9 }),
        await queue.put('x', 'far runAt', { runAt: new Date(Date.now() + 1e9) }),
      ];
      await queue.put('x', 'past', { runAt: new Date(Date.now() - 10_000) });
      for (const handle of far) expect(await handle.state()).toBe('delayed');
      expect(inputs(await takeAll(elsewhere))).toEqual(['past']);
      const started = performance.now();
      const wall = Date.now();
      const delayed = await queue.put('x', 'delay', { delay: 100 });
      await queue.put('x', 'runAt', { runAt: new Date(wall + 200) });
      expect((await elsewhere.get()).input).toBe('delay');
      expect(performance.now() - started).toBeGreaterThanOrEqual(99);
      expect((await elsewhere.get()).input).toBe('runAt');
      expect(performance.now() - started).toBeGreaterThanOrEqual(150);
      const { history } = await delayed.record();
      expect(history.map(({ to }) => to)).toEqual(['delayed', 'ready', 'leased']);
    });

    test('expires: what nobody has started by then ends expired, and its error says so', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x', 1, { expires: 30 });
      const kept = await queue.put('x', 2, { expires: 60_000 });
      await expect(handle.result()).rejects.toThrow(TaskExpiredError);
      expect(await handle.record()).toMatchObject({ state: 'expired', error: { code: 'QM_TASK_EXPIRED' } });
      expect((await elsewhere.getNowait())?.id).toBe(kept.id);
    });

    test('Q7 backoff: delayed between attempts, and told in the history', async () => {
      const { queue, elsewhere } = await aQueue({ retries: 2, backoff: { base: 40, jitter: 'none' } });
      const later = await queue.put('x', 0, { backoff: { base: 3_600_000, jitter: 'none' } });
      await (await elsewhere.get()).fail(new Error('for an hour'));
      expect(await later.state()).toBe('delayed');
      expect(await elsewhere.getNowait()).toBeUndefined();
      const handle = await queue.put('x', 1);
      const started = performance.now();
      await (await elsewhere.get()).fail(new Error('first'));
      await (await elsewhere.get()).fail(new Error('second'));
      await (await elsewhere.get()).complete('third');
      expect(await handle.result()).toBe('third');
      // 40 and 80 ms.
      expect(performance.now() - started).toBeGreaterThanOrEqual(119);
      const { history } = await handle.record();
      expect(history.filter(({ to }) => to === 'delayed')).toHaveLength(2);
    });
  });

  describe('the whole queue', () => {
    test('pause and resume: nothing is given out meanwhile, also to who waits; puts and outcomes go on', async () => {
      const { queue, elsewhere } = await aQueue();
      await queue.put('x', 0);
      const running = await elsewhere.get();
      await queue.pause();
      const handle = await queue.put('x', 1);
      expect(await elsewhere.getNowait()).toBeUndefined();
      const waits = elsewhere.get();
      await running.complete();
      expect(await handle.state()).toBe('ready');
      await queue.resume();
      expect((await waits).id).toBe(handle.id);
    });

    test('join: resolves once nothing waits or runs, at once where that is so', async () => {
      const { queue, elsewhere } = await aQueue();
      await elsewhere.join();
      await queue.put('x', 1, { delay: 20 });
      const joined = elsewhere.join().then(() => 'joined');
      const task = await queue.get();
      expect(await Promise.race([joined, queue.dict.size()])).toBe(1);
      await task.complete();
      expect(await joined).toBe('joined');
      await queue.put('x', 2);
      await expect(queue.join({ timeout: 1 })).rejects.toThrow(TimeoutError);
    });

    test('Q1 Q2 shutdown: puts are refused, also those that wait; the rest is run; then whoever waits is refused', async () => {
      const { queue, elsewhere } = await aQueue({ maxSize: 1 });
      const first = await queue.put('x', 1);
      const parked = queue.put('x', 2);
      const late = parked.catch((error: unknown) => error);
      await queue.dict.size();
      await elsewhere.shutdown();
      expect(await late).toBeInstanceOf(QueueShutdownError);
      await expect(queue.put('x', 3)).rejects.toThrow(QueueShutdownError);
      await expect(queue.putNowait('x', 3)).rejects.toThrow(QueueShutdownError);
      const task = await elsewhere.get();
      const waits = elsewhere.get().catch((error: unknown) => error);
      await task.complete('done');
      expect(await first.result()).toBe('done');
      expect(await waits).toBeInstanceOf(QueueShutdownError);
      await expect(elsewhere.getNowait()).rejects.toThrow(QueueShutdownError);
      await expect(queue.put('x', 4)).rejects.toThrow(QueueShutdownError);
      await expect(queue.run('x', 4)).rejects.toThrow(QueueShutdownError);
      const graph = new JobGraph<never>();
      graph.add('x' as never, 1);
      await expect(queue.runGraph(graph).result()).rejects.toThrow(QueueShutdownError);
      await expect(queue.retry({ state: 'succeeded' })).rejects.toThrow(QueueShutdownError);
      expect(await queue.dict.counts()).toMatchObject({ succeeded: 1, ready: 0, leased: 0 });
    });

    test('shutdown({ immediate }): what has not started is cancelled; what runs ends', async () => {
      const { queue, elsewhere } = await aQueue();
      await queue.put('x', 0);
      const running = await elsewhere.get();
      const handles = [await queue.put('x', 1), await queue.put('x', 2, { delay: 60_000 })];
      await queue.shutdown({ immediate: true });
      for (const handle of handles) expect(await handle.state()).toBe('cancelled');
      const drained = queue.drain();
      await running.complete();
      await drained;
    });

    test('cancel and retry by filter say how many; the old outcome is history', async () => {
      const { queue, elsewhere } = await aQueue();
      for (const group of ['a', 'a', 'b']) await queue.put('x', group, { group, key: group });
      const running = await elsewhere.get();
      await running.fail(new Error('boom'));
      expect(await queue.cancel({ group: 'a' }, 'no more')).toBe(1);
      expect(await queue.cancel({ group: 'a' })).toBe(0);
      expect(await queue.cancel({ key: 'b', limit: 0 })).toBe(0);
      expect(await queue.retry({ state: ['failed', 'cancelled'] })).toBe(2);
      expect(await queue.dict.counts()).toMatchObject({ ready: 3, failed: 0, cancelled: 0 });
      const again = (await takeAll(elsewhere)).find(({ id }) => id === running.id);
      expect(again?.attempt).toBe(2);
      await again?.complete('now');
      const record = await queue.dict.get(running.id);
      expect(record).toMatchObject({ state: 'succeeded' });
      expect(record?.history.some(({ from, to }) => from === 'failed' && to !== 'failed')).toBe(true);
      expect(await queue.handle(running.id).result()).toBe('now');
      await expect(queue.retry('nobody')).rejects.toThrow(UnknownTaskError);
      await expect(queue.cancel({ names: 'x' } as object)).rejects.toThrow("no option 'names'");
    });
  });

  test('wrong options are refused at the caller, by name, and nothing is put', async () => {
    const { queue, elsewhere } = await aQueue();
    const put = (options: object): Promise<unknown> => queue.put('x', 1, options);
    for (const [options, why] of [
      [{ tags: 'gpu' }, 'tags must be a list'],
      [{ tags: [''] }, 'a tag must be a string that is not empty'],
      [{ resources: { memory: -1 } }, 'resources.memory must be'],
      [{ key: '' }, 'key must be'],
      [{ group: 5 }, 'group must be'],
      [{ delay: -1 }, 'delay must be'],
      [{ delay: 1, runAt: new Date() }, 'delay and runAt'],
      [{ runAt: new Date(Number.NaN) }, 'runAt must be a Date'],
      [{ expires: -1 }, 'expires must be'],
      [{ runTimeout: 0 }, 'runTimeout must be more than 0 ms, not 0'],
      [{ runTimeout: '5 s' }, 'runTimeout must be more than 0 ms, not 5 s'],
      [{ backoff: { base: 1, factr: 2 } }, "backoff has no option 'factr'"],
      [{ tag: ['x'] }, "no option 'tag'"],
    ] as const) {
      await expect(put(options)).rejects.toThrow(why);
    }
    await expect(elsewhere.getNowait({ tag: ['x'] } as TakeOptions)).rejects.toThrow("no option 'tag'");
    await queue.withLock(async (held) => {
      await expect(held.getNowait({ tags: ['x'] })).rejects.toThrow('withLock()');
    });
    expect(await queue.dict.size()).toBe(0);
  });
});

test('work() and startWorkers() offer tags and amounts; once the queue is shut down and empty, loops end', async () => {
  const rig = await aRig('socket');
  const name = fresh('queue');
  const queue = rig.client.tasks(name);
  const tagged = working(await aClient(rig), name, { echo: (input) => input }, { tags: ['a'], resources: { gpu: 1 } });
  const group = await aGroup(rig.client, { queue: name, count: 1, tags: ['b'], resources: { gpu: 2 } });
  const pids = [
    queue.run('echo', 'here', { tags: ['a'], resources: { gpu: 1 } }),
    queue.run('pid', undefined, { tags: ['b'], resources: { gpu: 2 } }),
    queue.run('pid', undefined, { worker: 'worker-1' }),
  ];
  const pid = group.workers()[0]?.pid;
  expect(await Promise.all(pids)).toEqual(['here', pid, pid]);
  group.on('workerLost', () => expect.unreachable('it has nothing to do, which is no end'));
  await queue.drain();
  await tagged.ended;
  await tagged.stop();
  expect(group.workers().map((worker) => worker.pid)).toEqual([pid]);
  await group.drain();
  await expect(startWorkers(rig.client, 'tasks.js', { tags: [''] })).rejects.toThrow('a tag must be');
});

test('a policy of one’s own, in the manager’s own process', async () => {
  await using manager = closing(
    new Manager({ queue: { policy: { compare: (a, b) => a.name.localeCompare(b.name) } } }),
  );
  const queue = manager.value.client().tasks();
  for (const name of ['c', 'a', 'b']) await queue.put(name);
  const names: string[] = [];
  for (let i = 0; i < 3; i++) names.push((await queue.get()).name);
  expect(names).toEqual(['a', 'b', 'c']);
  expect(() => new Manager({ resources: { gpu: -1 } })).toThrow('resources.gpu');
});

function closing<T extends { close(): Promise<void> }>(value: T): { value: T } & AsyncDisposable {
  return { value, [Symbol.asyncDispose]: () => value.close() };
}
