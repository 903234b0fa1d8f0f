/** `map` with worker processes, which are given ranges of inputs: whatever happens to one of them, none of it is seen. */
import { describe, expect, test } from 'vitest';
import { type StartWorkersOptions, TaskFailedError, type TaskQueueProxy, WorkerLostError } from 'quartermaster';
import { aClient, aGate, aGroup, fresh, places, sharedRig } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

const module = new URL('../fixtures/map-tasks.mjs', import.meta.url);

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function* endless() {
  for (let i = 0; ; i++) yield i;
}

describe.each(places)('%s', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options: StartWorkersOptions = {}, queueOptions = {}): Promise<TaskQueueProxy> {
    const name = fresh('queue');
    const queue = rig().client.tasks(name, queueOptions);
    await aGroup(rig().client, { queue: name, count: 2, ...options }, module);
    return queue;
  }

  test('tens of thousands of inputs: every output once, in their order, of both kinds of iterables and handlers', async () => {
    const queue = await aQueue();
    const inputs = numbers(30_000);
    const doubled = inputs.map((n) => 2 * n);
    expect(await queue.map('double', inputs).toArray()).toEqual(doubled);
    expect(await queue.map('doubleLater', inputs).toArray()).toEqual(doubled);
    async function* slowly() {
      for (const n of inputs)
        yield n % 1000 === 0 ? await new Promise<number>((resolve) => setImmediate(resolve, n)) : n;
    }
    const read: unknown[] = [];
    for await (const output of queue.map('double', slowly(), { ordered: false })) read.push(output);
    expect(read.toSorted((a, b) => (a as number) - (b as number))).toEqual(doubled);
    const counts = await queue.dict.counts();
    expect(counts).toMatchObject({ succeeded: 90_000, leased: 0, ready: 0, cancelled: 0, failed: 0 });
    // Far fewer records than inputs: most stand for many.
    const records = [...(await queue.dict.entries({ limit: 90_000 }))].map(([, record]) => record);
    expect(records.length).toBeLessThan(45_000);
    expect(records.reduce((sum, { inputs: many = 1 }) => sum + many, 0)).toBe(90_000);
  });

  test.each([1, 7, 1000])('chunks of %i, given by the caller', async (chunkSize) => {
    const queue = await aQueue();
    expect(await queue.map('double', numbers(3000), { chunkSize }).toArray()).toEqual(numbers(3000).map((n) => 2 * n));
  });

  test('an endless source is left: no more is asked of it, and nothing stays behind', async () => {
    const queue = await aQueue();
    let asked = 0;
    function* counted() {
      for (const n of endless()) yield (asked = n);
    }
    let read = 0;
    for await (const output of queue.map('double', counted(), { inFlight: 500 })) {
      expect(output).toBe(2 * read);
      expect(asked).toBeLessThanOrEqual(read + 501);
      if (++read === 5000) break;
    }
    await until(async () => {
      const { ready, leased } = await queue.dict.counts();
      return ready + leased === 0;
    });
    expect(await queue.map('double', [4]).toArray()).toEqual([8]);
  });

  test('each input has its own attempts, and its own failure', async () => {
    const queue = await aQueue();
    const inputs = numbers(1000).map((n) => ({ n, fails: n % 50 === 7 ? 2 : 0 }));
    const outputs = await queue.map('trying', inputs, { retries: 2, chunkSize: 40 }).toArray();
    expect(outputs).toEqual(inputs.map(({ n, fails }) => ({ n, attempt: fails + 1 })));
    const failing = numbers(300).map((n) => ({
      n,
      fails: n % 60 === 11 ? 9 : 0,
      final: n === 71,
      unsendable: n % 60 === 30,
    }));
    const outcomes = await queue.map('trying', failing, { retries: 1, onError: 'yield', chunkSize: 25 }).toArray();
    expect(outcomes).toHaveLength(300);
    outcomes.forEach((outcome, n) => {
      if (n % 60 === 11) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'QM_TASK_FAILED' } });
      else if (n % 60 === 30) expect(String((outcome as PromiseRejectedResult).reason)).toContain('output.call');
      else expect(outcome).toEqual({ status: 'fulfilled', value: { n, attempt: 1 } });
    });
    const dead = [...(await queue.dict.entries({ state: 'failed' }))].map(([, record]) => record);
    expect(dead.filter(({ attempt }) => attempt === 2)).toHaveLength(4);
    expect(dead).toHaveLength(10);
    await expect(queue.map('trying', failing, { chunkSize: 25 }).toArray()).rejects.toThrow(TaskFailedError);
  });

  test('with a window that short tasks have made large, a worker holds two ranges, and leaves the rest to others', async () => {
    const queue = await aQueue({ count: 1 });
    await Promise.all(numbers(5000).map((n) => queue.run('double', n)));
    // It runs something: a call of its loop that crosses with the first ranges would bring one more.
    const [started, go] = [rig().client.queue<number>(), rig().client.queue<number>()];
    const running = queue.run('awaiting', { n: 0, started, go });
    await started.get();
    const gate = aGate();
    const outputs = queue.map(
      'blocking',
      numbers(500).map((n) => ({ n, file: n === 0 ? gate.file : undefined })),
    );
    await until(async () => (await queue.dict.counts()).leased > 1);
    expect((await queue.dict.counts()).leased).toBe(3);
    await go.put(0);
    expect(await running).toBe(0);
    await until(async () => (await queue.dict.counts()).leased < 3);
    expect((await queue.dict.counts()).leased).toBe(2);
    gate.open();
    expect(await outputs.toArray()).toEqual(numbers(500));
  });

  test.each(['put', 'map'] as const)(
    'what has ended is told before the first task of another name keeps the thread: %s',
    async (how) => {
      const queue = await aQueue({ count: 1 });
      await Promise.all(numbers(1000).map((n) => queue.run('double', n)));
      const [started, go] = [rig().client.queue<number>(), rig().client.queue<number>()];
      const running = queue.run('awaiting', { n: 0, started, go });
      await started.get();
      const gate = aGate();
      const inputs = [{ n: 1, file: gate.file }];
      const output =
        how === 'map'
          ? queue
              .map('blocking', inputs)
              .toArray()
              .then(([only]) => only)
          : queue.run('blocking', inputs[0]);
      await until(async () => (await queue.dict.counts()).leased === 2);
      await go.put(0);
      expect(await running).toBe(0);
      gate.open();
      expect(await output).toBe(1);
    },
  );

  test('W1 W7 what waits behind a long input goes to whoever has nothing to do', async () => {
    const queue = await aQueue();
    const gate = aGate();
    const inputs = numbers(60).map((n) => ({ n, file: n === 3 ? gate.file : undefined }));
    const read: unknown[] = [];
    for await (const output of queue.map('blocking', inputs, { ordered: false, chunkSize: 30 })) {
      read.push(output);
      // What the blocked thread has done before may still be there with it.
      if (read.length === 56) gate.open();
    }
    expect(read.toSorted((a, b) => (a as number) - (b as number))).toEqual(numbers(60));
    expect(read.indexOf(3)).toBeGreaterThanOrEqual(56);
  });

  test('also where it only awaits something, and its thread is free', async () => {
    const queue = await aQueue();
    const go = rig().client.queue<number>();
    const inputs = numbers(40).map((n) => (n === 5 ? { n, go } : { n }));
    const read: unknown[] = [];
    for await (const output of queue.map('awaiting', inputs, { ordered: false, chunkSize: 20 })) {
      read.push(output);
      if (read.length === 39) await go.put(0);
    }
    expect(read.at(-1)).toBe(5);
  });

  test('W1 Q11 workers that die in the middle: every input has one outcome, and the right one', async () => {
    const queue = await aQueue({}, { poisonAfter: 10 });
    const inputs = numbers(2000).map((n) => ({ n, kills: n % 400 === 123 ? 1 : 0 }));
    const outputs = await queue.map('killing', inputs, { chunkSize: 50, ordered: false }).toArray();
    expect(outputs.toSorted((a, b) => (a as number) - (b as number))).toEqual(numbers(2000));
    expect(await queue.dict.counts()).toMatchObject({ succeeded: 2000, failed: 0, leased: 0, ready: 0 });
  });

  test('Q6 an input that ends its workers again and again is failed, and no other one', async () => {
    const queue = await aQueue();
    const inputs = numbers(200).map((n) => ({ n, kills: n === 77 ? Infinity : 0 }));
    const outcomes = await queue.map('killing', inputs, { chunkSize: 100, onError: 'yield' }).toArray();
    outcomes.forEach((outcome, n) => {
      if (n === 77) expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(WorkerLostError);
      else expect(outcome).toEqual({ status: 'fulfilled', value: n });
    });
  });

  test('a context of an input can do all that one of a task can', async () => {
    const queue = await aQueue();
    const counter = rig().client.value('counted', 0);
    await counter.set(0);
    const inputs = numbers(40).map((n) => ({ n, counter, lock: fresh('lock') }));
    const lock = fresh('lock');
    const outputs = (await queue
      .map(
        'asking',
        inputs.map((input) => ({ ...input, lock })),
        { chunkSize: 10 },
      )
      .toArray()) as { n: number; id: string; token: bigint; child: number; name: string }[];
    expect(outputs.map(({ n, child, name }) => [n, child, name])).toEqual(numbers(40).map((n) => [n, 2 * n, 'asking']));
    expect(await counter.get()).toBe(40);
    expect(new Set(outputs.map(({ id }) => id)).size).toBe(40);
    expect(new Set(outputs.map(({ token }) => token)).size).toBe(40);
  });

  test('ids follow each other in the order of the inputs, tokens differ, and limits of the queue hold', async () => {
    const queue = await aQueue({}, { maxSize: 64, concurrency: 1 });
    const outputs = (await queue.map('who', numbers(1000)).toArray()) as { n: number; id: string; token: bigint }[];
    expect(outputs.map(({ n }) => n)).toEqual(numbers(1000));
    const ids = outputs.map(({ id }) => Number(id.slice(1)));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(outputs.map(({ token }) => token)).size).toBe(1000);
  });

  test.each([
    ['a run timeout', { runTimeout: 60_000 }],
    ['a key', { key: 'k' }],
    ['at most once', { atMostOnce: true }],
    ['a priority and a group', { priority: 3, group: 'g' }],
    ['a delay', { delay: 5 }],
  ])('options of each input: %s', async (_what, options) => {
    const queue = await aQueue();
    expect(await queue.map('double', numbers(300), options).toArray()).toEqual(numbers(300).map((n) => 2 * n));
  });

  test('several maps at once, and tasks between them', async () => {
    const queue = await aQueue();
    const expected = numbers(4000).map((n) => 2 * n);
    const maps = [1, 2, 3].map(() => queue.map('double', numbers(4000)).toArray());
    const runs = await Promise.all(numbers(200).map((n) => queue.run('double', n)));
    expect(runs).toEqual(numbers(200).map((n) => 2 * n));
    for (const outputs of await Promise.all(maps)) expect(outputs).toEqual(expected);
  });

  test('who takes by hand gets the inputs one by one, as tasks', async () => {
    const queue = rig().client.tasks(fresh('queue'));
    const elsewhere = (await aClient(rig())).tasks(queue.name);
    const reading = queue.map('by hand', numbers(10), { ordered: false }).toArray();
    const tasks = [];
    while (tasks.length < 10) tasks.push(await elsewhere.get());
    expect(tasks.map(({ input }) => input)).toEqual(numbers(10));
    for (const task of tasks.toReversed()) await task.complete(`${String(task.input)} done`);
    expect(await reading).toEqual(numbers(10).map((n) => `${9 - n} done`));
  });

  test('inputs and outputs of all sizes', async () => {
    const queue = await aQueue();
    const texts = [0, 10, 20_000, 5, 300_000, 1, 2_000_000, 7].map((length) => 'x'.repeat(length));
    expect(await queue.map('lengthOf', texts).toArray()).toEqual(texts.map(({ length }) => length));
    const sizes = [1, 40_000, 3, 2_000_000, 5, 300_000, 2_000_000, 0, 1_000_000];
    for (const options of [{ chunkSize: 5 }, {}]) {
      const outputs = (await queue.map('large', sizes, options).toArray()) as Buffer[];
      expect(outputs.map(({ length }) => length)).toEqual(sizes);
    }
  });

  test('large outputs of a map that is left are let go', async () => {
    const queue = await aQueue();
    for (let i = 0; i < 20; i++) {
      // More than an arena holds, were each to stay in it.
      for await (const output of queue.map('large', new Array<number>(8).fill(4_000_000), { inFlight: 8 })) {
        expect((output as Buffer).length).toBe(4_000_000);
        break;
      }
    }
    expect(await queue.map('large', [3_000_000]).toArray()).toEqual([Buffer.alloc(3_000_000, 'x')]);
  });

  test('leaving aborts the signal of what runs, and nothing else begins', async () => {
    const queue = await aQueue({ count: 1 });
    const started = rig().client.queue<string>();
    const stream = queue.map('until', [started, ...numbers(50).map(() => started)], { inFlight: 51 });
    const reading = stream[Symbol.asyncIterator]();
    const next = reading.next();
    await started.get();
    await reading.return?.();
    expect(await next).toEqual({ value: undefined, done: true });
    await until(async () => (await queue.dict.counts()).cancelled === 51);
    expect(await started.getNowait()).toBeUndefined();
    expect(await queue.map('double', [1, 2]).toArray()).toEqual([2, 4]);
  });
});
