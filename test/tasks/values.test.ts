/** What inputs and outputs may name beside plain data: other tasks, and shared objects; and what cannot cross. */
import { describe, expect, test } from 'vitest';
import {
  type DictProxy,
  type LeasedTask,
  type LockProxy,
  ProxyDisposedError,
  type QueueProxy,
  type TaskContext,
  type TaskHandle,
  TaskFailedError,
  type TaskQueueProxy,
  UnknownTaskError,
} from 'quartermaster';
import { aClient, fresh, places, sharedRig, working } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place, { limits: { frameBytes: 1_000_000 } });

  async function aQueue() {
    const name = fresh('queue');
    const other = await aClient(rig());
    return { name, other, queue: rig().client.tasks(name), elsewhere: other.tasks(name) };
  }

  describe('handles inside an input', () => {
    test('are edges, and are replaced by the outputs', async () => {
      const { name, queue, other } = await aQueue();
      const one = await queue.put('value', 1);
      const two = await queue.put('value', { deep: [2n] });
      const sum = await queue.put('show', { one, list: [two, one, [two]], plain: 3, map: new Map([['one', one]]) });
      const last = await queue.put('show', sum);
      expect(await sum.state()).toBe('blocked');
      expect((await sum.record()).after.toSorted()).toEqual([one.id, two.id].toSorted());
      working(other, name, { value: (input) => input, show: (input) => ({ shown: input }) });
      const shown = { one: 1, list: [{ deep: [2n] }, 1, [{ deep: [2n] }]], plain: 3, map: new Map([['one', 1]]) };
      expect(await sum.result()).toEqual({ shown });
      expect(await last.result()).toEqual({ shown: { shown } });
    });

    test('of tasks that have ended, by id from another client, with undefined as output', async () => {
      const { queue, elsewhere } = await aQueue();
      const done = await queue.put('x');
      await (await take(elsewhere)).complete(undefined);
      await elsewhere.put('y', { output: elsewhere.handle(done.id), also: [elsewhere.handle(done.id)] });
      expect((await take(queue)).input).toEqual({ output: undefined, also: [undefined] });
    });

    test('a retry gets them again', async () => {
      const { queue, elsewhere } = await aQueue();
      const before = await queue.put('x');
      await queue.put('y', [before], { retries: 1 });
      await (await take(elsewhere)).complete('output');
      const first = await take(elsewhere);
      expect(first.input).toEqual(['output']);
      await first.fail(new Error('once'));
      expect((await take(elsewhere)).input).toEqual(['output']);
    });

    test('of a task that fails: skipped', async () => {
      const { queue, elsewhere } = await aQueue();
      const before = await queue.put('x');
      const task = await queue.put('y', { before });
      await (await take(elsewhere)).fail(new Error('boom'));
      await expect(task.result()).rejects.toMatchObject({ code: 'QM_DEPENDENCY_FAILED', ancestor: before.id });
    });

    test('of a task that is not there, or of another queue: refused', async () => {
      const { queue } = await aQueue();
      const there = await aQueue();
      const foreign = await there.queue.put('x');
      await expect(queue.put('y', { before: queue.handle('never') })).rejects.toThrow(UnknownTaskError);
      await expect(queue.put('y', { before: foreign })).rejects.toThrow(there.name);
      await expect(queue.put('y', 1, { after: [foreign] })).rejects.toThrow(there.name);
      expect(await queue.dict.size()).toBe(0);
    });

    test('the same id with the same handles inside is the same task', async () => {
      const { queue } = await aQueue();
      const [one, two] = [await queue.put('x'), await queue.put('x')];
      await queue.put('y', { one, two }, { id: 'mine' });
      expect((await queue.put('y', { one, two }, { id: 'mine' })).id).toBe('mine');
      await expect(queue.put('y', { one: two, two: one }, { id: 'mine' })).rejects.toThrow('another input');
    });

    test('as an output, a handle arrives as a handle', async () => {
      const { queue, elsewhere } = await aQueue();
      const inner = await queue.put('inner', 1, { priority: -1 });
      const outer = await queue.put('outer');
      await (await take(elsewhere)).complete({ inner: elsewhere.handle(inner.id) });
      const { inner: there } = (await outer.result()) as { inner: TaskHandle };
      expect(there.id).toBe(inner.id);
      await (await take(elsewhere)).complete('inner output');
      expect(await there.result()).toBe('inner output');
    });
  });

  describe('proxies', () => {
    test('in an input arrive live, named or not', async () => {
      const { queue, elsewhere } = await aQueue();
      const { client } = rig();
      const named = client.dict(fresh('dict'));
      const unnamed = client.queue();
      await queue.put('x', { named, list: [unnamed, client.lock()], tasks: queue });
      const task = await take(elsewhere);
      const input = task.input as { named: DictProxy; list: [QueueProxy, LockProxy]; tasks: TaskQueueProxy };
      expect([input.named.name, input.named.typeId, input.list[0].typeId]).toEqual([named.name, 'dict', 'queue']);
      await input.named.set('from', 'the worker');
      await input.list[0].put('hello');
      const guard = await input.list[1].tryAcquire();
      expect(guard).toBeDefined();
      await guard?.release();
      expect(await input.tasks.dict.size()).toBe(1);
      await task.complete();
      expect(await named.get('from')).toBe('the worker');
      expect(await unnamed.get()).toBe('hello');
    });

    test('in an output arrive live, also one that only the worker had', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        async make(value) {
          const dict = other.dict();
          await dict.set('value', value);
          return { dict };
        },
      });
      const { dict } = (await queue.run('make', 42)) as { dict: DictProxy };
      expect(await dict.get('value')).toBe(42);
      const handle = await queue.put('make', 43);
      expect(await ((await handle.result()) as { dict: DictProxy }).dict.get('value')).toBe(43);
    });

    test('an output reaches the input of another task with its proxies', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        async make() {
          const dict = other.dict<string, number>();
          await dict.set('n', 1);
          return [dict];
        },
        async use([dict]: [DictProxy<string, number>]) {
          return dict.increment('n', 4);
        },
      });
      expect(await queue.run('use', await queue.put('make'))).toBe(5);
    });

    test('a proxy that was disposed of is refused at the caller, and the worker lives', async () => {
      const { name, queue, other } = await aQueue();
      const disposed = other.dict(fresh('dict'));
      await disposed.dispose();
      working(other, name, { bad: () => ({ deep: [disposed] }), good: () => 'good' });
      await expect(other.tasks(name).put('x', { disposed })).rejects.toThrow(ProxyDisposedError);
      await expect(queue.run('bad')).rejects.toMatchObject({ cause: { code: 'QM_PROXY_DISPOSED' } });
      expect(await queue.run('good')).toBe('good');
    });
  });

  test('an output that the manager refuses fails its task', async () => {
    const { name, queue, other } = await aQueue();
    // The name is taken by an object of another type.
    working(other, name, { bad: () => [other.dict(name)], good: () => 'good' });
    await expect(queue.run('bad')).rejects.toMatchObject({ cause: { code: 'QM_TYPE_MISMATCH' } });
    expect(await queue.run('good')).toBe('good');
  });

  describe('P2 what cannot cross', () => {
    test('an output fails its task at once, with the path; the worker stays', async () => {
      const { name, queue, other } = await aQueue();
      let ran = 0;
      working(other, name, {
        bad: () => {
          ran++;
          return { list: [1, { callback: () => {} }] };
        },
        promise: () => ({ later: Promise.resolve(1) }),
        instance: () => new (class Mine {})(),
        good: () => 'good',
      });
      const error = await queue.run('bad', undefined, { retries: 3 }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(TaskFailedError);
      expect(error).toMatchObject({ cause: { code: 'QM_UNSERIALIZABLE', path: 'output.list[1].callback' } });
      expect(ran).toBe(1);
      for (const other of ['promise', 'instance']) {
        await expect(queue.run(other)).rejects.toMatchObject({ cause: { code: 'QM_UNSERIALIZABLE' } });
      }
      expect(await queue.run('good')).toBe('good');
    });

    test('an output over the frame limit fails its task, and so does an error over it; the worker stays', async () => {
      const { name, queue, other } = await aQueue();
      const large = 'x'.repeat(1_000_001);
      working(other, name, {
        large: () => large,
        largeError: () => {
          throw Object.assign(new RangeError('too much'), { large });
        },
        largeMessage: () => {
          throw new RangeError(large);
        },
        good: () => 'good',
      });
      await expect(queue.run('large')).rejects.toMatchObject({ cause: { code: 'QM_FRAME_TOO_LARGE' } });
      await expect(queue.run('largeError')).rejects.toThrow('too much');
      await expect(queue.run('largeMessage')).rejects.toMatchObject({ code: 'QM_TASK_FAILED' });
      await expect(queue.put('good', large)).rejects.toMatchObject({ code: 'QM_FRAME_TOO_LARGE' });
      expect(await queue.run('good')).toBe('good');
    });

    test('an input too large with the outputs in it fails its task, and not its worker', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        half: () => 'x'.repeat(600_000),
        join: (all: string[]) => all.join('').length,
        good: () => 'good',
      });
      const halves = [await queue.put('half'), await queue.put('half')];
      await expect(queue.run('join', halves)).rejects.toMatchObject({ code: 'QM_TASK_FAILED' });
      expect(await queue.run('good')).toBe('good');
      expect(await queue.run('join', [halves[0]])).toBe(600_000);
    });

    test('an error that holds what cannot cross still says what went wrong', async () => {
      const { name, queue, other } = await aQueue();
      working(other, name, {
        odd: () => {
          throw Object.assign(new RangeError('odd'), { socket: { write: () => {} } });
        },
      });
      await expect(queue.run('odd')).rejects.toMatchObject({ cause: { name: 'RangeError', message: 'odd' } });
    });
  });

  test('the context of a handler: who, what, which attempt', async () => {
    const { name, queue, other } = await aQueue();
    let seen: TaskContext | undefined;
    working(other, name, { look: (_, context) => void (seen = context) }, { name: 'the worker' });
    await queue.run('look', undefined, { id: 'mine' });
    expect(seen).toMatchObject({ id: 'mine', name: 'look', attempt: 1, worker: 'the worker', pid: process.pid });
    expect(typeof seen?.token).toBe('bigint');
    expect(seen?.signal.aborted).toBe(false);
  });
});

async function take(queue: { getNowait(): Promise<LeasedTask | undefined> }): Promise<LeasedTask> {
  const task = await queue.getNowait();
  if (task === undefined) throw new Error('nothing is ready');
  return task;
}
