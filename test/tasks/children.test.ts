/** Tasks that put tasks: their ids, their parents' attempts, and the slots that parents lend while they wait. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  DeadlockError,
  DuplicateTaskError,
  LeaseLostError,
  TaskCancelledError,
  type TaskContext,
  TaskFailedError,
  type TaskHandle,
  type TaskQueueOptions,
  WorkerLostError,
} from 'quartermaster';
import { aClient, aGroup, fresh, places, sharedRig, type Started, working } from '../kit/tasks-rig.ts';

const module = new URL('../fixtures/children-tasks.mjs', import.meta.url);

async function fib(n: number, context: TaskContext): Promise<number> {
  if (n < 2) return n;
  const [one, other] = await Promise.all([context.put<number>('fib', n - 1), context.put<number>('fib', n - 2)]);
  return (await one.result()) + (await other.result());
}

async function deep(n: number, context: TaskContext): Promise<number> {
  return n === 0 ? 0 : 1 + (await (await context.put<number>('deep', n - 1)).result());
}

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options?: TaskQueueOptions) {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name, options) };
  }

  test('recursion on one worker of one task at a time ends, fifty deep as well', async () => {
    const { name, other, queue } = await aQueue({ concurrency: 1 });
    let running = 0;
    let most = 0;
    working(other, name, {
      fib,
      deep,
      leaf: () => running,
      async counted(n: number, context: TaskContext): Promise<number> {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (n === 0) return 1;
        const children = await Promise.all([1, 2, 3].map(() => context.put<number>('counted', n - 1)));
        const sums = await Promise.all(children.map((child) => child.result()));
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        return 1 + sums.reduce((a, b) => a + b);
      },
    });
    expect(await queue.run('fib', 9)).toBe(34);
    expect(await queue.run('deep', 50)).toBe(50);
    expect(await queue.run('counted', 3)).toBe(40);
    // Not more than the slot, and a parent that goes on while its last other child has the slot of the queue.
    expect(most).toBeLessThanOrEqual(2);
    expect(await queue.dict.counts()).toMatchObject({ leased: 0, ready: 0, failed: 0 });
  });

  test('whoever waits for a task through context.client lends its slot, too: result, run, map, graphs', async () => {
    const { name, other, queue } = await aQueue({ concurrency: 1 });
    working(other, name, {
      double: (n: number) => 2 * n,
      async parent(_input: unknown, { client }: TaskContext) {
        const own = client.tasks(name);
        const handle = await own.put('double', 1);
        const mapped = await own.map('double', [3, 4]).toArray();
        return [await handle.result(), await own.run('double', 2), ...mapped];
      },
    });
    expect(await queue.run('parent')).toEqual([2, 4, 6, 8]);
  });

  test('a child has an id that follows from its parent, and its record names the parent', async () => {
    const { name, other, queue } = await aQueue();
    working(other, name, {
      echo: (input: unknown) => input,
      async parent(_input: unknown, context: TaskContext) {
        const handles = [await context.put('echo', 1), await context.put('echo', 2), await context.put('echo', 3, { id: 'own' })]; // prettier-ignore
        await Promise.all(handles.map((handle) => handle.result()));
        return handles.map(({ id }) => id);
      },
    });
    const parent = await queue.put('parent', undefined, { id: 'a parent' });
    expect(await parent.result()).toEqual(['t1.1', 't1.2', 'own']);
    for (const id of ['t1.1', 't1.2', 'own']) expect(await queue.dict.get(id)).toMatchObject({ parent: 'a parent' });
    expect(await parent.record()).not.toHaveProperty('parent');
    await expect(queue.put('echo', 1, { id: 't1.1' })).rejects.toThrow(RangeError);
  });

  test('a handle that a handler returns is its output', async () => {
    const { name, other, queue } = await aQueue({ concurrency: 1 });
    working(other, name, {
      echo: (input: unknown) => input,
      grow: (n: number, context: TaskContext): Promise<TaskHandle> =>
        n === 0 ? context.put('echo', 'grown') : context.put('grow', n - 1),
      fail: () => Promise.reject(new RangeError('of the child')),
      growBadly: (_input: unknown, context: TaskContext) => context.put('fail'),
    });
    expect(await queue.run('grow', 3)).toBe('grown');
    await expect(queue.run('growBadly')).rejects.toThrow(TaskFailedError);
  });

  test('G7 another attempt gets the children that are there; those that did not succeed run anew', async () => {
    const { name, other, queue } = await aQueue();
    const ran: string[] = [];
    working(other, name, {
      child: (what: string) => {
        ran.push(what);
        if (what === 'fails once' && ran.filter((each) => each === what).length === 1) throw new Error('once');
        return what;
      },
      async parent(_input: unknown, context: TaskContext) {
        const handles = [await context.put('child', 'succeeds'), await context.put('child', 'fails once')];
        return Promise.all(handles.map((handle) => handle.result()));
      },
    });
    expect(await queue.run('parent', undefined, { retries: 1 })).toEqual(['succeeds', 'fails once']);
    expect(ran.toSorted()).toEqual(['fails once', 'fails once', 'succeeds']);
    expect(await queue.dict.size()).toBe(3);
  });

  test('G7 records of children stay while their parent may put them again, whatever keepRecords says', async () => {
    const { name, other, queue } = await aQueue({ keepRecords: { count: 0 }, retries: 1 });
    let ran = 0;
    working(other, name, {
      child: () => ++ran,
      async parent(_input: unknown, context: TaskContext) {
        const output = await (await context.put<number>('child')).result();
        if (context.attempt === 1) throw new Error('the first attempt');
        return output;
      },
    });
    expect(await queue.run('parent')).toBe(1);
    expect(await queue.dict.size()).toBe(0);
  });

  test('G7 another attempt that puts something else in the place of a child is refused', async () => {
    const { name, other, queue } = await aQueue({ retries: 1 });
    working(other, name, {
      child: () => {},
      async parent(_input: unknown, context: TaskContext) {
        await (await context.put('child', context.attempt)).result();
        throw new Error('of the parent');
      },
    });
    await expect(queue.run('parent')).rejects.toMatchObject({ cause: expect.any(DuplicateTaskError) as unknown });
  });

  test('G7 an attempt that has lost its lease puts nothing more; its children go on', async () => {
    const { name, other, queue } = await aQueue();
    const refusals = rig().client.queue<string>();
    const cancelled = rig().client.event(fresh('event'));
    const started = rig().client.queue<string>();
    working(other, name, {
      child: (input: unknown) => input,
      async parent(_input: unknown, context: TaskContext) {
        const { signal } = context;
        const child = await context.put('child', 'goes on', { delay: 1 });
        await started.put(child.id);
        if (!signal.aborted) await once(signal, 'abort');
        await cancelled.wait();
        await context.put('child').catch((error: Error) => refusals.put(error.name));
        await child.result();
      },
    });
    const parent = await queue.put('parent');
    const id = await started.get();
    expect(await parent.cancel()).toBe(true);
    await cancelled.set();
    await expect(parent.result()).rejects.toThrow(TaskCancelledError);
    expect(await refusals.get()).toBe(LeaseLostError.name);
    expect(await queue.handle(id).result()).toBe('goes on');
    expect(await queue.dict.size()).toBe(2);
  });

  test('a child that fails rejects its parent’s wait; a parent that is cancelled while it waits gives its slot up', async () => {
    const { name, other, queue } = await aQueue({ concurrency: 1 });
    const started = rig().client.queue<string>();
    const go = rig().client.queue<string>();
    working(other, name, {
      fail: () => Promise.reject(new RangeError('of the child')),
      async catches(_input: unknown, context: TaskContext) {
        const error = (await (await context.put('fail')).result().catch((reason: unknown) => reason)) as Error;
        return [error.name, (error.cause as Error).name];
      },
      async waits() {
        await started.put('started');
        return go.get();
      },
      async parent(_input: unknown, context: TaskContext) {
        await (await context.put('waits')).result();
      },
      echo: (input: unknown) => input,
    });
    expect(await queue.run('catches')).toEqual(['TaskFailedError', 'RangeError']);
    const parent = await queue.put('parent');
    await started.get();
    await parent.cancel();
    await go.put('on');
    expect(await queue.run('echo', 1)).toBe(1);
    expect(await queue.dict.counts()).toMatchObject({ leased: 0, cancelled: 1 });
  });

  test('L8 a child that needs the key its parent holds is refused at its put', async () => {
    const { name, other, queue } = await aQueue({ keyConcurrency: 1 });
    working(other, name, {
      child: () => 'ran',
      async parent(_input: unknown, context: TaskContext) {
        const error = await context.put('child', undefined, { key: 'k' }).catch((reason: unknown) => reason);
        const free = await context.put('child', undefined, { key: 'another' });
        return [error instanceof DeadlockError, await free.result()];
      },
    });
    expect(await queue.run('parent', undefined, { key: 'k' })).toEqual([true, 'ran']);
    expect(await queue.dict.size()).toBe(2);
  });

  test('puts of children that wait for room lend, so that somebody makes some', async () => {
    const { name, other, queue } = await aQueue({ maxSize: 1 });
    working(other, name, {
      child: (n: number) => n,
      async parent(_input: unknown, context: TaskContext) {
        const handles = await Promise.all([1, 2, 3].map((n) => context.put<number>('child', n)));
        return Promise.all(handles.map((handle) => handle.result()));
      },
    });
    expect(await queue.run('parent')).toEqual([1, 2, 3]);
  });

  test('what a parent holds of a lock is not the child’s that runs in its slot', async () => {
    const { name, other, queue } = await aQueue();
    const lock = fresh('lock');
    working(other, name, {
      child: async (_input: unknown, { client }: TaskContext) => (await client.rlock(lock).tryAcquire()) === undefined,
      parent: (_input: unknown, context: TaskContext) =>
        context.client.rlock(lock).runExclusive(async () => (await context.put('child')).result()),
    });
    expect(await queue.run('parent')).toBe(true);
  });

  test('a loop that is told to end while its task waits for a child runs the child', async () => {
    const { name, other, queue } = await aQueue();
    const started = rig().client.queue<string>();
    const go = rig().client.event(fresh('event'));
    const loop = working(other, name, {
      child: (n: number) => n,
      async parent(_input: unknown, context: TaskContext) {
        await started.put('started');
        await go.wait();
        return (await context.put('child', 1)).result();
      },
    });
    const parent = await queue.put('parent');
    await started.get();
    const stopped = loop.stop();
    await go.set();
    expect(await parent.result()).toBe(1);
    await stopped;
  });
});

describe('processes', () => {
  const rig = sharedRig('process');

  async function aQueue(options?: TaskQueueOptions) {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, options);
    return { name, queue, started: rig().client.queue<Started>() };
  }

  test('recursion by one worker process', async () => {
    const { name, queue } = await aQueue();
    await aGroup(rig().client, { count: 1, queue: name }, module);
    expect(await queue.run('fib', 8)).toBe(21);
    expect(await queue.run('deep', 50)).toBe(50);
  });

  test('W1 G7 a parent killed while its child runs elsewhere: one child, whose output the next attempt has', async () => {
    const { name, queue, started } = await aQueue();
    const go = rig().client.event(fresh('event'));
    const parents = await aGroup(rig().client, { count: 1, queue: name, tags: ['parents'] }, module);
    await aGroup(rig().client, { count: 1, queue: name, tags: ['children'] }, module);
    const lost = once(parents, 'workerLost');
    const input = { started, go, tags: ['children'] };
    const parent = await queue.put('parent', input, { tags: ['parents'] });
    const child = await started.get();
    const { pid } = await parent.record();
    process.kill(pid as number, 'SIGKILL');
    await lost;
    await go.set();
    expect(await parent.result()).toEqual({ attempt: 2, output: child.id });
    expect(await started.getNowait()).toBeUndefined();
    expect(await queue.dict.size()).toBe(2);
  });

  test('Q6 a child that kills its worker again and again is to blame, and not the parent that waits beside it', async () => {
    const { name, queue } = await aQueue({ poisonAfter: 3 });
    await aGroup(rig().client, { count: 1, queue: name, logs: 'ignore' }, module);
    const parent = await queue.put('survives');
    expect(await parent.result()).toEqual({ error: WorkerLostError.name, attempt: 4 });
    expect(await queue.dict.counts()).toMatchObject({ failed: 1, succeeded: 1 });
  });
});
