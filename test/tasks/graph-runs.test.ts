/** What becomes of a run of a job graph: failures and their rules, cancelling, retries, limits, and what is kept. */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  DependencyFailedError,
  DuplicateTaskError,
  type GraphRun,
  type JobEvent,
  JobGraph,
  type JobOptions,
  type JobRef,
  type LeasedTask,
  type RunGraphOptions,
  type RunProgress,
  TaskCancelledError,
  TaskFailedError,
  type TaskQueueOptions,
  UnknownTaskError,
} from 'quartermaster';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

type Any = Record<string, (input: unknown) => unknown>;
type Edges = Readonly<Record<string, { after?: readonly string[] } & Omit<JobOptions, 'after' | 'id'>>>;

/** A graph of jobs 'x' with these ids, whose inputs are the outputs of what they come after. */
function graphOf(jobs: Edges): JobGraph<Any> {
  const graph = new JobGraph<Any>();
  const refs = new Map<string, JobRef>();
  for (const [id, { after = [], ...options }] of Object.entries(jobs)) {
    const inputs = Object.fromEntries(after.map((before) => [before, refs.get(before)]));
    refs.set(id, graph.add('x', { id, ...inputs }, { ...options, id }));
  }
  return graph;
}

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options: TaskQueueOptions = {}) {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks<Any>(name, options) };
  }

  /** Runs the graph on a loop whose jobs output their id, but for those of `fails`, as often as that says. */
  async function aRun(jobs: Edges, fails: Record<string, number> = {}, options?: RunGraphOptions) {
    const { name, other, queue } = await aQueue();
    const ran: string[] = [];
    const left = { ...fails };
    const x = (input: { id: string } & Record<string, unknown>): unknown => {
      ran.push(input.id);
      if ((left[input.id] ?? 0) > 0) {
        left[input.id] = (left[input.id] as number) - 1;
        throw new RangeError(`${input.id} fails`);
      }
      return input;
    };
    working(other, name, { x });
    const run = queue.runGraph(graphOf(jobs), options);
    return { queue, run, ran, states: () => statesOf(run) };
  }

  async function statesOf(run: GraphRun): Promise<Record<string, string>> {
    const states: Record<string, string> = {};
    for await (const { job, state } of run.events()) states[job] = state;
    return states;
  }

  const caught = (promise: Promise<unknown>): Promise<Error> =>
    promise.then(
      () => expect.unreachable(),
      (error: Error) => error,
    );

  const fork: Edges = { a: {}, b: { after: ['a'] }, c: { after: ['b'] }, other: {}, late: { after: ['other'] } };

  test('G3 skip: descendants end skipped, each with the chain of causes; the rest goes on', async () => {
    const { run, ran, states, queue } = await aRun(fork, { a: 1 });
    const error = await caught(run.result());
    expect(error).toBeInstanceOf(TaskFailedError);
    expect(error.cause).toBeInstanceOf(RangeError);
    const end = { a: 'failed', b: 'skipped', c: 'skipped', other: 'succeeded', late: 'succeeded' };
    expect(await states()).toEqual(end);
    expect(ran.toSorted()).toEqual(['a', 'late', 'other']);
    for (const id of ['b', 'c']) {
      const skipped = await caught(run.output(id));
      expect(skipped).toBeInstanceOf(DependencyFailedError);
      expect(skipped.message).toBe(`task '${run.id}/${id}' was skipped: '${run.id}/a', which it comes after, failed`);
      expect((skipped.cause as Error).cause).toEqual(error.cause);
      const { history } = await queue.handle(`${run.id}/${id}`).record();
      expect(history.map(({ to }) => to)).toEqual(['blocked', 'skipped']);
    }
  });

  test('G3 ignore: what comes after the job gets undefined, and the run succeeds', async () => {
    const jobs: Edges = { ...fork, a: { onFailure: 'ignore' }, leaf: { onFailure: 'ignore' } };
    const { run, states } = await aRun(jobs, { a: 1, leaf: 1 });
    expect(await run.result()).toEqual({
      c: { id: 'c', b: { id: 'b', a: undefined } },
      late: { id: 'late', other: { id: 'other' } },
      leaf: undefined,
    });
    expect(await states()).toMatchObject({ a: 'failed', leaf: 'failed', b: 'succeeded', c: 'succeeded' });
    await expect(run.output('a')).rejects.toThrow(TaskFailedError);
  });

  test('G3 ignore is of the job’s own failure: skipped, or cancelled, it takes what comes after it', async () => {
    const skipped = await aRun({ a: {}, b: { after: ['a'], onFailure: 'ignore' }, c: { after: ['b'] } }, { a: 1 });
    await caught(skipped.run.result());
    expect(await skipped.states()).toEqual({ a: 'failed', b: 'skipped', c: 'skipped' });

    const { queue } = await aQueue();
    const run = queue.runGraph(graphOf({ a: { onFailure: 'ignore' }, b: { after: ['a'] } }));
    expect(await queue.handle(`${run.id}/a`).cancel()).toBe(true);
    await expect(run.result()).rejects.toThrow(TaskCancelledError);
    expect(await statesOf(run)).toEqual({ a: 'cancelled', b: 'skipped' });
  });

  test.each<[what: string, jobs: Edges, options: RunGraphOptions]>([
    ['fail, of the job', { bad: { onFailure: 'fail' } }, { onFailure: 'keep-going' }],
    ['stop, of the run', { bad: {} }, { onFailure: 'stop' }],
  ])('G3 %s: nothing new begins, what runs goes on, and what was left is skipped', async (_what, bad, options) => {
    const { name, other, queue } = await aQueue();
    const jobs: Edges = {
      ...bad,
      runs: {},
      after: { after: ['runs'] },
      below: { after: ['bad'] },
      retried: { retries: 5 },
    };
    const outside = await queue.put('x', 'outside', { priority: -1 });
    const run = queue.runGraph(graphOf({ ...jobs, waits: { tags: ['nobody'] }, later: { delay: 1e9 } }), options);
    await queue.dict.size(); // behind the graph: what another client asks for in this turn may come before it
    const elsewhere = other.tasks(name);
    const taken = [await elsewhere.get(), await elsewhere.get(), await elsewhere.get()];
    const of = (id: string): LeasedTask => taken.find((task) => task.id === `${run.id}/${id}`) as LeasedTask;
    await of('bad').fail(new RangeError('bad fails'));
    await of('retried').fail(new Error('not tried again'));
    await of('runs').complete('done');
    expect((await elsewhere.get()).id).toBe(outside.id);
    expect(await elsewhere.getNowait({ tags: ['nobody'] })).toBeUndefined();
    expect((await caught(run.result())).cause).toMatchObject({ message: 'bad fails' });
    expect(await statesOf(run)).toEqual({
      bad: 'failed',
      runs: 'succeeded',
      retried: 'failed',
      after: 'skipped',
      below: 'skipped',
      waits: 'skipped',
      later: 'skipped',
    });
    const stopped = await caught(run.output('after'));
    expect(stopped).toBeInstanceOf(DependencyFailedError);
    expect(stopped.message).toBe(`task '${run.id}/after' was skipped: its run stopped when '${run.id}/bad' failed`);
    expect((stopped.cause as Error).cause).toMatchObject({ message: 'bad fails' });
    expect((await caught(run.output('below'))).message).toContain('which it comes after, failed');
  });

  test('G3 a job’s own rule goes before that of its run', async () => {
    const { run, states } = await aRun({ ...fork, a: { onFailure: 'skip' } }, { a: 1 }, { onFailure: 'stop' });
    await caught(run.result());
    expect(await states()).toMatchObject({ a: 'failed', c: 'skipped', late: 'succeeded' });
  });

  test('G3 a job that expires is one that failed', async () => {
    const { queue } = await aQueue();
    const run = queue.runGraph(
      graphOf({ a: { expires: 1, onFailure: 'fail' }, b: { after: ['a'] }, c: { delay: 1e9 } }),
    );
    await caught(run.result());
    expect(await statesOf(run)).toEqual({ a: 'expired', b: 'skipped', c: 'skipped' });
  });

  test('a job that comes after a task outside of its run, and a task that comes after a job', async () => {
    const { name, other, queue } = await aQueue();
    const outside = await queue.put('x', 'first');
    const graph = new JobGraph<Any>();
    graph.add('x', { outside }, { id: 'a', onFailure: 'fail' });
    graph.add('x', undefined, { id: 'b', delay: 1e9 });
    const run = queue.runGraph(graph);
    const last = await queue.put('x', 'last', { after: [`${run.id}/b`] });
    const elsewhere = other.tasks(name);
    await (await elsewhere.get()).complete('output');
    const a = await elsewhere.get();
    expect(a.input).toEqual({ outside: 'output' });
    await a.fail(new Error('stop'));
    await expect(last.result()).rejects.toThrow(DependencyFailedError);
    expect(await statesOf(run)).toEqual({ a: 'failed', b: 'skipped' });
  });

  test('a task that is put after one that has failed already is accepted, and skipped', async () => {
    const { name, other, queue } = await aQueue();
    const first = await queue.put('x', 1);
    await (await other.tasks(name).get()).fail(new RangeError('first'));
    const second = await queue.put('x', 2, { after: [first] });
    const error = await caught(second.result());
    expect(error).toBeInstanceOf(DependencyFailedError);
    expect((error.cause as Error).cause).toMatchObject({ message: 'first' });
    await expect(queue.run('x', { second })).rejects.toThrow(DependencyFailedError);
  });

  test('cancel of the run: all that has not ended is cancelled; of a job: what comes after it is skipped', async () => {
    const { name, other, queue } = await aQueue();
    const run = queue.runGraph(graphOf(fork));
    const task = await other.tasks(name).get();
    await run.cancel('enough');
    if (!task.signal.aborted) await once(task.signal, 'abort');
    expect(task.signal.reason).toBeInstanceOf(TaskCancelledError);
    expect(new Set(Object.values(await statesOf(run)))).toEqual(new Set(['cancelled']));
    await expect(run.result()).rejects.toThrow('enough');

    const second = queue.runGraph(graphOf(fork));
    await queue.handle(`${second.id}/b`).cancel();
    await second.cancel();
    expect(await statesOf(second)).toMatchObject({ a: 'cancelled', b: 'cancelled', c: 'skipped', late: 'cancelled' });
  });

  test('an abort cancels the run', async () => {
    const { queue } = await aQueue();
    const stop = new AbortController();
    const run = queue.runGraph(graphOf(fork), { signal: stop.signal });
    stop.abort();
    await expect(run.result()).rejects.toThrow(TaskCancelledError);
    expect(() => queue.runGraph(graphOf(fork), { signal: AbortSignal.abort(new Error('before')) })).toThrow('before');
  });

  test('retryFailed: what failed and what was skipped runs again, with the outputs that are there; nothing else', async () => {
    const { run, ran, states } = await aRun(
      { ok: {}, bad: { after: ['ok'] }, worse: { after: ['ok'] }, end: { after: ['bad', 'worse', 'ok'] } },
      { bad: 2, worse: 1 },
    );
    await caught(run.result());
    expect(await run.retryFailed()).toBe(3);
    const again = await caught(run.result());
    expect(again.cause).toMatchObject({ message: 'bad fails' });
    expect(await states()).toEqual({ ok: 'succeeded', bad: 'failed', worse: 'succeeded', end: 'skipped' });
    expect(await run.retryFailed()).toBe(2);
    const ok = { id: 'ok' };
    expect(await run.result()).toEqual({ end: { id: 'end', ok, bad: { id: 'bad', ok }, worse: { id: 'worse', ok } } });
    expect(ran.toSorted()).toEqual(['bad', 'bad', 'bad', 'end', 'ok', 'worse', 'worse']);
    expect(await run.retryFailed()).toBe(0);
    expect(await run.result()).toMatchObject({ end: { ok } });
  });

  test('retryFailed after a stop, and after a cancel, goes on where the run was', async () => {
    const stopped = await aRun({ ...fork, a: { onFailure: 'fail' } }, { a: 1 }, { concurrency: 1 });
    await caught(stopped.run.result());
    expect(stopped.ran).toEqual(['a']);
    expect(await stopped.run.retryFailed()).toBe(5);
    expect(Object.keys(await stopped.run.result())).toEqual(['c', 'late']);
    expect(stopped.ran.toSorted()).toEqual(['a', 'a', 'b', 'c', 'late', 'other']);

    const { name, other, queue } = await aQueue();
    const run = queue.runGraph(graphOf(fork));
    await run.cancel();
    await caught(run.result());
    expect(await run.retryFailed()).toBe(5);
    working(other, name, { x: (input: unknown) => input });
    expect(Object.keys(await run.result())).toEqual(['c', 'late']);
  });

  test('concurrency: no more jobs of the run at once, whoever else runs', async () => {
    const { name, other, queue } = await aQueue();
    const jobs = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`j${at}`, {}]));
    const run = queue.runGraph(graphOf(jobs), { concurrency: 2 });
    const outside = await queue.put('x', 'outside');
    const elsewhere = other.tasks(name);
    const [one, two, three] = [await elsewhere.get(), await elsewhere.get(), await elsewhere.get()];
    expect([one.id, two.id, three.id]).toEqual([`${run.id}/j0`, `${run.id}/j1`, outside.id]);
    expect(await elsewhere.getNowait()).toBeUndefined();
    await one.complete();
    expect((await elsewhere.get()).id).toBe(`${run.id}/j2`);
    expect(await elsewhere.getNowait()).toBeUndefined();
    await two.fail(new Error('ends as well'));
    expect((await elsewhere.get()).id).toBe(`${run.id}/j3`);
    expect(await elsewhere.getNowait()).toBeUndefined();
    await run.cancel();
  });

  test('the same graph under the same id is the run that is there; another one is refused', async () => {
    const { name, other, queue } = await aQueue();
    const id = fresh('run');
    const first = queue.runGraph(graphOf(fork), { id });
    const second = other.tasks<Any>(name).runGraph(graphOf(fork), { id });
    const different: Edges[] = [
      { ...fork, more: {} },
      { ...fork, late: {} },
      { ...fork, c: { after: ['b', 'a'] } },
      { a: {} },
    ];
    for (const jobs of different)
      await expect(queue.runGraph(graphOf(jobs), { id }).result()).rejects.toThrow(DuplicateTaskError);
    const edges = graphOf({ a: {} });
    edges.add('x', { id: 'z' }, { id: 'z', after: ['a'] });
    const run = queue.runGraph(edges);
    const without = graphOf({ a: {}, z: {} });
    await expect(queue.runGraph(without, { id: run.id }).result()).rejects.toThrow("its job 'z' is another one");

    let ran = 0;
    working(other, name, { x: (input: unknown) => (ran++, input) });
    expect(await first.result()).toEqual(await second.result());
    await run.result();
    expect(ran).toBe(7);
    await first.close();
    expect(Object.keys(await second.result())).toEqual(['c', 'late']);
    await second.close();
  });

  test('outputs are kept until the run is closed, and until what consumes them has ended, whatever keepRecords says', async () => {
    const { name, other, queue } = await aQueue({ keepRecords: { count: 0 } });
    const run = queue.runGraph(graphOf({ a: {}, b: { after: ['a'] } }));
    const elsewhere = other.tasks(name);
    await (await elsewhere.get()).complete('of a');
    const b = await elsewhere.get();
    await b.fail(new Error('once'));
    await caught(run.result());
    expect(await run.output('a')).toBe('of a');
    await run.retryFailed();
    const again = await elsewhere.get();
    expect(again.input).toEqual({ id: 'b', a: 'of a' });
    await again.complete('of b');
    expect(await run.result()).toEqual({ b: 'of b' });
    await run.close();
    await expect(queue.handle(`${run.id}/a`).result()).rejects.toThrow(UnknownTaskError);
    await expect(run.retryFailed()).rejects.toThrow(UnknownTaskError);
    expect(await queue.dict.size()).toBe(0);

    const closed = queue.runGraph(graphOf({ a: {}, b: { after: ['a'] } }));
    await closed.close();
    await (await elsewhere.get()).complete('of a');
    expect((await elsewhere.get()).input).toEqual({ id: 'b', a: 'of a' });
  });

  test('a run that one client has submitted twice stays until it has closed both', async () => {
    const { name, other, queue } = await aQueue({ keepRecords: { count: 0 } });
    const [one, two] = [
      queue.runGraph(graphOf({ a: {} }), { id: 'r' }),
      queue.runGraph(graphOf({ a: {} }), { id: 'r' }),
    ];
    await (await other.tasks(name).get()).complete('of a');
    await one.result();
    await one.close();
    await one.close();
    expect(await two.result()).toEqual({ a: 'of a' });
    await two.close();
    expect(await queue.dict.size()).toBe(0);
  });

  test('G2 a job after a task whose record goes while the graph is put: all of it or nothing', async () => {
    const { queue } = await aQueue({ keepRecords: { count: 1 } });
    const gone = await queue.put('x', 1);
    await gone.cancel();
    const graph = new JobGraph<Any>();
    for (const id of ['a', 'b', 'c']) graph.add('x', undefined, { id, after: [gone] });
    const run = queue.runGraph(graph);
    await caught(run.output('a'));
    expect(await statesOf(run)).toEqual({ a: 'skipped', b: 'skipped', c: 'skipped' });
  });

  test('an empty run ends at once', async () => {
    const { queue } = await aQueue();
    const run = queue.runGraph(new JobGraph<Any>());
    expect(await run.result()).toEqual({});
    expect(await statesOf(run)).toEqual({});
    expect(await run.retryFailed()).toBe(0);
    await run.cancel();
    await run.close();
  });

  test('events and progress tell each job’s way', async () => {
    const { run } = await aRun({ a: {}, b: { after: ['a'] }, bad: {}, c: { after: ['bad'] } }, { bad: 1 });
    const events: JobEvent[] = [];
    for await (const event of run.events()) events.push(event);
    for (const id of ['a', 'b', 'bad', 'c']) {
      const states = events.filter(({ job }) => job === id).map(({ state }) => state);
      expect(states.at(-1)).toBe({ a: 'succeeded', b: 'succeeded', bad: 'failed', c: 'skipped' }[id]);
    }
    let last: RunProgress | undefined;
    for await (const progress of run.progress()) last = progress;
    expect(last).toEqual({ total: 4, done: 4, running: 0, failed: 1, skipped: 1 });
  });

  test.each<[options: unknown, message: string]>([
    [{ onFailure: 'skip' }, `onFailure of a run must be 'stop' or 'keep-going', not "skip"`],
    [{ concurrency: 0 }, 'concurrency of a run must be a whole number of 1 or more, not 0'],
    [{ concurrency: 1.5 }, 'concurrency of a run must be a whole number of 1 or more, not 1.5'],
    [{ id: 'a/b' }, 'the id of a run'],
    [{ keepGoing: true }, "runGraph() has no option 'keepGoing'; it takes id, onFailure, concurrency"],
    [{ durations: 7 }, 'durations must be the path of a file'],
  ])('options %j are refused, and nothing is queued', async (options, message) => {
    const { queue } = await aQueue();
    expect(() => queue.runGraph(graphOf(fork), options as RunGraphOptions)).toThrow(message);
    expect(await queue.dict.size()).toBe(0);
  });
});
