/** Values and errors from one process into another: through tasks, dicts, queues and values, with real workers. */
import { fileURLToPath } from 'node:url';
import { inspect, isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  type Client,
  FrameTooLargeError,
  type ManagerProcess,
  startManager,
  startWorkers,
  TaskFailedError,
  UnserializableError,
  work,
  type WorkerGroup,
} from 'quartermaster';
import { connectionUnder, listening } from '../kit/listening.ts';
import { rows } from '../protocol/codec-values.ts';

const MIB = 1 << 20;
const tasksModule = fileURLToPath(new URL('../fixtures/payload-tasks.mjs', import.meta.url));

let manager: ManagerProcess;
let group: WorkerGroup;
let pids: number[];

beforeAll(async () => {
  manager = await startManager();
  group = await startWorkers(manager, tasksModule, { count: 2 });
  pids = group.workers().map(({ pid }) => pid);
});

afterAll(async () => {
  // Whatever was sent, no worker was lost, and none of the connections.
  expect(group.workers().map(({ pid }) => pid)).toEqual(pids);
  expect(manager.session).toBe(1);
  await group.close();
  await manager.shutdown();
});

function run<T = unknown>(name: string, input?: unknown): Promise<T> {
  return manager.tasks().run(name, input) as Promise<T>;
}

async function failure(name: string, input?: unknown): Promise<TaskFailedError> {
  const error = await run(name, input).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(TaskFailedError);
  return error as TaskFailedError;
}

function expectSame(got: unknown, expected: unknown): void {
  expect(isDeepStrictEqual(got, expected), `${inspect(got)} is not ${inspect(expected)}`).toBe(true);
}

/** As the handler `show` has them. */
const looks = { depth: 30, maxArrayLength: 300, maxStringLength: 300 };

describe('P1 into another process', () => {
  test.each(rows)('P1 %s: through a task and back', async (_name, make) => {
    const value = make();
    expectSame(await run('echo', value), value);
  });

  // A view alone takes only its own bytes along: what surrounds it shows.
  test.each(rows.filter(([name]) => name !== 'DataView'))('P1 %s: looks the same there', async (_name, make) => {
    const value = make();
    expect(await run('show', value)).toBe(inspect(value, looks));
  });

  test('P1 all of them through a dict, a queue and a value', async () => {
    for (const [name, make] of rows) {
      const value = make();
      if (value === undefined) continue; // means "nothing there"
      await manager.dict<string, unknown>(`dict ${name}`).set('k', value);
      await manager.queue(`queue ${name}`).put(value);
      await manager.value(`value ${name}`).set(value);
      const read = await Promise.all(['dict', 'queue', 'value'].map((kind) => run('read', [kind, `${kind} ${name}`])));
      for (const got of read) expectSame(got, value);
    }
  });

  test('P1 all of them at once', async () => {
    const all = new Map(rows.map(([name, make]) => [name, make()]));
    expectSame(await run('echo', all), all);
  });
});

class Account {
  balance = 5;
}

/** What cannot cross, and where in the value it is. */
const refused: [what: string, value: unknown, at: string][] = [
  ['a function', { callback: () => {} }, '.callback'],
  ['a promise', [1, { later: Promise.resolve(1) }], '[1].later'],
  ['a WeakMap', new Map([['k', new WeakMap()]]), '.get("k")'],
  ['a JavaScript Proxy', { proxied: new Proxy({}, {}) }, '.proxied'],
  ['a symbol', [Symbol('s')], '[0]'],
  ['an instance of a class', { a: { account: new Account() } }, '.a.account'],
  ['a symbol as a key', { a: { [Symbol('s')]: 1 } }, '.a[Symbol(s)]'],
];

/** Counts what leaves for the manager. */
function writesOf(client: Client): () => number {
  const { link } = connectionUnder(client);
  const spy = vi.spyOn(link.transport, 'send');
  onTestFinished(() => spy.mockRestore());
  return () => spy.mock.calls.length + link.writer.length;
}

