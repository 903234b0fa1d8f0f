/** What Pool, Executor and Future promise and no other suite shows, the way that docs/python.md says to do it. */
import { describe, expect, test } from 'vitest';
import {
  type LeasedTask,
  TaskCancelledError,
  TaskFailedError,
  type TaskHandle,
  type TaskState,
  TimeoutError,
  UnknownTaskError,
  wait,
} from 'quartermaster';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue() {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name), elsewhere: other.tasks(name) };
  }

  test('arguments by position and by name are one input: an array, an object', async () => {
    const { name, other, queue } = await aQueue();
    working(other, name, {
      power: ([base, exponent]: [number, number]) => base ** exponent,
      round: ({ value, digits = 0 }: { value: number; digits?: number }) => value.toFixed(digits),
    });
    expect(await queue.run('power', [2, 10])).toBe(1024);
    expect(await (await queue.put('round', { value: 1.25, digits: 1 })).result()).toBe('1.3');
    expect(await queue.run('round', { value: 2.5 })).toBe('3');
    const inputs = [[2, 3], [3, 2], [10, 0]]; // prettier-ignore
    expect(await queue.map('power', inputs).toArray()).toEqual([8, 9, 1]);
  });

  test('several iterables side by side: one input each, as many as the shortest has', async () => {
    const { name, other, queue } = await aQueue();
    working(other, name, { add: ([a, b]: [number, number]) => a + b });
    function* side<A, B>(as: Iterable<A>, bs: Iterable<B>): Generator<[A, B]> {
      const others = bs[Symbol.iterator]();
      for (const a of as) {
        const { value, done } = others.next();
        if (done === true) return;
        yield [a, value];
      }
    }
    function* forever() {
      for (let i = 0; ; i++) yield i;
    }
    expect(await queue.map('add', side([10, 20, 30], forever())).toArray()).toEqual([10, 21, 32]);
    expect(await queue.map('add', side(forever(), [5])).toArray()).toEqual([5]);
  });

  test('callbacks are the promise of the result: once each, also of what has ended long ago', async () => {
    const { name, other, queue } = await aQueue();
    working(other, name, {
      double: (n: number) => 2 * n,
      fail: () => {
        throw new RangeError('of the task');
      },
    });
    const told: unknown[] = [];
    const [good, bad] = [await queue.put('double', 4), await queue.put('fail')];
    const callback = (output: unknown): unknown => told.push(output);
    const errorCallback = (error: TaskFailedError): unknown => told.push((error.cause as Error).message);
    await good.result().then(callback, errorCallback);
    await bad.result().then(callback, errorCallback);
    await queue.map('double', [1, 2]).toArray().then(callback, errorCallback);
    await queue.map('fail', [1, 2]).toArray().then(callback, errorCallback);
    expect(told).toEqual([8, 'of the task', [2, 4], 'of the task']);
    let ended = 0;
    for (const handle of [good, bad, good]) {
      await handle
        .result()
        .catch(() => {})
        .finally(() => ended++);
    }
    expect(ended).toBe(3);
  });

  test('a future on its way: pending, running, done; successful, failed or cancelled', async () => {
    const { queue, elsewhere } = await aQueue();
    const ends: [TaskState, (task: LeasedTask, handle: TaskHandle) => Promise<unknown>][] = [
      ['succeeded', (task) => task.complete()],
      ['failed', (task) => task.fail(new Error('of the task'))],
      ['cancelled', (_, handle) => handle.cancel()],
    ];
    for (const [state, end] of ends) {
      const handle = await queue.put('x');
      expect(await handle.state()).toBe('ready');
      const task = await elsewhere.get();
      expect([await handle.state(), (await handle.record()).endedAt]).toEqual(['leased', undefined]);
      await end(task, handle);
      expect(await handle.state()).toBe(state);
      expect((await handle.record()).endedAt).toBeDefined();
    }
    await expect(queue.handle('never').state()).rejects.toThrow(UnknownTaskError);
  });

  test('the error as a value: undefined of what succeeds, and a time to wait for it', async () => {
    const { queue, elsewhere } = await aQueue();
    const exception = (handle: TaskHandle, timeout?: number): Promise<unknown> =>
      handle.result({ timeout }).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof TimeoutError) throw error;
          return error;
        },
      );
    const [good, bad] = [await queue.put('good'), await queue.put('bad')];
    await expect(exception(good, 1)).rejects.toThrow(TimeoutError);
    await (await elsewhere.get()).complete('output');
    await (await elsewhere.get()).fail(new RangeError('of the task'));
    expect(await exception(good)).toBe(undefined);
    expect(await exception(bad)).toMatchObject({ name: 'TaskFailedError', cause: new RangeError('of the task') });
    expect(await wait([bad], { timeout: 60_000 })).toEqual({ done: [bad], pending: [] });
  });

  test('all that waits is cancelled at once; what runs goes on to its end', async () => {
    const { queue, elsewhere } = await aQueue();
    const handles = await queue.putMany('x', [1, 2, 3, 4]).toArray();
    const running = await elsewhere.get();
    expect(await queue.cancel({ state: ['blocked', 'delayed', 'ready'] }, 'shutting down')).toBe(3);
    await running.complete('finished');
    expect(await handles[0]!.result()).toBe('finished');
    for (const handle of handles.slice(1)) {
      await expect(handle.result()).rejects.toThrow(TaskCancelledError);
      await expect(handle.result()).rejects.toThrow('shutting down');
    }
    expect(await elsewhere.getNowait()).toBeUndefined();
    expect(await handles[0]!.cancel()).toBe(false);
  });

  test('the next output of a map: waited for as long as one likes, and not lost by giving up', async () => {
    const { queue, elsewhere } = await aQueue();
    const outputs = queue.map('x', ['a', 'b'])[Symbol.asyncIterator]();
    const next = outputs.next();
    const enough = new AbortController();
    const gaveUp = new Promise((_, reject) => {
      enough.signal.addEventListener('abort', () => reject(enough.signal.reason as Error));
    });
    const waiting = Promise.race([next, gaveUp]);
    enough.abort(new Error('too long'));
    await expect(waiting).rejects.toThrow('too long');
    for (let i = 0; i < 2; i++) {
      const task = await elsewhere.get();
      await task.complete(`${String(task.input)} done`);
    }
    expect(await next).toEqual({ value: 'a done', done: false });
    expect(await outputs.next()).toEqual({ value: 'b done', done: false });
    expect((await outputs.next()).done).toBe(true);
  });
});
