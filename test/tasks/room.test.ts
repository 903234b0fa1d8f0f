/** A queue with bounds: who waits for room, in which order, and who gets out of the wait. */
import { describe, expect, test } from 'vitest';
import {
  type LeasedTask,
  QueueFullError,
  type TaskHandle,
  type TaskQueueOptions,
  type TaskQueueProxy,
  TimeoutError,
} from 'quartermaster';
import { lose } from '../kit/arrived.ts';
import { aClient, fresh, places, sharedRig } from '../kit/tasks-rig.ts';

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options: TaskQueueOptions) {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, options);
    const other = await aClient(rig());
    return { name, other, queue, elsewhere: other.tasks(name) };
  }

  test('maxSize: put waits until a task has been taken, putNowait is refused', async () => {
    const { queue, elsewhere } = await aQueue({ maxSize: 2 });
    await queue.put('x', 1);
    await queue.putNowait('x', 2);
    await expect(elsewhere.putNowait('x', 3)).rejects.toThrow(QueueFullError);
    const { waiting, accepted } = watched([queue.put('x', 3)]);
    expect(await queue.dict.size()).toBe(2);
    expect(accepted).toEqual([]);
    await take(elsewhere);
    await waiting[0];
    expect(await queue.dict.size()).toBe(3);
  });

  test('Q2 those who wait are admitted in their order, whoever they are; nobody overtakes', async () => {
    const { queue, elsewhere } = await aQueue({ maxSize: 1 });
    await queue.put('x', 'first');
    const puts: Promise<TaskHandle>[] = [];
    for (let i = 0; i < 6; i++) {
      const putter = i % 2 === 0 ? queue : elsewhere;
      puts.push(putter.put('x', i));
      await putter.dict.size();
    }
    // There may be room for it now and then, but others were here first.
    const order: unknown[] = [];
    for (let i = 0; i < 7; i++) {
      const task = await elsewhere.get();
      order.push(task.input);
      await task.complete();
    }
    expect(order).toEqual(['first', 0, 1, 2, 3, 4, 5]);
    await Promise.all(puts);
  });

  test('Q2 putMany keeps its order through a full queue', async () => {
    const { queue, elsewhere } = await aQueue({ maxSize: 3 });
    const handles = queue
      .putMany(
        'x',
        Array.from({ length: 50 }, (_, i) => i),
      )
      .toArray();
    for (let i = 0; i < 50; i++) {
      const task = await elsewhere.get();
      expect(task.input).toBe(i);
      await task.complete(i);
    }
    const results = (await handles).map((handle) => handle.result());
    expect(await Promise.all(results)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('Q2 a put that is aborted while it waits inserts nothing', async () => {
    const { queue, elsewhere } = await aQueue({ maxSize: 1 });
    await queue.put('x', 'first');
    const abort = new AbortController();
    const aborted = elsewhere.put('x', 'aborted', { signal: abort.signal });
    const last = elsewhere.put('x', 'last');
    await elsewhere.dict.size();
    abort.abort(new Error('no more'));
    await expect(aborted).rejects.toThrow('no more');
    await expect(elsewhere.put('x', 'timed', { timeout: 1 })).rejects.toThrow(TimeoutError);
    await elsewhere.dict.size();
    expect((await take(queue)).input).toBe('first');
    await last;
    expect((await take(queue)).input).toBe('last');
    expect(await queue.dict.size()).toBe(2);
  });

  test('Q2 the waits of a session end with it', async () => {
    const { queue } = await aQueue({ maxSize: 1 });
    await queue.put('x', 'first');
    const leaving = await rig().another();
    // Whoever gets the lock knows that the session has ended.
    const lock = fresh('lock');
    await leaving.lock(lock).acquire();
    const lost = leaving.tasks(queue.name as string).put('x', 'lost');
    await leaving.lock(lock).locked();
    await Promise.all([expect(lost).rejects.toThrow('closed'), leaving.close()]);
    await rig().client.lock(lock).acquire();
    const last = queue.put('x', 'last');
    expect((await take(queue)).input).toBe('first');
    await last;
    expect((await take(queue)).input).toBe('last');
  });

  test.each(['cancelled', 'skipped'] as const)('a task that is %s makes room', async (how) => {
    const { queue, elsewhere } = await aQueue({ maxSize: 1 });
    const first = await queue.put('x', 'first');
    let freed: () => Promise<unknown> = () => first.cancel();
    if (how === 'skipped') {
      const running = await take(elsewhere);
      await queue.put('x', 'dependent', { after: [first] });
      freed = () => running.fail(new Error('boom'));
    }
    const waiting = queue.put('x', 'next');
    await queue.dict.size();
    await freed();
    expect(await (await waiting).state()).toBe('ready');
  });

  test('a lost worker that takes its task with it makes room for those who wait for its dependents', async () => {
    const { queue } = await aQueue({ maxSize: 1 });
    const leaving = await rig().another();
    const first = await queue.put('x', 'first', { atMostOnce: true });
    await take(leaving.tasks(queue.name));
    await queue.put('x', 'dependent', { after: [first] });
    const waiting = queue.put('x', 'next');
    await queue.dict.size();
    await leaving.close();
    expect(await (await waiting).state()).toBe('ready');
  });

  test('maxBytes: large inputs wait; one larger than the bound passes when nothing else waits', async () => {
    const { queue, elsewhere } = await aQueue({ maxBytes: 1000 });
    const kilo = 'x'.repeat(900);
    await queue.put('x', kilo);
    await expect(queue.putNowait('x', kilo)).rejects.toThrow(QueueFullError);
    await queue.putNowait('x', 1);
    const huge = queue.put('x', 'x'.repeat(10_000));
    // It waits behind it, although there would be room.
    const small = queue.put('x', 2);
    await queue.dict.size();
    const order: number[] = [];
    for (let i = 0; i < 4; i++) order.push(String((await elsewhere.get()).input).length);
    expect(order).toEqual([900, 1, 10_000, 1]);
    await Promise.all([huge, small]);
  });

  test('of the waiting puts of a client that is lost none goes in because another one has left', async () => {
    const { queue, other, elsewhere } = await aQueue({ maxBytes: 1000 });
    await queue.put('x', 'x'.repeat(900));
    const lost = ['x'.repeat(10_000), 'would fit'].map((input) => expect(elsewhere.put('x', input)).rejects.toThrow());
    await arrived(elsewhere);
    const next = queue.put('x', 'of somebody else');
    await lose(other, rig().client);
    await Promise.all(lost);
    await next;
    expect(String((await take(queue)).input)).toHaveLength(900);
    expect((await take(queue)).input).toBe('of somebody else');
    expect(await queue.getNowait()).toBe(undefined);
  });

  test('a put that is aborted while somebody else holds the queue inserts nothing', async () => {
    const { queue, elsewhere } = await aQueue({});
    await queue.withLock(async (held) => {
      const abort = new AbortController();
      const aborted = elsewhere.put('x', 'aborted', { signal: abort.signal });
      await arrived(elsewhere);
      abort.abort(new Error('no more'));
      await expect(aborted).rejects.toThrow('no more');
      await arrived(elsewhere);
      await held.put('x', 'mine');
    });
    await queue.put('x', 'last');
    expect([(await take(queue)).input, (await take(queue)).input, await queue.getNowait()]).toEqual([
      'mine',
      'last',
      undefined,
    ]);
  });

  test('a put that waits is not admitted while somebody holds the queue', async () => {
    const { queue, elsewhere } = await aQueue({ maxSize: 1 });
    await queue.put('x', 'first');
    const { waiting, accepted } = watched([elsewhere.put('x', 'second')]);
    await elsewhere.dict.size();
    await queue.withLock(async (held) => {
      await (await take(held)).complete();
      await arrived(elsewhere);
      expect(accepted).toEqual([]);
      await held.put('x', 'mine');
    });
    expect((await take(queue)).input).toBe('mine');
    await waiting[0];
    expect((await take(queue)).input).toBe('second');
  });

  test('bounds must be bounds', async () => {
    const { client } = rig();
    for (const options of [
      { maxSize: 0 },
      { maxSize: 1.5 },
      { maxBytes: -1 },
      { leaseTimeout: 0 },
      { poisonAfter: 0 },
      { ageing: 0 },
      { concurrency: 0 },
      { keyConcurrency: 1.5 },
      { weights: { a: -1 } },
      { rateLimit: { max: 0, per: 1 } },
      { rateLimit: { max: 1, per: 0 } },
      { backoff: { base: 1, factor: 0.5 } },
      { keepRecords: { bytes: -1 } },
      { keepRecords: { bytes: 0.5 } },
      { keepDeadLetters: { bytes: NaN } },
      { keepDeadLetters: { age: 0 } },
    ]) {
      expect(() => client.tasks(fresh('queue'), options)).toThrow(RangeError);
    }
    for (const [options, why] of [
      [{ size: 1 }, "no option 'size'"],
      [{ policy: 'random' }, "no policy 'random'"],
      [{ policy: { compare: () => 0 } }, 'runs in the manager'],
      [{ backoff: { base: 1, jitter: 'half' } }, 'jitter'],
      [{ rateLimit: { max: 1, per: 1, key: true } }, "no option 'key'"],
      [{ keepRecords: { byte: 1 } }, "keepRecords has no option 'byte'; it takes count, age, bytes"],
      [{ keepDeadLetters: { bytes: '1' } }, 'keepDeadLetters.bytes must be a whole number of at least 0, not 1'],
    ] as const) {
      expect(() => client.tasks(fresh('queue'), options as object)).toThrow(why);
    }
  });

  test('a later ask is for the same options, whatever their form, or is refused', async () => {
    const options: TaskQueueOptions = {
      policy: 'lifo',
      weights: { a: 2, b: 1 },
      rateLimit: { max: 5, per: 1_000 },
      backoff: { base: 10 },
      keyConcurrency: 2,
    };
    const { elsewhere, queue, name, other } = await aQueue(options);
    await queue.put('x');
    await elsewhere.put('x');
    await other.tasks(name, structuredClone(options)).put('x');
    const others: TaskQueueOptions = { ...options, weights: { a: 3, b: 1 } };
    await expect(other.tasks(name, others).put('x')).rejects.toThrow(
      /exists with weights \{"a":2,"b":1\}, not \{"a":3,"b":1\}/,
    );
  });
});

function watched(waiting: Promise<TaskHandle>[]) {
  const accepted: string[] = [];
  for (const wait of waiting) void wait.then(({ id }) => accepted.push(id));
  return { waiting, accepted };
}

async function take(queue: { getNowait(): Promise<LeasedTask | undefined> }): Promise<LeasedTask> {
  const task = await queue.getNowait();
  if (task === undefined) throw new Error('nothing is ready');
  return task;
}

/** A call that waits for no hold: what was asked before it has arrived when it is answered. */
async function arrived(queue: TaskQueueProxy): Promise<void> {
  await queue
    .handle('nobody')
    .result()
    .catch(() => {});
}
