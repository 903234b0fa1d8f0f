/** One task for each of many inputs, and waiting for many tasks. */
import { describe, expect, test } from 'vitest';
import {
  asCompleted,
  type LeasedTask,
  TaskCancelledError,
  TaskFailedError,
  type TaskHandle,
  TimeoutError,
  wait,
} from 'quartermaster';
import { arrived } from '../kit/arrived.ts';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue() {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name), elsewhere: other.tasks(name) };
  }

  const handlers = {
    double: (n: number) => 2 * n,
    odd: (n: number) => {
      if (n % 2 === 0) throw new RangeError(`${n} is even`);
      return n;
    },
  };

  describe('map', () => {
    test('gives the outputs in the order of the inputs, of iterables of both kinds', async () => {
      const { name, other, queue } = await aQueue();
      working(other, name, handlers, { concurrency: 3 });
      const inputs = Array.from({ length: 500 }, (_, i) => i);
      const doubled = inputs.map((i) => 2 * i);
      expect(await queue.map('double', inputs).toArray()).toEqual(doubled);
      async function* slowly() {
        for (const input of inputs) yield await Promise.resolve(input);
      }
      expect(await queue.map('double', slowly(), { inFlight: 7 }).toArray()).toEqual(doubled);
      expect(await queue.map('double', []).toArray()).toEqual([]);
    });

    test('unordered: each as it is done', async () => {
      const { queue, elsewhere } = await aQueue();
      const read: unknown[] = [];
      const reading = (async () => {
        for await (const output of queue.map('wait', ['a', 'b', 'c'], { ordered: false })) read.push(output);
      })();
      const tasks: LeasedTask[] = [];
      while (tasks.length < 3) tasks.push(await elsewhere.get());
      for (const at of [2, 0, 1]) {
        await tasks[at]!.complete(tasks[at]!.input);
        await until(() => arrived(rig().client).then(() => read.at(-1) === tasks[at]!.input));
      }
      await reading;
      expect(read).toEqual(['c', 'a', 'b']);
    });

    test('an infinite source is read no further ahead than `inFlight`', async () => {
      const { name, other, queue } = await aQueue();
      working(other, name, handlers);
      let asked = 0;
      function* forever() {
        for (;;) yield asked++;
      }
      const read: number[] = [];
      for await (const output of queue.map('double', forever(), { inFlight: 5 })) {
        read.push(output as number);
        expect(asked).toBeLessThanOrEqual(read.length + 6);
        if (read.length === 20) break;
      }
      expect(read).toEqual(Array.from({ length: 20 }, (_, i) => 2 * i));
    });

    test('the first failure ends it, and cancels the rest; with `yield` each input has its outcome', async () => {
      const { name, other, queue } = await aQueue();
      const loop = working(other, name, handlers);
      const read: unknown[] = [];
      const failing = (async () => {
        for await (const output of queue.map('odd', [1, 3, 4, 5, 7])) read.push(output);
      })();
      await expect(failing).rejects.toThrow(TaskFailedError);
      expect(read).toEqual([1, 3]);
      const outcomes = await queue.map('odd', [1, 2, 3], { onError: 'yield', ordered: true }).toArray();
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(outcomes[1]).toMatchObject({ reason: { cause: new RangeError('2 is even') } });
      await loop.stop();
    });

    test.each(['leaving the loop', 'its signal'])('%s cancels what has not ended', async (how) => {
      const { queue, elsewhere } = await aQueue();
      const aborting = new AbortController();
      const stream = queue.map('wait', [1, 2, 3, 4], { signal: aborting.signal, inFlight: 4 });
      const task = await elsewhere.get();
      await task.complete('first');
      const reading = (async () => {
        for await (const output of stream) {
          expect(output).toBe('first');
          if (how === 'leaving the loop') return;
          aborting.abort(new Error('enough'));
        }
      })();
      if (how === 'leaving the loop') await reading;
      else await expect(reading).rejects.toThrow('enough');
      await until(async () => (await queue.dict.counts()).cancelled === 3);
      await expect(queue.handle('t4').result()).rejects.toThrow(TaskCancelledError);
    });

    test.each(['a failure', 'its signal', 'leaving the loop'])(
      '%s ends it while its source takes its time',
      async (how) => {
        const { name, other, queue } = await aQueue();
        working(other, name, handlers);
        async function* slow() {
          yield how === 'a failure' ? 2 : 1;
          await new Promise(() => {});
        }
        const aborting = new AbortController();
        const reading = (async () => {
          for await (const output of queue.map('odd', slow(), { signal: aborting.signal })) {
            expect(output).toBe(1);
            if (how === 'leaving the loop') return 'left';
            aborting.abort(new Error('enough'));
          }
          return 'ended';
        })();
        if (how === 'leaving the loop') expect(await reading).toBe('left');
        else await expect(reading).rejects.toThrow(how === 'a failure' ? '2 is even' : 'enough');
      },
    );

    test('mistakes are named at once', async () => {
      const { queue } = await aQueue();
      expect(() => queue.map('double', [], { onError: 'ignore' as never })).toThrow(TypeError);
      expect(() => queue.map('double', [], { inFlight: 0 })).toThrow(RangeError);
      for (const chunkSize of [0, 1.5, 'some' as never]) {
        expect(() => queue.map('double', [], { chunkSize })).toThrow('chunkSize');
      }
      expect(() => queue.map('double', [], { signal: AbortSignal.abort(new Error('before')) })).toThrow('before');
      await expect(queue.map('double', [() => 1]).toArray()).rejects.toThrow('input');
    });
  });

  describe('asCompleted and wait', () => {
    /** So many tasks, all leased by somebody, and their handles. */
    async function leased(count: number) {
      const { queue, elsewhere } = await aQueue();
      const handles: TaskHandle[] = [];
      const tasks: LeasedTask[] = [];
      for (let i = 0; i < count; i++) {
        handles.push(await queue.put('wait', i));
        tasks.push(await elsewhere.get());
      }
      return { handles, tasks };
    }

    test('asCompleted gives the handles in the order in which their tasks end, however they end', async () => {
      const { handles, tasks } = await leased(4);
      const order: TaskHandle[] = [];
      const reading = (async () => {
        for await (const handle of asCompleted([...handles, handles[0]!])) order.push(handle);
      })();
      const ends = [
        () => tasks[2]!.complete('c'),
        () => tasks[0]!.fail(new Error('of the task')),
        () => handles[3]!.cancel(),
        () => tasks[1]!.complete('b'),
      ];
      for (const [at, end] of ends.entries()) {
        await end();
        await until(() => arrived(rig().client).then(() => order.length === at + 1));
      }
      await reading;
      expect(order).toEqual([handles[2], handles[0], handles[3], handles[1]]);
      expect(await asCompleted(handles).toArray()).toHaveLength(4);
      expect(await asCompleted([]).toArray()).toEqual([]);
    });

    test('asCompleted: a timeout and a signal are for all together; leaving cancels nothing', async () => {
      const { handles, tasks } = await leased(2);
      await expect(asCompleted(handles, { timeout: 5 }).toArray()).rejects.toThrow(TimeoutError);
      const aborting = new AbortController();
      const reading = asCompleted(handles, { signal: aborting.signal }).toArray();
      aborting.abort(new Error('enough'));
      await expect(reading).rejects.toThrow('enough');
      await tasks[1]!.complete();
      for await (const handle of asCompleted(handles)) {
        expect(handle).toBe(handles[1]);
        break;
      }
      expect(await handles[0]!.state()).toBe('leased');
      expect(() => asCompleted(handles, { timeout: -1 })).toThrow(RangeError);
    });

    test('asCompleted: two readers share what ends; after one has left there is nothing to read', async () => {
      const { handles, tasks } = await leased(3);
      const shared = asCompleted(handles);
      const readers = [shared.toArray(), shared.toArray()];
      for (const task of tasks) await task.complete();
      expect((await Promise.all(readers)).flat()).toHaveLength(3);
      const left = asCompleted(handles);
      for await (const handle of left) {
        expect(handles).toContain(handle);
        break;
      }
      expect((await left.toArray()).length).toBeLessThan(3);
    });

    test('wait: until all have ended, one has, or one has failed', async () => {
      const { handles, tasks } = await leased(4);
      const [first, failing, all] = (['first', 'first-error', 'all'] as const).map((until) => wait(handles, { until }));
      await tasks[1]!.complete();
      expect(await first).toEqual({ done: [handles[1]], pending: [handles[0], handles[2], handles[3]] });
      await tasks[3]!.complete();
      await tasks[0]!.fail(new Error('of the task'));
      expect(await failing).toEqual({ done: [handles[0], handles[1], handles[3]], pending: [handles[2]] });
      await expect(wait(handles, { timeout: 5 })).rejects.toThrow(TimeoutError);
      await tasks[2]!.complete();
      expect(await all).toEqual({ done: handles, pending: [] });
      expect(await wait(handles, { until: 'first-error' })).toEqual(await all);
      expect(await wait([])).toEqual({ done: [], pending: [] });
      await expect(wait(handles, { until: 'some' as never })).rejects.toThrow(TypeError);
    });
  });
});
