/** Which job of a graph goes first: the one with the longest way to the end, by what earlier runs have shown. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { JobGraph, type TaskQueueOptions } from 'quartermaster';
import { aClient, aFolder, fresh, sharedRig } from '../kit/tasks-rig.ts';

/** What takes long, told by a clock that has to move on: ms. */
const LONG = 25;

describe('order', () => {
  const rig = sharedRig('embedded');

  async function aQueue(options?: TaskQueueOptions) {
    const queue = rig().client.tasks(fresh('queue'), options);
    const elsewhere = (await aClient(rig())).tasks(queue.name);
    return { queue, elsewhere };
  }

  type Queue = Awaited<ReturnType<typeof aQueue>>['elsewhere'];

  /**
   * Takes and ends all, one after the other; those named so long after they were taken, and after longer than all before
   * them took together. In which order.
   */
  async function drain(elsewhere: Queue, slow: readonly string[] = []): Promise<string[]> {
    const order: string[] = [];
    const begun = performance.now();
    for (let task = await elsewhere.getNowait(); task; task = await elsewhere.getNowait()) {
      const job = task.id.split('/').at(-1) as string;
      order.push(job);
      const now = performance.now();
      const until = now + LONG + (now - begun);
      while (slow.includes(job) && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
      await task.complete();
    }
    return order;
  }

  /** short ─▶ end, long ─▶ tail, lone. */
  function aGraph(): JobGraph {
    const graph = new JobGraph();
    graph.add('x', undefined, { id: 'lone' });
    const short = graph.add('x', undefined, { id: 'short' });
    const long = graph.add('x', undefined, { id: 'long' });
    graph.add('x', undefined, { id: 'end', after: [short] });
    graph.add('x', undefined, { id: 'tail', after: [long] });
    return graph;
  }

  test('without any run before, the longest chain first; ties in order', async () => {
    const { queue, elsewhere } = await aQueue();
    queue.runGraph(aGraph());
    expect(await drain(elsewhere)).toEqual(['short', 'long', 'lone', 'end', 'tail']);
  });

  test('with one before, by how long its jobs took', async () => {
    const { queue, elsewhere } = await aQueue();
    const run = queue.runGraph(aGraph());
    await drain(elsewhere, ['tail']);
    await run.result();
    queue.runGraph(aGraph());
    expect((await drain(elsewhere)).slice(0, 2)).toEqual(['long', 'tail']);
  });

  test('runs and tasks keep their order among each other; priority goes before all', async () => {
    const { queue, elsewhere } = await aQueue();
    const before = await queue.put('x', undefined, { id: 'before' });
    queue.runGraph(aGraph());
    await queue.put('x', undefined, { id: 'between' });
    queue.runGraph(aGraph());
    await queue.put('x', undefined, { id: 'first', priority: 1 });
    const graph = ['short', 'long', 'lone', 'end', 'tail'];
    expect(await drain(elsewhere)).toEqual(['first', before.id, ...graph, 'between', ...graph]);
  });

  test.each<[policy: TaskQueueOptions['policy'], order: string[]]>([
    ['lifo', ['long', 'tail', 'short', 'end', 'lone']],
    ['critical-path', ['short', 'long', 'lone', 'end', 'tail']],
    ['fair', ['short', 'long', 'lone', 'end', 'tail']],
  ])('under the policy %s', async (policy, order) => {
    const { queue, elsewhere } = await aQueue({ policy });
    queue.runGraph(aGraph());
    expect(await drain(elsewhere)).toEqual(order);
  });

  test('durations: a file that a run leaves behind orders the next one, of a new manager too', async () => {
    const file = path.join(aFolder(), 'graph.durations.json');
    const { queue, elsewhere } = await aQueue();
    const run = queue.runGraph(aGraph(), { durations: file });
    await drain(elsewhere, ['lone']);
    await run.result();
    const { version, jobs, handlers } = JSON.parse(readFileSync(file, 'utf8')) as Record<
      string,
      Record<string, number>
    >;
    expect(version).toBe(1);
    expect(Object.keys(jobs!).toSorted()).toEqual(['x end', 'x lone', 'x long', 'x short', 'x tail']);
    expect(jobs!['x lone']).toBeGreaterThanOrEqual(LONG - 1);
    expect(Object.keys(handlers!)).toEqual(['x']);

    const known = { 'x lone': 1e6, 'x long': 10, 'x short': 50, 'x end': 1, 'x tail': 1 };
    writeFileSync(file, JSON.stringify({ version: 1, jobs: known, handlers: { x: 1 } }));
    const next = await aQueue();
    const second = next.queue.runGraph(aGraph(), { durations: pathToFileURL(file) });
    expect(await drain(next.elsewhere)).toEqual(['lone', 'short', 'long', 'end', 'tail']);
    await second.result();
    const learned = JSON.parse(readFileSync(file, 'utf8')) as { jobs: Record<string, number> };
    expect(learned.jobs['x lone']).toBeLessThan(1e6);
  });

  test('durations: what failed teaches nothing; a file that is broken or another one is refused, and nothing is queued', async () => {
    const folder = aFolder();
    const file = path.join(folder, 'none.json');
    const { queue, elsewhere } = await aQueue();
    const graph = new JobGraph();
    graph.add('x');
    const run = queue.runGraph(graph, { durations: file });
    await (await elsewhere.get()).fail(new Error('no'));
    await expect(run.result()).rejects.toThrow('no');
    expect(existsSync(file)).toBe(false);
    const before = await queue.dict.size();
    for (const text of ['{', '{"version":1,"jobs":{"x a":-1},"handlers":{}}']) {
      writeFileSync(file, text);
      expect(() => queue.runGraph(aGraph(), { durations: file })).toThrow(`${file} does not hold durations (`);
    }
    expect(() => queue.runGraph(aGraph(), { durations: folder })).toThrow('EISDIR');
    expect(() => queue.runGraph(aGraph(), { durations: '' })).toThrow('not an empty string');
    expect(await queue.dict.size()).toBe(before);
  });
});