describe('P2 P3 refused at the caller', () => {
  test.each(refused)('P2 P3 %s: the path, before anything is sent', async (_what, value, at) => {
    const tasks = manager.tasks();
    const dict = manager.dict<string, unknown>('d');
    const queue = manager.queue('q');
    const shared = manager.value<unknown>('v');
    await Promise.all([dict.size(), queue.size(), shared.get(), tasks.run('echo', 1)]);
    const writes = writesOf(manager);
    const attempts: [root: string, attempt: Promise<unknown>][] = [
      ['input', tasks.put('echo', value)],
      ['input', tasks.putNowait('echo', value)],
      ['input', tasks.run('echo', value)],
      ['input', tasks.run('echo', value, { timeout: 1000 })],
      ['input', tasks.put('echo', value, { id: 'chosen' })],
      ['input', tasks.putMany('echo', [value]).toArray()],
      ['value', dict.set('k', value)],
      ['value', dict.getOrInsert('k', value)],
      ['value of k', dict.setMany([['k', value]])],
      ['expected', dict.compareAndSet('k', value, 1)],
      ['next', dict.compareAndSet('k', 1, value)],
      ['value', queue.put(value)],
      ['value', shared.set(value)],
    ];
    for (const [root, attempt] of attempts) {
      const error = await attempt.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UnserializableError);
      expect((error as UnserializableError).path).toBe(`${root}${at}`);
      expect((error as Error).message).toContain(`${root}${at} is `);
    }
    expect(writes()).toBe(0);
  });

  test('P6 20,000 levels: refused at the caller, whatever is called', async () => {
    let deep: unknown = 1;
    for (let i = 0; i < 20_000; i++) deep = i % 2 === 0 ? { deep } : [deep];
    const tasks = manager.tasks();
    const dict = manager.dict<string, unknown>('d');
    await Promise.all([dict.size(), tasks.run('echo', 1)]);
    const writes = writesOf(manager);
    for (const attempt of [tasks.put('echo', deep), tasks.run('echo', deep), dict.set('k', deep)]) {
      const error = await attempt.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UnserializableError);
      expect((error as Error).message).toContain('goes on for more than 1,000 levels');
    }
    expect(writes()).toBe(0);
  });
});

describe('P2 P3 P6 a bad result', () => {
  const results: [name: string, path: string][] = [
    ['function', 'output.report.render'],
    ['symbol', 'output[1]'],
    ['symbol key', 'output.list[0][Symbol(s)]'],
    ['promise', 'output.later'],
    ['WeakMap', 'output.get("k")'],
    ['class', 'output.account'],
    ['Proxy', 'output.proxied'],
  ];

  test.each(results)('P2 P3 %s: the task fails with the path, once; its worker stays', async (name, path) => {
    const handle = await manager.tasks().put('bad', name, { retries: 3 });
    const error = (await handle.result().catch((reason: unknown) => reason)) as TaskFailedError;
    expect(error).toBeInstanceOf(TaskFailedError);
    expect(error.cause).toBeInstanceOf(UnserializableError);
    expect(error.cause).toMatchObject({ path, code: 'QM_UNSERIALIZABLE' });
    expect(await handle.record()).toMatchObject({ state: 'failed', attempt: 1 });
  });

  test('P6 20,000 levels as a result', async () => {
    expect((await failure('bad', 'deep')).cause).toBeInstanceOf(UnserializableError);
  });
});

describe('P4 errors of handlers', () => {
  test('P4 code, own fields and the chain of causes arrive, with the stack of the worker', async () => {
    const error = await failure('throws', 'chain');
    expect(error.code).toBe('QM_TASK_FAILED');
    expect(error.message).toMatch(/^task 't\d+' \(throws\) failed: Error: the error$/);
    const top = error.cause as Error & { cause: Error };
    expect(top).toBeInstanceOf(Error);
    expect(top).toMatchObject({ name: 'Error', message: 'the error', code: 'E_TOP', status: 418, tags: ['a', 'b'] });
    expect(top.stack).toMatch(/^Error: the error\n +at .*payload-tasks\.mjs:\d+:\d+/);
    expect(top.cause).toBeInstanceOf(TypeError);
    expect(top.cause).toMatchObject({ message: 'the cause', code: 'E_CAUSE', detail: { at: new Date(0) } });
    expect(top.cause.stack).toContain('payload-tasks.mjs');
  });

  test('P4 AggregateError keeps its errors', async () => {
    const { cause } = await failure('throws', 'aggregate');
    expect(cause).toBeInstanceOf(AggregateError);
    expect(cause).toMatchObject({ message: 'both' });
    const { errors } = cause as AggregateError;
    expect(errors).toHaveLength(2);
    expect(errors[0]).toBeInstanceOf(RangeError);
    expect(errors[1]).toMatchObject({ message: 'two', code: 2 });
  });

  test('P4 a subclass arrives as what it extends, with its name and fields', async () => {
    const { cause, message } = await failure('throws', 'subclass');
    expect(cause).toBeInstanceOf(RangeError);
    expect(cause).toMatchObject({ name: 'PaymentError', message: 'too little', missing: 7n });
    expect(message).toContain('PaymentError: too little');
  });

  test('P4 an error that is its own cause', async () => {
    const { cause } = await failure('throws', 'a cycle');
    expect((cause as Error).cause).toBe(cause);
  });

  test.each([
    ['unserializable fields', 'with a socket', 'error.socket is a function'],
    ['deep fields', 'deep', 'goes on for more than 1,000 levels'],
  ])('P4 %s: name, message and stack arrive, and why the rest does not', async (name, message, why) => {
    const { cause } = await failure('throws', name);
    expect(cause).toMatchObject({ name: 'RangeError', message });
    expect((cause as Error).stack).toContain('payload-tasks.mjs');
    expect(String((cause as Error).cause)).toContain(why);
  });

  test.each([
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['number', 42, '42'],
    ['text', 'only text', 'only text'],
    ['object', { status: 500, list: [1] }, ''],
    ['object without prototype', Object.assign(Object.create(null) as object, { status: 500 }), ''],
  ])('P4 what is no error: %s', async (name, value, text) => {
    const error = await failure('throws', name);
    expectSame(error.cause, value);
    expect(error.message).toContain(`failed: ${text}`);
  });

  test.each([
    ['symbol', 'Symbol(thrown)'],
    ['function', '=>'],
    ['an instance of a class', ''],
  ])('P4 what is no error and cannot cross: %s', async (name, text) => {
    const error = await failure('throws', name);
    expect(error.cause).toBeInstanceOf(Error);
    expect((error.cause as Error).message).toContain(text);
  });
});

