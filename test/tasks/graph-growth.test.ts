/** Runs that grow: what jobs put is part of their run, whatever becomes of the attempt that put it. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  DependencyFailedError,
  type GraphRun,
  type Handlers,
  type JobEvent,
  JobGraph,
  LeaseLostError,
  type RunGraphOptions,
  type RunProgress,
  TaskCancelledError,
  type TaskContext,
  TaskFailedError,
  type TaskQueueOptions,
} from 'quartermaster';
import { aClient, aGroup, fresh, places, sharedRig, type Started, working } from '../kit/tasks-rig.ts';

const module = new URL('../fixtures/children-tasks.mjs', import.meta.url);

async function endOf(run: GraphRun): Promise<Record<string, string>> {
  const states: Record<string, string> = {};
  for await (const { job, name, state } of run.events()) states[`${name} ${job}`] = state;
  return states;
}

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  /** A run of one job 'grow' with that input, and of 'after', which consumes it. */
  async function aRun(
    handlers: Handlers,
    options: RunGraphOptions & { queue?: TaskQueueOptions; input?: unknown; loop?: number } = {},
  ) {
    const { queue: queueOptions, input, loop: concurrency = 1, ...runOptions } = options;
    const name = fresh('queue');
    const queue = rig().client.tasks(name, queueOptions);
    working(
      await aClient(rig()),
      name,
      { after: ({ grown }: { grown: unknown }) => grown, ...handlers },
      { concurrency },
    );
    const graph = new JobGraph();
    const grown = graph.add('grow', input, { id: 'grow' });
    graph.add('after', { grown }, { id: 'after' });
    return { queue, run: queue.runGraph(graph, runOptions) };
  }

  test('fan-out over an array of unknown length, and fan-in: the job outputs what the last of them does', async () => {
    const { run } = await aRun(
      {
        async grow(input: number[], context: TaskContext) {
          const parts = await Promise.all(input.map((n) => context.put('square', n)));
          return context.put('sum', { parts });
        },
        square: (n: number) => n * n,
        sum: ({ parts }: { parts: number[] }) => parts.reduce((a, b) => a + b, 0),
      },
      { input: [1, 2, 3, 4], concurrency: 1 },
    );
    const events: JobEvent[] = [];
    for await (const event of run.events()) events.push(event);
    expect(await run.result()).toEqual({ after: 30 });
    const grown = new Set(events.filter(({ parent }) => parent === 'grow').map(({ name, job }) => `${name} ${job}`));
    expect([...grown].toSorted()).toEqual(['square t1.1', 'square t1.2', 'square t1.3', 'square t1.4', 'sum t1.5']);
    let last: RunProgress | undefined;
    for await (const progress of run.progress()) last = progress;
    expect(last).toEqual({ total: 7, done: 7, running: 0, failed: 0, skipped: 0 });
  });

  test('a run that is given a limit of one grows deep without waiting for itself', async () => {
    const grow = (n: number, context: TaskContext): unknown => (n === 0 ? 'deep' : context.put('grow', n - 1));
    const { run } = await aRun({ grow }, { input: 50, concurrency: 1 });
    expect(await run.result()).toEqual({ after: 'deep' });
  });

  test('the run ends when what its jobs have put has ended, awaited or not', async () => {
    const go = rig().client.event(fresh('event'));
    const { run } = await aRun(
      {
        grow: async (_input: unknown, context: TaskContext) => void (await context.put('late')),
        late: () => go.wait(),
      },
      { loop: 2 },
    );
    await run.output('after');
    const ended = run.result();
    await go.set();
    await ended;
    expect(await endOf(run)).toEqual({
      'grow grow': 'succeeded',
      'after after': 'succeeded',
      'late t1.1': 'succeeded',
    });
  });

  test('G7 a retried job does not double what it has put: what succeeded is there, what failed runs again', async () => {
    const ran: string[] = [];
    const { queue, run } = await aRun(
      {
        async grow(_input: unknown, context: TaskContext) {
          const handles = [await context.put('child', 'one'), await context.put('child', 'other')];
          return Promise.all(handles.map((handle) => handle.result()));
        },
        child(what: string) {
          ran.push(what);
          if (what === 'other' && ran.filter((each) => each === what).length === 1) throw new Error('once');
          return what;
        },
      },
      { queue: { retries: 0 } },
    );
    await expect(run.result()).rejects.toThrow(TaskFailedError);
    expect(await run.retryFailed()).toBe(3);
    expect(await run.result()).toEqual({ after: ['one', 'other'] });
    expect(ran.toSorted()).toEqual(['one', 'other', 'other']);
    expect(await queue.dict.size()).toBe(4);
  });

  test('G7 an attempt that failed and one that lost its lease: their puts are refused, the next one’s count', async () => {
    const refused = rig().client.queue<string>();
    const late = rig().client.event(fresh('event'));
    const { run, queue } = await aRun(
      {
        async grow(_input: unknown, context: TaskContext) {
          const child = await context.put('child', 'same');
          if (context.attempt === 1) {
            void late.wait().then(() => context.put('child', 'stale').catch((error: Error) => refused.put(error.name)));
            throw new Error('the first attempt');
          }
          return child;
        },
        child: (what: string) => what,
      },
      { queue: { retries: 1 } },
    );
    expect(await run.result()).toEqual({ after: 'same' });
    await late.set();
    expect(await refused.get()).toBe(LeaseLostError.name);
    expect(await queue.dict.size()).toBe(3);
  });

  test('G3 what fails of what a job has put is a failure of the run, by the run’s rule or its own', async () => {
    const handlers: Handlers = {
      async grow(onFailure: 'skip' | 'fail' | 'ignore' | undefined, context: TaskContext) {
        const bad = await context.put('bad', undefined, { onFailure });
        const below = await context.put('below', undefined, { after: [bad] });
        return below.result().catch((error: Error) => error.name);
      },
      bad: () => Promise.reject(new RangeError('bad')),
      below: () => 'ran',
    };
    const ignored = await aRun(handlers, { input: 'ignore' });
    expect(await ignored.run.result()).toEqual({ after: 'ran' });
    const skipped = await aRun(handlers);
    await expect(skipped.run.result()).rejects.toMatchObject({ cause: expect.any(RangeError) as unknown });
    expect(await skipped.run.output('after')).toBe(DependencyFailedError.name);
    for (const stopped of [await aRun(handlers, { onFailure: 'stop' }), await aRun(handlers, { input: 'fail' })]) {
      await expect(stopped.run.result()).rejects.toMatchObject({ cause: expect.any(RangeError) as unknown });
      expect(await endOf(stopped.run)).toMatchObject({ 'bad t1.1': 'failed', 'after after': 'skipped' });
    }
  });

  test('G3 what is put into a run that has stopped is skipped', async () => {
    const go = rig().client.event(fresh('event'));
    const name = fresh('queue');
    const queue = rig().client.tasks(name);
    const handlers: Handlers = {
      async grow(_input: unknown, context: TaskContext) {
        await go.wait();
        return (await context.put('child')).result().catch((error: Error) => error.message);
      },
      child: () => 'ran',
      fails: () => Promise.reject(new Error('stop')),
    };
    working(await aClient(rig()), name, handlers, { concurrency: 2 });
    const graph = new JobGraph();
    graph.add('grow', undefined, { id: 'grow' });
    graph.add('fails', undefined, { id: 'fails', onFailure: 'fail' });
    const run = queue.runGraph(graph);
    await expect(run.output('fails')).rejects.toThrow(TaskFailedError);
    await go.set();
    expect(await run.output('grow')).toBe(`task 't1.1' was skipped: its run stopped when '${run.id}/fails' failed`);
    expect(await endOf(run)).toEqual({ 'grow grow': 'succeeded', 'fails fails': 'failed', 'child t1.1': 'skipped' });
  });

  test('cancel of a run, and of a job, takes what its jobs have put', async () => {
    for (const what of ['run', 'job']) {
      const started = rig().client.queue<string>();
      const { queue, run } = await aRun({
        async grow(_input: unknown, context: TaskContext) {
          await (await context.put('grow2')).result();
        },
        async grow2(_input: unknown, context: TaskContext) {
          const child = await context.put('child', undefined, { delay: 1e9 });
          await started.put(child.id);
          await child.result();
        },
      });
      await started.get();
      if (what === 'run') await run.cancel();
      else await queue.handle(`${run.id}/grow`).cancel();
      await expect(run.result()).rejects.toThrow(TaskCancelledError);
      const end = await endOf(run);
      expect(end).toMatchObject({ 'grow grow': 'cancelled', 'grow2 t1.1': 'cancelled' });
      expect(Object.entries(end).find(([job]) => job.startsWith('child'))?.[1]).toBe('cancelled');
    }
  });

  test('onFailure of what is put outside of a run is refused', async () => {
    const name = fresh('queue');
    working(await aClient(rig()), name, {
      parent: (_input: unknown, context: TaskContext) => context.put('child', undefined, { onFailure: 'ignore' }),
      child: () => {},
    });
    const error = await rig()
      .client.tasks(name)
      .run('parent')
      .catch((reason: unknown) => reason);
    expect((error as Error).cause).toMatchObject({ message: expect.stringContaining('is part of no run') as string });
  });
});

describe('processes', () => {
  const rig = sharedRig('process');

  test('W1 G7 a job killed while its child runs elsewhere: one child in the run, whose output the next attempt has', async () => {
    const { client } = rig();
    const name = fresh('queue');
    const started = client.queue<Started>();
    const go = client.event(fresh('event'));
    const parents = await aGroup(client, { count: 1, queue: name, tags: ['parents'] }, module);
    await aGroup(client, { count: 1, queue: name, tags: ['children'] }, module);
    const lost = once(parents, 'workerLost');
    const graph = new JobGraph();
    graph.add('parent', { started, go, tags: ['children'] }, { id: 'parent', tags: ['parents'] });
    const run = client.tasks(name).runGraph(graph);
    const child = await started.get();
    const { pid } = await client.tasks(name).handle(`${run.id}/parent`).record();
    process.kill(pid as number, 'SIGKILL');
    await lost;
    await go.set();
    expect(await run.result()).toEqual({ parent: { attempt: 2, output: child.id } });
    expect(await started.getNowait()).toBeUndefined();
    expect(await endOf(run)).toEqual({ 'parent parent': 'succeeded', 'child t1.1': 'succeeded' });
  });
});
