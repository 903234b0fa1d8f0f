/** Large graphs over the whole product: a hub with 100,000 dependents, a chain of 100,000, a million jobs checked. */
import { expect, test } from 'vitest';
import {
  CycleError,
  JobGraph,
  type JobRef,
  type RunProgress,
  TaskFailedError,
  TaskCancelledError,
} from 'quartermaster';
import { aClient, fresh, sharedRig, working } from '../kit/tasks-rig.ts';

const SIZE = 100_000;
const timeout = 600_000;

const rig = sharedRig('embedded');

async function aQueue() {
  const name = fresh('queue');
  const other = await aClient(rig());
  return { name, other, queue: rig().client.tasks(name) };
}

function aChain(): JobGraph {
  const graph = new JobGraph();
  let last: JobRef = graph.add('x', undefined, { id: 'first' });
  for (let at = 1; at < SIZE; at++) last = graph.add('x', last);
  return graph;
}

function aHub(): JobGraph {
  const graph = new JobGraph();
  const hub = graph.add('x', undefined, { id: 'first' });
  const spokes = Array.from({ length: SIZE }, () => graph.add('x', hub));
  graph.add('count', undefined, { id: 'join', after: spokes });
  return graph;
}

async function lastOf(progress: AsyncIterable<RunProgress>): Promise<RunProgress | undefined> {
  let last: RunProgress | undefined;
  for await (const each of progress) last = each;
  return last;
}

test.each([
  ['a chain of 100,000', aChain, SIZE],
  ['a hub with 100,000 dependents', aHub, SIZE + 2],
] as const)(
  'G5 %s: one failure skips all after it, retried and cancelled as a whole',
  { timeout },
  async (_what, make, size) => {
    const { name, other, queue } = await aQueue();
    const run = queue.runGraph(make());
    const elsewhere = other.tasks(name);
    await (await elsewhere.get()).fail(new Error('the first'));
    await expect(run.result()).rejects.toThrow(TaskFailedError);
    expect(await queue.dict.counts()).toMatchObject({ failed: 1, skipped: size - 1 });
    expect(await run.retryFailed()).toBe(size);
    expect(await queue.dict.counts()).toMatchObject({ ready: 1, blocked: size - 1 });
    await run.cancel();
    await expect(run.result()).rejects.toThrow(TaskCancelledError);
    expect(await queue.dict.counts()).toMatchObject({ cancelled: size });
    await run.close();
  },
);

test('G5 a hub with 100,000 dependents and a join of them runs', { timeout }, async () => {
  const { name, other, queue } = await aQueue();
  let ran = 0;
  working(other, name, { x: () => void ran++, count: () => ran });
  const run = queue.runGraph(aHub());
  expect(await run.output('join')).toBe(SIZE + 1);
  expect(await lastOf(run.progress())).toMatchObject({ total: SIZE + 2, done: SIZE + 2, failed: 0 });
  await run.close();
});

test('G4 a million jobs are checked before anything runs; one cycle among them is found', { timeout }, () => {
  const graph = new JobGraph();
  const refs: JobRef[] = [];
  for (let at = 0; at < 1_000_000; at++) {
    const before = refs[Math.floor(at / 2)];
    refs.push(graph.add('x', before === undefined ? at : { before }));
  }
  graph.validate();
  graph.add('x', undefined, { id: 'one', after: ['other'] });
  graph.add('x', refs.at(-1), { id: 'other', after: ['one'] });
  const { queue } = { queue: rig().client.tasks(fresh('queue')) };
  expect(() => queue.runGraph(graph)).toThrow(CycleError);
});
