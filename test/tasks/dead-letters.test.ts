/** Dead letters: what is kept of tasks that failed or expired, for how long, and how they are run again. */
import { describe, expect, test } from 'vitest';
import { type TaskQueueOptions, type TaskRecord, UnknownTaskError } from 'quartermaster';
import { aClient, aGroup, fresh, places, sharedRig } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options?: TaskQueueOptions) {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, options);
    return { name, queue, elsewhere: (await aClient(rig())).tasks(name) };
  }

  const errors = ({ history }: TaskRecord) => history.flatMap(({ error }) => (error === undefined ? [] : [error]));

  test('Q7 every attempt is told: code, message, the stack of its error', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('x', undefined, { retries: 2 });
    for (const which of ['first', 'second', 'third']) await (await elsewhere.get()).fail(new RangeError(which));
    const record = await handle.record();
    const told = [...errors(record), record.error];
    expect(told).toEqual(
      ['first', 'second', 'third'].map((which) => ({
        code: 'QM_TASK_FAILED',
        message: `task '${handle.id}' (x) failed: RangeError: ${which}`,
        stack: expect.stringMatching(new RegExp(`^RangeError: ${which}\n.*dead-letters`, 's')),
      })),
    );
    const thrownText = await queue.put('x');
    await (await elsewhere.get()).fail('only text');
    expect((await thrownText.record()).error).not.toHaveProperty('stack');
  });

  test('listed and redriven by filter; the old outcome, with its error, is history', async () => {
    const { queue, elsewhere } = await aQueue();
    for (const name of ['a', 'b', 'a']) {
      await queue.put(name, name);
      await (await elsewhere.get()).fail(new Error(`dead ${name}`));
    }
    const dead = await queue.dict.entries({ state: 'failed', name: 'a' });
    expect(dead.map(([id]) => id)).toEqual(['t1', 't3']);
    expect(await queue.retry({ state: 'failed', name: 'a', limit: 1 })).toBe(1);
    expect(await queue.retry('t3')).toBe(1);
    for (const _ of dead) await (await elsewhere.get()).complete('alive');
    const record = (await queue.dict.get('t1')) as TaskRecord;
    expect(record).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect(errors(record)).toMatchObject([{ code: 'QM_TASK_FAILED', message: expect.stringContaining('dead a') }]);
    expect((await queue.dict.entries({ state: 'failed' })).map(([id]) => id)).toEqual(['t2']);
  });

  test('what succeeds does not make them go; a bound of their own does, at that number', async () => {
    const { queue, elsewhere } = await aQueue({ keepRecords: { count: 1 }, keepDeadLetters: { count: 2 } });
    for (let i = 0; i < 3; i++) {
      await (await queue.put('x', i, { id: `dead ${i}` })).state();
      await (await elsewhere.get()).fail(new Error('dead'));
      await queue
        .handle(`dead ${i}`)
        .result()
        .catch(() => {});
    }
    for (let i = 0; i < 5; i++) {
      const handle = await queue.put('x', i, { id: `alive ${i}` });
      await (await elsewhere.get()).complete();
      await handle.result();
    }
    expect((await queue.dict.entries()).map(([id]) => id)).toEqual(['dead 1', 'dead 2', 'alive 4']);
    await expect(queue.retry('dead 0')).rejects.toThrow(UnknownTaskError);
    await expect(queue.retry('dead 0')).rejects.toThrow('of those that failed: 2');
    // One that lives again is none of them.
    expect(await queue.retry('dead 1')).toBe(1);
    await (await elsewhere.get()).complete();
    await queue.put('x', 3, { id: 'dead 3' });
    await (await elsewhere.get()).fail(new Error('dead'));
    expect((await queue.dict.entries({ state: 'failed' })).map(([id]) => id)).toEqual(['dead 2', 'dead 3']);
    const wrong = { keepDeadLetters: { count: -1 } };
    expect(() => rig().client.tasks(fresh('queue'), wrong)).toThrow('keepDeadLetters.count');
  });

  test('bytes of their own: inputs and errors count, and one that is run anew takes its own along', async () => {
    const { queue, elsewhere } = await aQueue({ keepRecords: { bytes: 100 }, keepDeadLetters: { bytes: 4_500 } });
    const text = 'x'.repeat(1_000);
    const dead = async (): Promise<string[]> => (await queue.dict.entries({ state: 'failed' })).map(([id]) => id);
    const fail = async (error: Error): Promise<void> => {
      await queue.put('x', text);
      await (await elsewhere.get()).fail(error);
    };
    const small = new Error('small');
    small.stack = '';
    for (let i = 1; i <= 4; i++) await fail(small);
    expect(await dead()).toEqual(['t1', 't2', 't3', 't4']);
    expect(await queue.retry('t1')).toBe(1);
    await (await elsewhere.get()).complete();
    await fail(small);
    expect(await dead()).toEqual(['t2', 't3', 't4', 't5']);
    await fail(Object.assign(small, { text: 'x'.repeat(2_000) }));
    expect(await dead()).toEqual(['t5', 't6']);
    await expect(queue.retry('t2')).rejects.toThrow('of those that failed: 200000, 3600000 ms, 4500 bytes');
  });

  test('without one they are kept as the others are, and counted apart', async () => {
    const { queue, elsewhere } = await aQueue({ keepRecords: { count: 1 } });
    for (const id of ['dead 1', 'dead 2', 'alive']) {
      const handle = await queue.put('x', id, { id });
      const task = await elsewhere.get();
      await (id === 'alive' ? task.complete() : task.fail(new Error(id)));
      await handle.result().catch(() => {});
    }
    expect((await queue.dict.entries()).map(([id]) => id)).toEqual(['dead 2', 'alive']);
  });

  test('a history is bounded, and stays a chain', async () => {
    const { queue, elsewhere } = await aQueue();
    const handle = await queue.put('x', undefined, { retries: 150 });
    for (let i = 0; i <= 150; i++) await (await elsewhere.get()).fail(new Error('x'.repeat(5_000)));
    const { history } = await handle.record();
    expect(history.length).toBeLessThanOrEqual(203);
    for (const [i, { from }] of history.entries()) expect(from).toBe(i === 0 ? 'new' : history[i - 1]?.to);
    const left = history.filter(({ why }) => why.endsWith('changes are left out'));
    expect(left.map(({ why }) => why)).toEqual(['101 changes are left out']);
    expect(Math.max(...history.slice(0, -1).map(({ why }) => why.length))).toBeLessThan(2_100);
  });

  test.runIf(place !== 'socket')('Q6 a dead letter lists every worker that it took with it', async () => {
    const { name, queue } = await aQueue({ poisonAfter: 3 });
    const group = await aGroup(rig().client, { queue: name, count: 1 });
    const lost: { pid: number }[] = [];
    group.on('workerLost', (worker) => lost.push(worker));
    const handle = await queue.put('exit', { code: 7 });
    await expect(handle.result()).rejects.toMatchObject({ exitCode: 7 });
    const record = await handle.record();
    const told = [...errors(record), record.error];
    expect(told).toMatchObject(Array(3).fill({ code: 'QM_WORKER_LOST', exitCode: 7 }));
    expect(new Set(told.map((error) => error?.pid)).size).toBe(3);
    expect(told.map((error) => error?.pid)).toEqual(lost.map(({ pid }) => pid));
  });
});
