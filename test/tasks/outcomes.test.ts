import type { TaskQueueOptions } from 'quartermaster';
/** A task from its put to its outcome, and who hears of it. */
import { describe, expect, test } from 'vitest';
import {
  DependencyFailedError,
  type LeasedTask,
  NonRetryableError,
  QuartermasterError,
  TaskCancelledError,
  TaskFailedError,
  TimeoutError,
  UnknownTaskError,
} from 'quartermaster';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  /** A queue of its own, as its putter sees it and as another client does. */
  async function aQueue(options?: TaskQueueOptions) {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name, options), elsewhere: other.tasks(name) };
  }

  test('put resolves before the task has run, result when it has', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('add', { a: 1, b: 2 });
    expect(handle.id).toBe('t1');
    expect(await handle.state()).toBe('ready');
    const task = await elsewhere.get();
    expect(task).toMatchObject({ id: 't1', name: 'add', input: { a: 1, b: 2 }, attempt: 1 });
    expect(await handle.state()).toBe('leased');
    await task.complete(3);
    expect(await handle.result()).toBe(3);
    expect(await handle.result()).toBe(3);
    expect(await handle.state()).toBe('succeeded');
  });

  test('run resolves with the output of the handler', async () => {
    const { name, queue, other } = await aQueue();
    working(other, name, { add: ({ a, b }) => a + b, later: async () => 'later', nothing: () => {} });
    expect(await Promise.all([queue.run('add', { a: 1, b: 2 }), queue.run('later'), queue.run('nothing')])).toEqual([
      3,
      'later',
      undefined,
    ]);
  });

  test('outputs arrive as they were, whatever they hold', async () => {
    const { name, queue, other } = await aQueue();
    working(other, name, { echo: (input) => input });
    const values = [undefined, null, 0, -0, NaN, 10n, '', 'ä', true, [1, [2]], { a: { b: undefined } }, new Date(5)];
    const more = [
      new Map([['a', new Set([1])]]),
      /x/g,
      new Uint8Array([1, 2, 3]),
      new RangeError('r'),
      Buffer.from('b'),
    ];
    for (const value of [...values, ...more]) expect(await queue.run('echo', value)).toEqual(value);
  });

  test('tasks run in the order of their puts, higher priorities first', async () => {
    const { queue, elsewhere } = await aQueue();
    for (const [i, priority] of [0, 1, 0, -1, 1].entries()) await queue.put('n', i, { priority });
    const order: unknown[] = [];
    for (let task = await elsewhere.getNowait(); task; task = await elsewhere.getNowait()) {
      order.push(task.input);
      await task.complete();
    }
    expect(order).toEqual([1, 4, 0, 2, 3]);
  });

  test('putMany puts one task for each input, of iterables of both kinds, and streams their handles', async () => {
    const { name, queue, other } = await aQueue();
    working(other, name, { double: (n: number) => 2 * n });
    async function* slowly() {
      yield* [4, 5];
    }
    const handles = [
      ...(await queue.putMany('double', [1, 2, 3]).toArray()),
      ...(await queue.putMany('double', slowly()).toArray()),
    ];
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([2, 4, 6, 8, 10]);
    const some: unknown[] = [];
    for await (const handle of queue.putMany('double', new Set([10, 20]), { priority: 3, inFlight: 1 })) {
      some.push(await handle.result(), (await handle.record()).priority);
    }
    expect(some).toEqual([20, 3, 40, 3]);
  });

  test('putMany: what its source throws is told to the reader, after what came before', async () => {
    const { queue } = await aQueue();
    function* broken() {
      yield* [1, 2];
      throw new Error('the source is broken');
    }
    const seen: string[] = [];
    const reading = (async () => {
      for await (const handle of queue.putMany('x', broken())) seen.push(handle.id);
    })();
    await expect(reading).rejects.toThrow('the source is broken');
    expect(seen).toEqual(['t1', 't2']);
  });

  test('putMany: leaving the stream puts no more', async () => {
    const { queue } = await aQueue();
    let asked = 0;
    let closed = false;
    function* endless() {
      try {
        for (;;) yield asked++;
      } finally {
        closed = true;
      }
    }
    for await (const handle of queue.putMany('x', endless(), { inFlight: 3 })) if (handle.id === 't5') break;
    expect(closed).toBe(true);
    expect(asked).toBeLessThan(10);
    expect(await queue.dict.size()).toBeLessThan(10);
  });

  describe('failures', () => {
    test('what a handler throws is the cause of a TaskFailedError, with its stack from there', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        async boom() {
          throw Object.assign(new TypeError('boom', { cause: new Error('deep') }), { code: 'E_BOOM', extra: [1] });
        },
        text() {
          throw 'only text';
        },
      });
      const error = await queue.run('boom').catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(TaskFailedError);
      expect(error).toMatchObject({
        code: 'QM_TASK_FAILED',
        message: `task 't1' (boom) failed: TypeError: boom`,
        cause: { name: 'TypeError', message: 'boom', code: 'E_BOOM', extra: [1], cause: { message: 'deep' } },
      });
      const { cause } = error as { cause: Error };
      expect(cause).toBeInstanceOf(TypeError);
      expect(cause.stack).toContain('outcomes.test.ts');
      const text = await queue.run('text').catch((reason: unknown) => reason);
      expect(text).toMatchObject({ code: 'QM_TASK_FAILED', cause: 'only text' });
    });

    test('retries: so many failures are followed by another attempt', async () => {
      const { name, queue, other } = await aQueue();
      const attempts: number[] = [];
      working(other, name, {
        flaky(succeedAt: number, { attempt }) {
          attempts.push(attempt);
          if (attempt < succeedAt) throw new Error(`attempt ${attempt}`);
          return attempt;
        },
      });
      expect(await queue.run('flaky', 3, { retries: 2 })).toBe(3);
      await expect(queue.run('flaky', 3, { retries: 1 })).rejects.toMatchObject({ cause: { message: 'attempt 2' } });
      await expect(queue.run('flaky', 2)).rejects.toThrow(TaskFailedError);
      expect(attempts).toEqual([1, 2, 3, 1, 2, 1]);
    });

    test('retries: the queue has a default', async () => {
      const name = fresh('queue');
      const queue = rig().client.tasks(name, { retries: 1 });
      working(await aClient(rig()), name, {
        flaky(_, { attempt }) {
          if (attempt === 1) throw new Error('first');
          return attempt;
        },
      });
      expect(await queue.run('flaky')).toBe(2);
      await expect(queue.run('flaky', undefined, { retries: 0 })).rejects.toThrow('first');
    });

    test('NonRetryableError: no other attempt', async () => {
      const { name, queue, other } = await aQueue();
      const attempts: number[] = [];
      class Mine extends NonRetryableError {}
      working(other, name, {
        never(_, { attempt }) {
          attempts.push(attempt);
          throw new Mine('for good');
        },
      });
      const error = await queue.run('never', undefined, { retries: 5 }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'QM_TASK_FAILED', cause: { message: 'for good' } });
      expect((error as Error).cause).toBeInstanceOf(NonRetryableError);
      expect(attempts).toEqual([1]);
    });

    test('a name without a handler fails at once and says what the worker has', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, { one: () => 1, two: () => 2 });
      for (const unknown of ['three', 'constructor', '__proto__', 'toString']) {
        await expect(queue.run(unknown, undefined, { retries: 3 })).rejects.toThrow(
          `this worker has no handler '${unknown}'; its tasks module has one, two`,
        );
      }
      expect(await queue.run('one')).toBe(1);
    });

    test('fail({ retry: false }) fails it whatever is left', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x', undefined, { retries: 3 });
      const first = await elsewhere.get();
      await first.fail(new Error('once more'));
      const second = await elsewhere.get();
      expect(second.attempt).toBe(2);
      await second.fail(new Error('no more'), { retry: false });
      await expect(handle.result()).rejects.toMatchObject({ cause: { message: 'no more' } });
    });

    test('nobody need listen: an outcome that nobody asks for is no unhandled rejection', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        boom() {
          throw new Error('unheard');
        },
      });
      const handle = await queue.put('boom');
      const sentinel = await queue.put('boom');
      await expect(sentinel.result()).rejects.toThrow('unheard');
      expect(await handle.state()).toBe('failed');
      // vitest fails the run for any rejection that was not handled.
      await new Promise(setImmediate);
    });
  });

  describe('after', () => {
    test('a task waits for those that it comes after: by id, by handle', async () => {
      const { queue, elsewhere } = await aQueue();
      const first = await queue.put('first', undefined, { id: 'first' });
      const second = await queue.put('second');
      const last = await queue.put('last', undefined, { after: ['first', second] });
      expect(await last.state()).toBe('blocked');
      await (await elsewhere.get()).complete();
      expect([await first.state(), await last.state()]).toEqual(['succeeded', 'blocked']);
      await (await elsewhere.get()).complete();
      expect(await last.state()).toBe('ready');
      expect((await last.record()).after).toEqual(['first', second.id]);
    });

    test('after a task that did not succeed: skipped, and the error names the ancestor, with its error as cause', async () => {
      const { queue, elsewhere } = await aQueue();
      const root = await queue.put('root');
      const child = await queue.put('child', undefined, { after: [root] });
      const grandchild = await queue.put('grandchild', undefined, { after: [child] });
      await (await elsewhere.get()).fail(new Error('root fails'));
      for (const skipped of [child, grandchild]) {
        const error = await skipped.result().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(DependencyFailedError);
        expect(error).toMatchObject({
          ancestor: root.id,
          cause: { code: 'QM_TASK_FAILED', cause: { message: 'root fails' } },
        });
        expect(await skipped.state()).toBe('skipped');
      }
    });

    test('after a task that is not there: refused, naming it', async () => {
      const { queue } = await aQueue();
      await expect(queue.put('x', undefined, { after: ['nowhere'] })).rejects.toThrow(UnknownTaskError);
      await expect(queue.put('x', undefined, { after: ['nowhere'] })).rejects.toThrow(/'nowhere'.*keepRecords/);
      expect(await queue.dict.size()).toBe(0);
    });
  });

  describe('waiting for a result', () => {
    test('with a timeout, with a signal: only the waiting ends', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      await expect(handle.result({ timeout: 1 })).rejects.toThrow(TimeoutError);
      const abort = new AbortController();
      const waiting = handle.result({ signal: abort.signal });
      const why = new Error('no longer');
      abort.abort(why);
      await expect(waiting).rejects.toBe(why);
      await expect(handle.result({ signal: abort.signal })).rejects.toBe(why);
      await expect(handle.result({ timeout: -1 })).rejects.toThrow(RangeError);
      await (await elsewhere.get()).complete('after all');
      expect(await handle.result({ timeout: 60_000 })).toBe('after all');
    });

    test('from another client, by id, before and after the outcome', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      const there = elsewhere.handle(handle.id);
      const waiting = [there.result(), elsewhere.handle(handle.id).result(), queue.handle(handle.id).result()];
      expect(await there.state()).toBe('ready');
      await (await elsewhere.get()).complete({ some: 'output' });
      expect(await Promise.all(waiting)).toEqual(Array(3).fill({ some: 'output' }));
      expect(await elsewhere.handle(handle.id).result()).toEqual({ some: 'output' });
      const timed = elsewhere.handle((await queue.put('x')).id);
      await expect(timed.result({ timeout: 1 })).rejects.toThrow(TimeoutError);
    });

    test('a handle of a task that never was', async () => {
      const { queue } = await aQueue();
      const handle = queue.handle('never');
      await expect(handle.result()).rejects.toThrow(UnknownTaskError);
      await expect(handle.record()).rejects.toThrow(UnknownTaskError);
      await expect(handle.state()).rejects.toThrow(UnknownTaskError);
      await expect(handle.cancel()).rejects.toThrow(UnknownTaskError);
    });

    test('run: aborting, or the timeout, also cancels the task', async () => {
      const { queue, elsewhere } = await aQueue();
      const abort = new AbortController();
      const running = queue.run('x', undefined, { signal: abort.signal });
      const task = await elsewhere.get();
      const why = new Error('enough');
      abort.abort(why);
      await expect(running).rejects.toBe(why);
      await expect(aborted(task)).resolves.toBeInstanceOf(TaskCancelledError);
      await expect(queue.run('x', undefined, { timeout: 20 })).rejects.toThrow(TimeoutError);
      await expect(queue.handle('t2').result()).rejects.toThrow(TaskCancelledError);
    });

    test('run: aborted on its way to being accepted, the task is cancelled', async () => {
      const { queue } = await aQueue();
      const abort = new AbortController();
      const calls = Array.from({ length: 10 }, () => queue.run('x', undefined, { signal: abort.signal }));
      abort.abort(new Error('at once'));
      for (const call of calls) await expect(call).rejects.toThrow('at once');
      for (let i = 1; i <= calls.length; i++) {
        await expect(queue.handle(`t${i}`).result()).rejects.toThrow(TaskCancelledError);
      }
      expect(await queue.dict.counts()).toMatchObject({ ready: 0, cancelled: 10 });
    });

    test('put: aborted on its way, it settles as the manager says: accepted before, or not put at all', async () => {
      const { queue } = await aQueue({ maxSize: 5 });
      const abort = new AbortController();
      const calls = Array.from({ length: 10 }, () => queue.put('x', undefined, { signal: abort.signal }));
      abort.abort(new Error('at once'));
      const settled = await Promise.allSettled(calls);
      expect(settled.map(({ status }) => status)).toEqual([
        ...Array.from({ length: 5 }, () => 'fulfilled'),
        ...Array.from({ length: 5 }, () => 'rejected'),
      ]);
      expect(await queue.dict.counts()).toMatchObject({ ready: 5, cancelled: 0 });
      expect(await queue.dict.size()).toBe(5);
    });
  });

  describe('cancel', () => {
    test('Q10 while it waits: it never runs; its putter hears why', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      const next = await queue.put('y', undefined, { after: [handle] });
      expect(await elsewhere.handle(handle.id).cancel('not needed')).toBe(true);
      expect(await handle.cancel()).toBe(false);
      await expect(handle.result()).rejects.toThrow(TaskCancelledError);
      await expect(handle.result()).rejects.toThrow('not needed');
      await expect(next.result()).rejects.toThrow(DependencyFailedError);
      expect(await elsewhere.getNowait()).toBeUndefined();
    });

    test('Q10 while it runs: its signal fires, and what the handler still says is refused', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      const task = await elsewhere.get();
      const fired = aborted(task);
      expect(await queue.cancel(handle.id, 'stop it')).toBe(1);
      expect(await fired).toBeInstanceOf(TaskCancelledError);
      await expect(task.complete('late')).rejects.toMatchObject({ code: 'QM_LEASE_LOST' });
      await expect(handle.result()).rejects.toThrow('stop it');
      expect(await handle.record()).toMatchObject({ state: 'cancelled', attempt: 1 });
    });

    test('Q10 raced with complete: one outcome, the same for everybody', async () => {
      const { queue, elsewhere } = await aQueue();
      for (let i = 0; i < 50; i++) {
        const handle = await queue.put('x');
        const task = await elsewhere.get();
        const [completed, cancelled] = await Promise.all([
          task.complete('done').then(
            () => true,
            () => false,
          ),
          handle.cancel(),
        ]);
        expect(completed).toBe(!cancelled);
        expect(await handle.state()).toBe(cancelled ? 'cancelled' : 'succeeded');
        const result = handle.result();
        if (cancelled) await expect(result).rejects.toThrow(TaskCancelledError);
        else expect(await result).toBe('done');
      }
    });
  });

  describe('progress', () => {
    test('reaches whoever follows, here and elsewhere, and ends with the task', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      const followers = [handle.progress(), elsewhere.handle(handle.id).progress()].map((stream) =>
        stream[Symbol.asyncIterator](),
      );
      const first = followers.map((iterator) => iterator.next());
      const task = await elsewhere.get();
      // The manager hears both followers before this answers.
      await Promise.all([queue.dict.size(), elsewhere.dict.size()]);
      task.progress({ done: 1 });
      task.progress({ done: 2 });
      await task.complete();
      task.progress('too late');
      for (const [i, iterator] of followers.entries()) {
        expect(await first[i]).toEqual({ value: { done: 1 }, done: false });
        expect(await iterator.next()).toEqual({ value: { done: 2 }, done: false });
        expect(await iterator.next()).toEqual({ value: undefined, done: true });
      }
    });

    test('of a task that has ended: nothing; of one that never was: an error', async () => {
      const { queue, elsewhere } = await aQueue();
      const handle = await queue.put('x');
      await (await elsewhere.get()).complete();
      expect(await collected(handle.progress())).toEqual([]);
      await expect(collected(queue.handle('never').progress())).rejects.toThrow(UnknownTaskError);
    });
  });

  test('mistakes are named before anything is sent', async () => {
    const { queue } = await aQueue();
    const wrong = (input: unknown, options?: object) => queue.put('x', input, options);
    await expect(wrong({ deep: [{ callback: () => {} }] })).rejects.toMatchObject({
      code: 'QM_UNSERIALIZABLE',
      path: 'input.deep[0].callback',
    });
    await expect(wrong(1, { id: '' })).rejects.toThrow(TypeError);
    await expect(wrong(1, { id: 't7' })).rejects.toThrow(RangeError);
    await expect(wrong(1, { retries: -1 })).rejects.toThrow(RangeError);
    await expect(wrong(1, { retries: 1.5 })).rejects.toThrow(RangeError);
    await expect(wrong(1, { priority: NaN })).rejects.toThrow(TypeError);
    await expect(wrong(1, { prioritty: 1 })).rejects.toThrow(`no option 'prioritty'`);
    await expect(wrong(1, { after: 'first' })).rejects.toThrow(TypeError);
    await expect(wrong(1, { after: [1] })).rejects.toThrow(TypeError);
    await expect(wrong(1, { atMostOnce: 1 })).rejects.toThrow(TypeError);
    await expect(wrong(1, { timeout: -1 })).rejects.toThrow(RangeError);
    await expect(queue.put('')).rejects.toThrow(TypeError);
    await expect(queue.put('x'.repeat(1001))).rejects.toThrow(TypeError);
    await expect(queue.run('')).rejects.toThrow(TypeError);
    expect(await queue.dict.size()).toBe(0);
  });

  test('another ask with other options is refused at the first call', async () => {
    const name = fresh('queue');
    const { client } = rig();
    await client.tasks(name, { retries: 2, maxSize: 10 }).dict.size();
    expect(await client.tasks(name).dict.size()).toBe(0);
    expect(await client.tasks(name, { retries: 2, maxSize: 10 }).dict.size()).toBe(0);
    await expect(client.tasks(name, { retries: 3, maxSize: 10 }).put('x')).rejects.toThrow(/retries 2, not 3/);
    await expect(client.tasks(name, { retries: 3, maxSize: 10 }).put('x')).rejects.toBeInstanceOf(QuartermasterError);
  });
});

async function collected(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

/** The reason with which the task's signal fires. */
function aborted({ signal }: LeasedTask): Promise<unknown> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));
}
