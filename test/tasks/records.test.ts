/** The task dict: ids, records, how long they are kept, and what `inspect` shows of all queues. */
import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import {
  DuplicateTaskError,
  type LeasedTask,
  type TaskQueueOptions,
  type TaskRecord,
  UnknownTaskError,
} from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options?: TaskQueueOptions, workerName?: string) {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, options);
    const other = await aClient(rig(), workerName);
    return { name, other, queue, elsewhere: other.tasks(name) };
  }

  describe('Q12 ids', () => {
    test('the same id, name and input: the first task, whoever puts it again, also after its end', async () => {
      const { queue, elsewhere } = await aQueue();
      const input = { a: 1, b: [{ c: 2, d: 3n }] };
      const first = await queue.put('x', input, { id: 'mine' });
      expect(first.id).toBe('mine');
      const again = [
        await queue.put('x', input, { id: 'mine' }),
        await elsewhere.put('x', structuredClone(input), { id: 'mine' }),
        await elsewhere.put('x', { b: [{ d: 3n, c: 2 }], a: 1 }, { id: 'mine' }),
      ];
      const runs = [queue.run('x', input, { id: 'mine' }), elsewhere.run('x', { b: input.b, a: 1 }, { id: 'mine' })];
      await queue.dict.size();
      const task = await take(elsewhere);
      expect(await elsewhere.getNowait()).toBeUndefined();
      await task.complete('output');
      const late = await queue.put('x', { b: [{ d: 3n, c: 2 }], a: 1 }, { id: 'mine' });
      for (const handle of [first, ...again, late]) {
        expect(handle.id).toBe('mine');
        expect(await handle.result()).toBe('output');
      }
      expect(await Promise.all(runs)).toEqual(['output', 'output']);
      expect(await elsewhere.run('x', input, { id: 'mine' })).toBe('output');
      expect(await queue.dict.size()).toBe(1);
    });

    test.each([
      ['scalars', 1, 2],
      ['a scalar and an object', 1, { a: 1 }],
      ['objects', { a: 1 }, { a: 2 }],
      ['nothing and null', undefined, null],
      ['0 and "0"', 0, '0'],
      ['other shapes', [1, 2], { 0: 1, 1: 2 }],
    ])('the same id with another input (%s) is refused', async (_, one, other) => {
      const { queue, elsewhere } = await aQueue();
      await queue.put('x', one, { id: 'mine' });
      const refused = elsewhere.put('x', other, { id: 'mine' });
      await expect(refused).rejects.toThrow(DuplicateTaskError);
      await expect(refused).rejects.toThrow(/'mine'.*another input/);
      await expect(elsewhere.run('x', other, { id: 'mine' })).rejects.toThrow(DuplicateTaskError);
      expect(await queue.dict.size()).toBe(1);
    });

    test.each([
      ['0 and -0', 0, -0],
      ['NaN', NaN, NaN],
      ['undefined', undefined, undefined],
      ['maps', new Map([['a', 1]]), new Map([['a', 1]])],
    ])('the same id with what counts as the same input: %s', async (_, one, other) => {
      const { queue, elsewhere } = await aQueue();
      await queue.put('x', one, { id: 'mine' });
      expect((await elsewhere.put('x', other, { id: 'mine' })).id).toBe('mine');
    });

    test('the same id with another name is refused', async () => {
      const { queue } = await aQueue();
      await queue.put('x', 1, { id: 'mine' });
      await expect(queue.put('y', 1, { id: 'mine' })).rejects.toThrow(/'mine'.*name 'x', not 'y'/);
    });

    test('ids of any other form are fine', async () => {
      const { queue } = await aQueue();
      for (const id of ['t', 'T1', 't01', 'tt1', '1', 'a/b', 'ü', '__proto__', 'constructor', 'x'.repeat(1000)]) {
        const handle = await queue.put('x', id, { id });
        expect(await handle.record()).toMatchObject({ id });
      }
      await expect(queue.put('x', 1, { id: 'x'.repeat(1001) })).rejects.toThrow(RangeError);
    });
  });

  describe('keepRecords', () => {
    test('count: the oldest outcomes go, and are then unknown, with a word about retention', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { count: 2 } });
      const handles = [];
      for (let i = 0; i < 4; i++) {
        handles.push(await queue.put('x', i, { id: `task ${i}` }));
        await (await take(elsewhere)).complete(i);
        await handles[i]?.result();
      }
      expect((await queue.dict.entries()).map(([id]) => id)).toEqual(['task 2', 'task 3']);
      expect(await queue.dict.size()).toBe(2);
      expect(await queue.dict.counts()).toMatchObject({ succeeded: 2 });
      expect([await queue.dict.has('task 1'), await queue.dict.get('task 1')]).toEqual([false, undefined]);
      // The putter has its outcome; everybody else is told why there is none.
      expect(await handles[0]?.result()).toBe(0);
      await expect(elsewhere.handle('task 0').result()).rejects.toThrow(UnknownTaskError);
      await expect(elsewhere.handle('task 0').result()).rejects.toThrow('keepRecords');
      await expect(elsewhere.handle('task 0').record()).rejects.toThrow('keepRecords');
      await expect(queue.put('x', 1, { after: ['task 0'] })).rejects.toThrow('keepRecords');
      await expect(queue.cancel('task 0')).rejects.toThrow(UnknownTaskError);
      const again = await queue.put('x', 'something else', { id: 'task 0' });
      expect(await again.state()).toBe('ready');
    });

    test('bytes: the oldest outcomes go when all hold more than that, one that is larger at once', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { bytes: 2_500 } });
      const ids = async (): Promise<string[]> => (await queue.dict.entries()).map(([id]) => id);
      const run = async (id: string | undefined, input: unknown, output: unknown): Promise<void> => {
        const handle = await queue.put('x', input, { id });
        await (await take(elsewhere)).complete(output);
        expect(await handle.result()).toEqual(output);
      };
      const text = 'x'.repeat(1_000);
      for (let i = 1; i <= 3; i++) await run(undefined, text, text);
      expect(await ids()).toEqual(['t2', 't3']);
      // An id of one's own keeps its input as well.
      await run('mine', text, text);
      expect(await ids()).toEqual(['mine']);
      await run(undefined, 1, 'x'.repeat(5_000));
      expect(await ids()).toEqual([]);
      for (let i = 0; i < 9; i++) await run(undefined, text, i);
      expect(await queue.dict.size()).toBe(9);
      expect(await queue.dict.counts()).toMatchObject({ succeeded: 9 });
      const why = /keepRecords: 200000 records, 3600000 ms, 2500 bytes/;
      await expect(elsewhere.handle('mine').result()).rejects.toThrow(UnknownTaskError);
      await expect(elsewhere.handle('mine').result()).rejects.toThrow(why);
      await expect(queue.put('x', 1, { after: ['t5'] })).rejects.toThrow(why);
    });

    test('bytes: the outputs of a dependent and of one who waits are theirs, however many bytes there are', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { bytes: 0 } });
      const first = await queue.put('x');
      const needs = await queue.put('y', { output: first });
      const there = elsewhere.handle(first.id).result();
      await elsewhere.dict.size();
      const text = 'x'.repeat(1_000);
      await (await take(elsewhere)).complete(text);
      expect([await first.result(), await there]).toEqual([text, text]);
      const task = await take(elsewhere);
      expect([task.id, task.input]).toEqual([needs.id, { output: text }]);
      expect(await queue.dict.size()).toBe(2);
      await task.complete();
      expect(await queue.dict.size()).toBe(0);
    });

    test('age: outcomes older than that are gone, whoever asks first', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { age: 1 } });
      const asks: ((id: string) => Promise<unknown>)[] = [
        (id) => queue.dict.has(id),
        (id) => queue.dict.get(id),
        async () => (await queue.dict.entries()).length > 0,
        async () => (await queue.dict.size()) > 0,
        async () => (await queue.dict.counts()).succeeded > 0,
        (id) =>
          elsewhere
            .handle(id)
            .result()
            .catch((error: unknown) => !(error instanceof UnknownTaskError)),
        async () => (await rig().client.inspect.tasks({ name: queue.name })).length > 0,
      ];
      for (const ask of asks) {
        const handle = await queue.put(queue.name as string);
        await (await take(elsewhere)).complete('output');
        await handle.result();
        while (await ask(handle.id));
      }
    });

    test('a record stays while a task that comes after it needs it', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { count: 1 } });
      const first = await queue.put('x');
      const needs = await queue.put('needs', { output: first }, { priority: -1 });
      await (await take(elsewhere)).complete('kept');
      for (let i = 0; i < 3; i++) {
        await queue.put('x');
        await (await take(elsewhere)).complete();
      }
      expect(await elsewhere.handle(first.id).result()).toBe('kept');
      const task = await take(elsewhere);
      expect([task.id, task.input]).toEqual([needs.id, { output: 'kept' }]);
      await task.complete();
      await expect(elsewhere.handle(first.id).result()).rejects.toThrow(UnknownTaskError);
    });

    test('a record stays until its outcome has reached whoever waits for it', async () => {
      const { queue, elsewhere } = await aQueue({ keepRecords: { count: 1 } });
      const handles = await queue.putMany('x', [1, 2, 3]).toArray();
      const there = handles.map(({ id }) => elsewhere.handle(id).result());
      await elsewhere.dict.size();
      for (const task of [await take(elsewhere), await take(elsewhere), await take(elsewhere)])
        await task.complete(task.input);
      expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([1, 2, 3]);
      expect(await Promise.all(there)).toEqual([1, 2, 3]);
    });
  });

  describe('records', () => {
    test('tell who ran it, where and when', async () => {
      const { queue, elsewhere } = await aQueue(undefined, 'the worker');
      const before = Date.now();
      const handle = await queue.put('x', { some: 'input' }, { priority: 7 });
      const waiting = await handle.record();
      expect(waiting).toMatchObject({ id: handle.id, name: 'x', state: 'ready', priority: 7, attempt: 0, after: [] });
      expect(waiting).not.toHaveProperty('worker');
      expect(waiting).not.toHaveProperty('startedAt');
      const task = await take(elsewhere);
      expect(await handle.record()).toMatchObject({ state: 'leased', attempt: 1, pid: process.pid, host: hostname() });
      await task.complete('some output');
      const record = await handle.record();
      expect(record).toMatchObject({ state: 'succeeded', attempt: 1, pid: process.pid, host: hostname() });
      if (place !== 'embedded') expect(record.worker).toBe('the worker');
      expect(record).not.toHaveProperty('error');
      expect(record.bytesIn).toBeGreaterThan(5);
      expect(record.bytesOut).toBeGreaterThan(5);
      const times = [
        before - 50,
        record.putAt,
        record.readyAt,
        record.startedAt,
        record.endedAt,
        Date.now() + 50,
      ] as number[];
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(record.waitMs).toBeCloseTo((record.startedAt as number) - (record.readyAt as number), 3);
      expect(record.runMs).toBeCloseTo((record.endedAt as number) - (record.startedAt as number), 3);
      expect(record).toEqual(await queue.dict.get(handle.id));
    });

    test('an error is told by code and message', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      await (await take(elsewhere)).fail(new RangeError('too far'));
      expect(await handle.record()).toMatchObject({
        state: 'failed',
        error: { code: 'QM_TASK_FAILED', message: expect.stringContaining('RangeError: too far') },
      });
      expect(await handle.record()).not.toHaveProperty('bytesOut');
    });

    test('the history is a chain from new to the end, whatever happened on the way', async () => {
      const { queue, elsewhere } = await aQueue();
      const first = await queue.put('first');
      const handle = await queue.put('x', undefined, { after: [first], retries: 1 });
      await (await take(elsewhere)).complete();
      await (await take(elsewhere)).fail(new Error('once'));
      await (await take(elsewhere)).release();
      expect(chain(await handle.record())).toEqual(['new', 'blocked', 'ready', 'leased', 'ready']);
      const last = await take(elsewhere);
      expect(chain(await handle.record())).toEqual(['new', 'blocked', 'ready', 'leased', 'ready', 'leased']);
      await last.complete();
      const record = await handle.record();
      expect(chain(record)).toEqual(['new', 'blocked', 'ready', 'leased', 'ready', 'leased', 'succeeded']);
      expect(record.history.map(({ why }) => why)).toEqual([
        'put',
        'all it comes after have succeeded',
        'attempt 1',
        'attempt 1 failed: task ' + `'${handle.id}' (x) failed: Error: once`,
        'attempt 2',
        'completed',
      ]);
      const skipped = await queue.put('x', undefined, { after: [await queue.put('y')] });
      await (await take(elsewhere)).fail(new Error('y'));
      expect(chain(await skipped.record())).toEqual(['new', 'blocked', 'skipped']);
      const cancelled = await queue.put('x');
      await cancelled.cancel();
      expect(chain(await cancelled.record())).toEqual(['new', 'ready', 'cancelled']);
    });

    test('entries come in the order of the puts, filtered by state and name, a thousand at most', async () => {
      const { queue, elsewhere } = await aQueue();
      for (let i = 0; i < 4; i++) await queue.put(i % 2 === 0 ? 'even' : 'odd', i);
      await (await take(elsewhere)).complete();
      await take(elsewhere);
      const ids = async (filter?: Parameters<typeof queue.dict.entries>[0]) =>
        (await queue.dict.entries(filter)).map(([id]) => id);
      expect(await ids()).toEqual(['t1', 't2', 't3', 't4']);
      expect(await ids({ state: 'ready' })).toEqual(['t3', 't4']);
      expect(await ids({ state: ['leased', 'succeeded'] })).toEqual(['t1', 't2']);
      expect(await ids({ name: 'odd' })).toEqual(['t2', 't4']);
      expect(await ids({ name: 'odd', state: 'ready', limit: 5 })).toEqual(['t4']);
      expect(await ids({ limit: 2 })).toEqual(['t1', 't2']);
      expect(await ids({ limit: 0 })).toEqual([]);
      await queue.putMany('many', Array(1100).fill(0)).toArray();
      expect(await ids()).toHaveLength(1000);
      expect(await ids({ limit: 2000 })).toHaveLength(1104);
      expect(await queue.dict.size()).toBe(1104);
      expect(await queue.dict.counts()).toEqual({
        ...{ blocked: 0, delayed: 0, ready: 1102, leased: 1, succeeded: 1 },
        ...{ failed: 0, cancelled: 0, expired: 0, skipped: 0 },
      });
      expect(await queue.snapshot()).toEqual(await queue.dict.counts());
    });
  });

  describe('inspect', () => {
    test('tasks: of all queues', async () => {
      const one = await aQueue();
      const two = await aQueue();
      const name = fresh('name');
      await one.queue.put(name, 1);
      await two.queue.put(name, 2);
      const records = await rig().client.inspect.tasks({ name });
      expect(records.map(({ queue, state }) => [queue, state])).toEqual([
        [one.name, 'ready'],
        [two.name, 'ready'],
      ]);
      expect(await rig().client.inspect.tasks({ name, limit: 1 })).toHaveLength(1);
    });

    test('workers: whoever takes tasks, what they hold and have done, until they leave', async () => {
      const { name, queue, other } = await aQueue(undefined, 'inspected');
      const here = async (client = rig().client) =>
        (await client.inspect.workers()).filter((worker) => worker.queue === name);
      expect(await here()).toEqual([]);
      let started = (): void => {};
      const running = new Promise<void>((resolve) => (started = resolve));
      let finish = (): void => {};
      const finished = new Promise<void>((resolve) => (finish = resolve));
      const loop = working(other, name, {
        quick: () => {},
        slow: () => {
          started();
          return finished;
        },
      });
      await queue.run('quick');
      const slow = queue.run('slow');
      await running;
      // Asked by the worker's own connection, after it has said that the task has started.
      await arrived(other);
      const [worker, ...rest] = await here(other);
      expect(rest).toEqual([]);
      expect(worker).toMatchObject({ pid: process.pid, host: hostname(), session: other.session, owned: false });
      expect(worker).toMatchObject({ leased: 1, running: 1, done: 1, lastHeardMs: expect.any(Number) });
      if (place !== 'embedded') expect(worker?.name).toBe('inspected');
      finish();
      await slow;
      await loop.stop();
      await other.close();
      while ((await here()).length > 0);
    });
  });
});

/** The states that a history leads through; throws where it is no chain. */
function chain({ history }: TaskRecord): string[] {
  const states = ['new' as string];
  let at = 0;
  for (const change of history) {
    expect(change.from).toBe(states.at(-1));
    expect(change.at).toBeGreaterThanOrEqual(at);
    at = change.at;
    states.push(change.to);
  }
  return states;
}

async function take(queue: { getNowait(): Promise<LeasedTask | undefined> }): Promise<LeasedTask> {
  const task = await queue.getNowait();
  if (task === undefined) throw new Error('nothing is ready');
  return task;
}