describe('P5 large values', () => {
  test('P5 8 MiB through a dict and a task, and back', { timeout: 60_000 }, async () => {
    const large = Buffer.alloc(8 * MIB, 'large ');
    await manager.dict('large').set('k', large);
    expect((await manager.dict<string, Buffer>('large').get('k'))?.equals(large)).toBe(true);
    expect((await run<Buffer>('read', ['dict', 'large'])).equals(large)).toBe(true);
    expect((await run<Buffer>('echo', large)).equals(large)).toBe(true);
    expect(await run('length', 'x'.repeat(8 * MIB))).toBe(8 * MIB);
    await manager.dict('large').clear();
  });

  test('P5 what is small goes on beside it', async () => {
    const large = run('length', Buffer.alloc(16 * MIB));
    expect(await Promise.all(Array.from({ length: 50 }, (_, i) => run('echo', i)))).toHaveLength(50);
    expect(await large).toBe(16 * MIB);
  });

  test('P5 over the limit: FrameTooLargeError at the caller, from put, run and set; nothing else ends', async () => {
    const large = Buffer.alloc(65 * MIB);
    const tasks = manager.tasks();
    const calls = [
      () => tasks.put('length', large),
      () => tasks.run('length', large),
      () => manager.dict('large').set('k', large),
    ];
    for (const call of calls) {
      const error = (await call().catch((reason: unknown) => reason)) as Error;
      expect(error).toBeInstanceOf(FrameTooLargeError);
      expect(error.message).toMatch(
        /^a message of \d+ bytes is over the limit of 67108864; .*raise limits.frameBytes$/,
      );
    }
    expect(await run('echo', 'still here')).toBe('still here');
  });

  test('P5 a result over the limit fails its task, once; the worker stays', async () => {
    const handle = await manager.tasks().put('bytes', 65 * MIB, { retries: 3 });
    const error = (await handle.result().catch((reason: unknown) => reason)) as TaskFailedError;
    expect(error).toBeInstanceOf(TaskFailedError);
    expect(error.cause).toBeInstanceOf(FrameTooLargeError);
    expect(await handle.record()).toMatchObject({ state: 'failed', attempt: 1 });
  });

  const limits = { frameBytes: 100_000 };
  const places: [string, (l: Awaited<ReturnType<typeof listening>>) => Promise<Client>][] = [
    ['over a socket', ({ connect }) => connect()],
    ['in the same process', ({ manager: embedded }) => Promise.resolve(embedded.client())],
  ];

  test.each(places)(
    'P5 inputs and outputs about the limit: each is refused or comes back: %s',
    async (_where, clientOf) => {
      const there = await listening({ limits });
      const [client, worker] = [await clientOf(there), await clientOf(there)];
      const stop = new AbortController();
      const working = work(worker.tasks('t'), { echo: (value: unknown) => value }, { signal: stop.signal });
      const tasks = client.tasks<{ echo: (text: string) => string }>('t');
      let refusals = 0;
      let longest = 0;
      for (let length = limits.frameBytes - 60; length < limits.frameBytes + 10; length++) {
        const end = await tasks.run('echo', 'x'.repeat(length)).catch((error: unknown) => error);
        if (typeof end === 'string') longest = Math.max(longest, end.length);
        // The worker says more about an output than the caller about an input, so a few bytes less fit.
        else if (end instanceof TaskFailedError) expect(end.cause).toBeInstanceOf(FrameTooLargeError);
        else if (end instanceof FrameTooLargeError) refusals++;
        else expect.unreachable(inspect(end));
      }
      expect(longest).toBeGreaterThan(limits.frameBytes - 60);
      expect(refusals).toBeGreaterThan(10);
      stop.abort();
      await working;
    },
  );

  test.each(places)('P5 an answer over the limit is refused; the parts of it are not: %s', async (_where, clientOf) => {
    const client = await clientOf(await listening({ limits }));
    const { session } = client;
    const dict = client.dict<string, string>('d');
    for (const key of ['a', 'b', 'c']) await dict.set(key, key.repeat(90_000));
    await expect(dict.values()).rejects.toThrow(FrameTooLargeError);
    for (const key of await dict.keys()) expect(await dict.get(key)).toBe(key.repeat(90_000));
    expect(client.session).toBe(session);
  });

  test.each(places)('P5 errors as long as can be reported reach whoever waits: %s', async (_where, clientOf) => {
    const there = await listening({ limits });
    const [client, worker] = [await clientOf(there), await clientOf(there)];
    const tasks = client.tasks('t');
    const taker = worker.tasks('t');
    let whole = 0;
    let refusals = 0;
    for (let length = limits.frameBytes - 1_200; length < limits.frameBytes; length += 13) {
      const handle = await tasks.put('n'.repeat(500), undefined, { id: `${length}-${'i'.repeat(500)}` });
      const task = await taker.get();
      const error = Object.assign(new RangeError('long'), { stack: '', detail: 'x'.repeat(length) });
      const reported = await task.fail(error).catch((reason: unknown) => reason);
      if (reported === undefined) {
        whole++;
      } else {
        expect(reported).toBeInstanceOf(FrameTooLargeError);
        refusals++;
        await tasks.cancel(handle.id);
      }
      await expect(handle.result()).rejects.toMatchObject({
        code: reported === undefined ? 'QM_TASK_FAILED' : 'QM_TASK_CANCELLED',
      });
    }
    expect(whole).toBeGreaterThan(10);
    expect(refusals).toBeGreaterThan(0);
    expect(await tasks.dict.counts()).toMatchObject({ failed: whole, cancelled: refusals, leased: 0, ready: 0 });
  });

  test.each(places)('P5 a reason as long as can be given to cancel: %s', async (_where, clientOf) => {
    const there = await listening({ limits });
    const [client, worker] = [await clientOf(there), await clientOf(there)];
    const tasks = client.tasks('t');
    const taker = worker.tasks('t');
    for (let length = limits.frameBytes - 60; length < limits.frameBytes; length += 3) {
      const handle = await tasks.put('job');
      const task = await taker.get();
      const cancelled = await handle.cancel('x'.repeat(length)).catch((error: unknown) => error);
      if (cancelled instanceof FrameTooLargeError) await handle.cancel('in short');
      else expect(cancelled).toBe(true);
      await expect(handle.result()).rejects.toMatchObject({ code: 'QM_TASK_CANCELLED' });
      await expect(task.complete(1)).rejects.toThrow();
    }
    expect(await tasks.dict.counts()).toMatchObject({ cancelled: 20, leased: 0 });
  });

  test.each(places)(
    'P5 an error of a custom type that is longer than a message may be: %s',
    async (_where, clientOf) => {
      const there = await listening({ limits });
      class Loud {
        shout(length: number): never {
          throw new RangeError('x'.repeat(length));
        }
      }
      there.manager.register('loud', Loud);
      const client = await clientOf(there);
      const loud = client.object<Loud>('loud');
      await expect(loud.shout(150_000)).rejects.toThrow(RangeError);
      await expect(loud.shout(10)).rejects.toThrow('x'.repeat(10));
    },
  );

  test('P5 no limit at all', async () => {
    const client = await (await listening({ limits: { frameBytes: Infinity } })).connect();
    await client.value('v').set(Buffer.alloc(MIB));
    expect(await client.value<Buffer>('v').get()).toHaveLength(MIB);
  });

  test.each(places)(
    'P5 values over 64 MiB pass where the limit says so: %s',
    { timeout: 60_000 },
    async (_where, clientOf) => {
      const client = await clientOf(await listening({ limits: { frameBytes: 100 * MIB } }));
      const large = Buffer.alloc(70 * MIB, 'x');
      await client.value('v').set(large);
      expect((await client.value<Buffer>('v').get())?.equals(large)).toBe(true);
    },
  );
});
