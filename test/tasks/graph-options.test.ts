/** Jobs of graphs take the options of puts: each beside what a job comes after, over the whole product. */
import { describe, expect, test } from 'vitest';
import {
  type JobOptions,
  JobGraph,
  type LeasedTask,
  type TakeOptions,
  TaskExpiredError,
  type TaskQueueOptions,
} from 'quartermaster';
import { aClient, fresh, places, sharedRig } from '../kit/tasks-rig.ts';

type Echo = Record<string, (input: unknown) => unknown>;

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place, { resources: { licence: 1 } });

  async function aQueue(options: TaskQueueOptions = {}) {
    const queue = rig().client.tasks<Echo>(fresh('queue'), options);
    const elsewhere = (await aClient(rig())).tasks<Echo>(queue.name);
    return { queue, elsewhere };
  }

  /** Root, and jobs after it, in one run: by id, what each asks for. */
  async function aRun(
    { queue, elsewhere }: Awaited<ReturnType<typeof aQueue>>,
    jobs: Readonly<Record<string, JobOptions>>,
  ) {
    const graph = new JobGraph<Echo>();
    const root = graph.add('x', 'root', { id: 'root', tags: ['root'] });
    for (const [id, options] of Object.entries(jobs)) graph.add('x', id, { after: [root], ...options, id });
    const run = queue.runGraph(graph, { id: fresh('run') });
    const first = await elsewhere.get({ tags: ['root'] });
    /** What may be taken now. */
    const free = async (options?: TakeOptions): Promise<LeasedTask[]> => {
      const tasks: LeasedTask[] = [];
      for (let task = await elsewhere.getNowait(options); task; task = await elsewhere.getNowait(options)) {
        tasks.push(task);
      }
      return tasks;
    };
    const record = (id: string) => queue.handle(`${run.id}/${id}`).record();
    return { run, root: first, free, record };
  }

  const inputs = (tasks: readonly LeasedTask[]): unknown[] => tasks.map(({ input }) => input);

  test('tags and worker: a job that is ready waits for one who has them', async () => {
    const { root, free } = await aRun(await aQueue(), { tagged: { tags: ['gpu'] }, named: { worker: 'this one' } });
    const offer = { tags: ['gpu'], name: 'this one' };
    expect(await free(offer)).toEqual([]);
    await root.complete();
    expect(await free()).toEqual([]);
    expect(inputs(await free({ tags: ['gpu'] }))).toEqual(['tagged']);
    expect(inputs(await free(offer))).toEqual(['named']);
  });

  test('resources: of the host, and of a worker’s own', async () => {
    const licence = { resources: { licence: 1 } };
    const { root, free } = await aRun(await aQueue(), { a: licence, b: licence, c: { resources: { memory: 9 } } });
    await root.complete();
    const [a, ...none] = await free();
    expect([a?.input, none]).toEqual(['a', []]);
    expect(inputs(await free({ resources: { memory: 10 } }))).toEqual(['c']);
    await a?.complete();
    const [b] = await free();
    expect(b?.input).toBe('b');
    await b?.complete();
  });

  test('key: no more at once than keyConcurrency, whatever they come after', async () => {
    const { root, free } = await aRun(await aQueue({ keyConcurrency: 1 }), { a: { key: 'k' }, b: { key: 'k' }, c: {} });
    await root.complete();
    const [a, c, ...none] = await free();
    expect([a?.input, c?.input, none]).toEqual(['a', 'c', []]);
    await a?.complete();
    expect(inputs(await free())).toEqual(['b']);
  });

  test('group and priority: shares among what is ready, the highest first in each', async () => {
    const { root, free } = await aRun(await aQueue(), {
      a1: { group: 'a' },
      a2: { group: 'a', priority: 1 },
      b1: { group: 'b' },
      b2: { group: 'b' },
    });
    await root.complete();
    expect(inputs(await free())).toEqual(['a2', 'b1', 'a1', 'b2']);
  });

  test('the queue’s rate counts jobs as it counts tasks', async () => {
    const { root, free } = await aRun(await aQueue({ rateLimit: { max: 2, per: 1e9 } }), { a: {}, b: {} });
    await root.complete();
    expect(inputs(await free())).toEqual(['a']);
    expect(await free()).toEqual([]);
  });

  test('delay counts from the submission: over by the time that what it comes after has ended, or still on', async () => {
    const both = await aQueue();
    const { root, free, record } = await aRun(both, { soon: { delay: 1 }, late: { delay: 1e9 } });
    // Its own clock says when the millisecond is over.
    const other = await both.queue.put('x', 'other', { delay: 1 });
    expect((await both.elsewhere.get()).id).toBe(other.id);
    await root.complete();
    expect(inputs(await free())).toEqual(['soon']);
    expect(await record('late')).toMatchObject({ state: 'delayed' });
    expect((await record('late')).history.map(({ to }) => to)).toEqual(['blocked', 'delayed']);
  });

  test('runAt: not before, though all that it comes after has ended', async () => {
    const future = new Date(Date.now() + 1e9);
    const { root, free, record } = await aRun(await aQueue(), {
      future: { runAt: future },
      past: { runAt: new Date(0) },
    });
    await root.complete();
    expect(inputs(await free())).toEqual(['past']);
    expect(await record('future')).toMatchObject({ state: 'delayed' });
  });

  test('expires counts from the submission, also while it is blocked; the run’s error is that job’s', async () => {
    const both = await aQueue();
    const { run, root, free, record } = await aRun(both, { gone: { expires: 20 }, kept: { expires: 1e9 } });
    await expect(both.queue.handle(`${run.id}/gone`).result()).rejects.toThrow(TaskExpiredError);
    expect((await record('gone')).history.map(({ to }) => to)).toEqual(['blocked', 'expired']);
    await root.complete();
    for (const task of await free()) await task.complete();
    await expect(run.result()).rejects.toThrow(TaskExpiredError);
  });

  test('backoff and retries: a job waits between its attempts', async () => {
    const { root, free, record } = await aRun(await aQueue(), {
      a: { retries: 1, backoff: { base: 1e9, jitter: 'none' } },
    });
    await root.complete();
    const [a] = await free();
    await a?.fail(new Error('first'));
    expect(await record('a')).toMatchObject({ state: 'delayed', attempt: 1 });
  });
});
