/**
 * What `multiprocessing.Pool`, `AsyncResult`, `ProcessPoolExecutor`, `Future` and `concurrent.futures` are documented to
 * do, of a pool over every kind of manager, the way that docs/python.md says to do it. Each test names the rows of that
 * page which it shows; test/pool/contract.test.ts wants every row of those tables shown by one.
 */
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  asCompleted,
  BrokenPoolError,
  LeaseLostError,
  type ManagerProcess,
  type Pool,
  PoolTerminatedError,
  QueueShutdownError,
  type QueueProxy,
  startManager,
  startPool,
  type StartPoolOptions,
  TaskCancelledError,
  TaskFailedError,
  type TaskHandle,
  TimeoutError,
  wait,
} from 'quartermaster';
import { aGate, fresh, isAlive, type Started } from '../kit/tasks-rig.ts';
import { run } from '../kit/run.ts';

/** Any name, any input. */
type Tasks = Record<string, (input: never) => unknown>;

export type PoolManager = 'process' | 'embedded' | 'client';
export const poolManagers: readonly PoolManager[] = ['process', 'embedded', 'client'];

/** The rows of docs/python.md that the suite shows: their first cells, as plain text. */
export const shown = new Set<string>();

const tasks = new URL('../fixtures/pool-tasks.mjs', import.meta.url);
const closesUnawaited = new URL('../fixtures/closes-unawaited.mjs', import.meta.url);

export function poolContract(manager: PoolManager): void {
  describe(`a pool whose manager is: ${manager}`, () => {
    let shared: ManagerProcess | undefined;
    let pool: Pool<Tasks>;

    const start = (options: Partial<StartPoolOptions> = {}): Promise<Pool<Tasks>> =>
      startPool<Tasks>({
        tasks,
        workers: 2,
        manager: manager === 'client' ? shared : manager,
        ...options,
      });

    beforeAll(async () => {
      if (manager === 'client') shared = await startManager();
      pool = await start();
    });
    afterAll(async () => {
      await pool?.terminate();
      await shared?.shutdown();
    });

    /** A pool of the test's own: for what changes its workers, or ends it. */
    async function aPool(options?: Partial<StartPoolOptions>): Promise<Pool<Tasks>> {
      const own = await start(options);
      onTestFinished(() => own.terminate());
      return own;
    }

    /** A task that has begun and goes on when it is told to; outputs what it was given. */
    async function aRunning(of: Pool<Tasks>, output: unknown = 'finished') {
      const started = of.client.queue<Started>();
      const go = of.client.queue();
      const handle = await of.put('meet', { started, go, output } as never);
      return { handle, go, ...(await started.get()) };
    }

    /** Keeps every worker of the pool busy, so that whatever is put waits until they are told to go on. */
    async function allBusy(of: Pool<Tasks>) {
      const busy = await Promise.all(of.workers().map(() => aRunning(of)));
      const letGo = async (): Promise<void> => {
        await Promise.all(busy.map(({ go }) => go.put(1)));
      };
      onTestFinished(() => letGo().catch(() => {}));
      return { handles: busy.map(({ handle }) => handle), letGo };
    }

    /** A test that shows rows of docs/python.md. */
    function shows(rows: readonly string[], name: string, body: () => Promise<void>): void {
      for (const row of rows) shown.add(row);
      test(name, body);
    }

    describe('Pool', () => {
      shows(
        ['Pool(processes)', 'ProcessPoolExecutor(max_workers=n)'],
        'has as many processes as asked for, which run tasks side by side; none at all is refused',
        async () => {
          const pids = pool.workers().map(({ pid }) => pid);
          expect(new Set([process.pid, ...pids]).size).toBe(3);
          const both = [await aRunning(pool), await aRunning(pool)];
          expect(both.map(({ pid }) => pid).toSorted()).toEqual(pids.toSorted());
          for (const { go, handle } of both) {
            await go.put(1);
            expect(await handle.result()).toBe('finished');
          }
          await expect(start({ workers: 0 })).rejects.toThrow(RangeError);
        },
      );

      shows(['Pool()', 'ProcessPoolExecutor()'], 'has a process for each core where no number is given', async () => {
        const own = await aPool({ workers: undefined });
        expect(own.workers()).toHaveLength(availableParallelism());
      });

      shows(
        [
          'Pool(initializer=f)',
          'Pool(initargs=args)',
          'ProcessPoolExecutor(initializer=f)',
          'ProcessPoolExecutor(initargs=args)',
        ],
        'each process is set up once, before its first task, with what it was given; so is one that takes its place',
        async () => {
          const own = await aPool({ env: { GREETING: 'Good morning' } });
          const count = own.client.counter('set up');
          const before = await count.get();
          expect(before % 2).toBe(0);
          const inputs = Array.from({ length: 20 }, (_, i) => `${i}`);
          const greetings = inputs.map((name) => `Good morning, ${name}`);
          expect(await own.map('greet', inputs as never[]).toArray()).toEqual(greetings);
          expect(await count.get()).toBe(before);
          await own.recycle();
          expect(await count.get()).toBe(before + 2);
          expect(await own.map('greet', inputs as never[]).toArray()).toEqual(greetings);
        },
      );

      shows(
        ['Pool(maxtasksperchild=n)', 'ProcessPoolExecutor(max_tasks_per_child=n)'],
        'a process that has run so many tasks is replaced, and no task is lost; without a number it lives on',
        async () => {
          const own = await aPool({ workers: 1, maxTasksPerWorker: 3 });
          const pids = (await own.map('pid', Array(9) as never[]).toArray()) as number[];
          expect(pids.every((pid) => pids.filter((each) => each === pid).length <= 3)).toBe(true);
          expect(new Set(pids).size).toBeGreaterThanOrEqual(3);
          const lasting = new Set(await pool.map('pid', Array(100) as never[]).toArray());
          expect(lasting.size).toBeLessThanOrEqual(2);
        },
      );

      shows(
        ['pool.apply(f)', 'pool.apply(f, args)', 'pool.apply(f, kwds=d)'],
        'apply: one call in one of the processes, awaited; its arguments are one input',
        async () => {
          const pid = await pool.run('pid', undefined as never);
          expect(pool.workers().map((each) => each.pid)).toContain(pid);
          expect(await pool.run('power', [2, 10] as never)).toBe(1024);
          expect(await pool.run('round', { value: 1.25, digits: 1 } as never)).toBe('1.3');
        },
      );

      shows(
        ['pool.apply_async(f)', 'pool.apply_async(f, args)', 'pool.apply_async(f, kwds=d)'],
        'apply_async: accepted before it has run; the handle gives the output later',
        async () => {
          const { letGo } = await allBusy(pool);
          const handles = [
            await pool.put('pid', undefined as never),
            await pool.put('power', [3, 4] as never),
            await pool.put('round', { value: 2.5 } as never),
          ];
          const outputs = Promise.all(handles.map((handle) => handle.result()));
          const ended = await Promise.all(handles.map(async (handle) => (await handle.record()).endedAt));
          expect(ended).toEqual([undefined, undefined, undefined]);
          await letGo();
          expect(await outputs).toEqual([expect.any(Number), 81, '3']);
        },
      );

      shows(
        ['pool.apply_async(f, callback=c)', 'pool.apply_async(f, error_callback=c)', 'future.add_done_callback(f)'],
        'callbacks: one of the two, once, in the order in which they were added; also of what has ended; theirs to fail',
        async () => {
          const good = await pool.put('echo', 'good' as never);
          const bad = await pool.put('fail', 'bad' as never);
          const told: unknown[] = [];
          const callback = (output: unknown): void => void told.push(output);
          const errorCallback = (error: TaskFailedError): void => void told.push((error.cause as Error).message);
          await Promise.all([
            good
              .result()
              .then(() => Promise.reject(new Error('of the callback')))
              .catch(() => {}),
            good.result().then(callback, errorCallback),
            good.result().then(() => told.push('second')),
          ]);
          await bad.result().then(callback, errorCallback);
          expect(told).toEqual(['good', 'second', 'bad']);
          await good.result().then(callback, errorCallback);
          expect(told).toHaveLength(4);
        },
      );

      shows(
        ['pool.map(f, inputs)', 'executor.map(f, inputs)'],
        'map: the outputs in the order of the inputs, of arrays, sets, generators and async generators; of none, none',
        async () => {
          const many = Array.from({ length: 500 }, (_, i) => i);
          expect(await pool.map('echo', many as never[]).toArray()).toEqual(many);
          expect(await pool.map('echo', new Set([3, 1, 2]) as never).toArray()).toEqual([3, 1, 2]);
          async function* slowly(): AsyncGenerator<number> {
            for (const one of [5, 4]) yield await Promise.resolve(one);
          }
          expect(await pool.map('echo', slowly() as never).toArray()).toEqual([5, 4]);
          expect(await pool.map('echo', []).toArray()).toEqual([]);
        },
      );

      shows(
        ['pool.map(f, inputs) of one that raises'],
        'map of what fails: the outputs before it are there, its place rejects with what was thrown; or each has its outcome',
        async () => {
          const read: unknown[] = [];
          const reading = async (): Promise<void> => {
            for await (const one of pool.map('failOdd', [0, 2, 5, 4] as never[])) read.push(one);
          };
          const failure = await reading().catch((error: unknown) => error);
          expect(failure).toBeInstanceOf(TaskFailedError);
          expect((failure as Error).cause).toMatchObject({ name: 'RangeError', message: '5 is odd' });
          expect(read).toEqual([0, 2]);
          const outcomes = await pool.map('failOdd', [0, 1, 2] as never[], { onError: 'yield' }).toArray();
          expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        },
      );

      shows(
        [
          'pool.map(f, inputs, chunksize=n)',
          'pool.map_async(f, inputs, chunksize=n)',
          'pool.imap(f, inputs, chunksize=n)',
          'pool.imap_unordered(f, inputs, chunksize=n)',
          'pool.starmap(f, inputs, chunksize=n)',
          'pool.starmap_async(f, inputs, chunksize=n)',
          'executor.map(f, inputs, chunksize=n)',
        ],
        'however many inputs a process is handed at once, each has its own outcome in its own place',
        async () => {
          const inputs = Array.from({ length: 1_500 }, (_, i) => i);
          const outcomes = await pool.map('failOdd', inputs as never[], { onError: 'yield' }).toArray();
          expect(outcomes.map((one) => (one.status === 'fulfilled' ? one.value : -1))).toEqual(
            inputs.map((n) => (n % 2 === 0 ? n : -1)),
          );
        },
      );

      shows(
        [
          'pool.map_async(f, inputs)',
          'pool.map_async(f, inputs, callback=c)',
          'pool.map_async(f, inputs, error_callback=c)',
          'pool.starmap_async(f, inputs)',
          'pool.starmap_async(f, inputs, callback=c)',
          'pool.starmap_async(f, inputs, error_callback=c)',
        ],
        'map_async: it runs before anybody awaits it; one callback with all outputs, or the other with the first error',
        async () => {
          const running = await aRunning(pool, 'from the map');
          const go = pool.client.queue();
          const started = pool.client.queue<Started>();
          const all = pool.map('meet', [{ started, go, output: 1 }] as never[]).toArray();
          await started.get();
          const told: unknown[] = [];
          const callback = (outputs: unknown[]): void => void told.push(outputs);
          const errorCallback = (error: TaskFailedError): void => void told.push((error.cause as Error).message);
          const done = all.then(callback, errorCallback);
          await go.put(1);
          await running.go.put(1);
          await done;
          await pool.map('add', [[1, 2], [3, 4]] as never[]).toArray().then(callback, errorCallback); // prettier-ignore
          await pool
            .map('failOdd', [2, 3, 4] as never[])
            .toArray()
            .then(callback, errorCallback);
          expect(told).toEqual([[1], [3, 7], '3 is odd']);
        },
      );

      shows(
        ['pool.imap(f, inputs)', 'executor.map(f, inputs, buffersize=n)'],
        'imap: of inputs without end it reads no further ahead than it may, and stops with its reader',
        async () => {
          let read = 0;
          let ended = false;
          async function* endless(): AsyncGenerator<number> {
            try {
              for (;;) yield await Promise.resolve(read++);
            } finally {
              ended = true;
            }
          }
          const outputs: unknown[] = [];
          for await (const output of pool.map('echo', endless() as never, { inFlight: 3 })) {
            outputs.push(output);
            expect(read).toBeLessThanOrEqual(outputs.length + 4);
            if (outputs.length === 50) break;
          }
          expect(outputs).toEqual(Array.from({ length: 50 }, (_, i) => i));
          expect(ended).toBe(true);
        },
      );

      shows(
        ['for x in it', 'next(it)', 'it.next()', 'it.next(timeout=s)'],
        'imap, one at a time: as long as one likes to wait, and nothing is lost by giving up; done at the end',
        async () => {
          const started = pool.client.queue();
          const go = pool.client.queue();
          const input = (output: string) => ({ started, go, output });
          const stream = pool.map('meet', [input('a'), input('b')] as never[]);
          const iterator = stream[Symbol.asyncIterator]();
          await started.get();
          const next = iterator.next();
          const giveUp = AbortSignal.timeout(1);
          const gaveUp = new Promise((_, reject) => {
            giveUp.addEventListener('abort', () => reject(giveUp.reason as Error));
          });
          await expect(Promise.race([next, gaveUp])).rejects.toMatchObject({ name: 'TimeoutError' });
          await go.put(1);
          await go.put(1);
          expect(await next).toEqual({ value: 'a', done: false });
          const rest: unknown[] = [];
          for await (const output of { [Symbol.asyncIterator]: () => iterator }) rest.push(output);
          expect(rest).toEqual(['b']);
          expect(await iterator.next()).toEqual({ value: undefined, done: true });
        },
      );

      shows(
        ['pool.imap_unordered(f, inputs)'],
        'imap_unordered: what is done first comes first; with one process in the order of the inputs',
        async () => {
          const started = pool.client.queue();
          const go = [pool.client.queue(), pool.client.queue()] as const;
          const inputs = [{ started, go: go[0], output: 'slow' }, { started, go: go[1], output: 'quick' }]; // prettier-ignore
          const read: unknown[] = [];
          await go[1].put(1);
          for await (const output of pool.map('meet', inputs as never[], { ordered: false })) {
            read.push(output);
            await go[0].put(1);
          }
          expect(read).toEqual(['quick', 'slow']);
          const single = await aPool({ workers: 1 });
          const many = Array.from({ length: 100 }, (_, i) => i);
          expect(await single.map('echo', many as never[], { ordered: false }).toArray()).toEqual(many);
        },
      );

      shows(
        ['pool.starmap(f, inputs)', 'executor.map(f, *iterables)'],
        'starmap, and several iterables: an input that is an array; as many as the shortest has',
        async () => {
          expect(await pool.map('power', [[2, 3], [3, 2], [10, 0]] as never[]).toArray()).toEqual([8, 9, 1]); // prettier-ignore
          function* side(as: Iterable<number>, bs: Iterable<number>): Generator<[number, number]> {
            const others = bs[Symbol.iterator]();
            for (const a of as) {
              const { value, done } = others.next();
              if (done === true) return;
              yield [a, value];
            }
          }
          expect(await pool.map('add', side([1, 2, 3], [10, 20]) as never).toArray()).toEqual([11, 22]);
        },
      );

      shows(
        ['pool.close()', 'pool.join()', 'executor.shutdown()', 'executor.submit(f) once it is shut down: RuntimeError'],
        'close, join: what was put is finished, nothing more is taken, the processes have ended',
        async () => {
          const own = await aPool();
          const pids = own.workers().map(({ pid }) => pid);
          const running = await aRunning(own);
          const waiting = await Promise.all([1, 2, 3].map((n) => own.put('echo', n as never)));
          const results = Promise.all([running.handle, ...waiting].map((handle) => handle.result()));
          const joined = own.join();
          const closed = own.close();
          await expect(own.put('echo', 4 as never)).rejects.toThrow(QueueShutdownError);
          await expect(own.run('echo', 4 as never)).rejects.toThrow('the pool has been closed');
          expect(() => own.map('echo', [])).toThrow(QueueShutdownError);
          expect(isAlive(running.pid)).toBe(true);
          await running.go.put(1);
          expect(await results).toEqual(['finished', 1, 2, 3]);
          await Promise.all([closed, joined]);
          expect(pids.map(isAlive)).toEqual([false, false]);
          await own.close();
        },
      );

      shows(
        [
          'pool.terminate()',
          'pool.terminate() discards what is queued',
          'executor.terminate_workers()',
          'executor.kill_workers()',
        ],
        'terminate: what runs is killed, also what blocks its thread, and nothing that was outstanding is left waiting',
        async () => {
          const own = await aPool({ workers: 1 });
          const [worker] = own.workers();
          const started = own.client.queue<Started>();
          const running = own.run('spinUntil', { started, file: aGate().file } as never);
          const waiting = own.run('echo', 1 as never);
          const mapped = own.map('echo', [1, 2, 3] as never[]).toArray();
          const outcomes = Promise.allSettled([running, waiting, mapped]);
          // And what nobody reads is nobody's failure.
          await own.put('echo', 2 as never);
          own.map('echo', [4, 5] as never[]);
          await started.get();
          await own.terminate();
          for (const outcome of await outcomes) {
            expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(PoolTerminatedError);
          }
          expect(isAlive(worker!.pid)).toBe(false);
          await own.join();
          await expect(own.put('echo', 1 as never)).rejects.toThrow(PoolTerminatedError);
        },
      );

      shows(
        ['with pool:', 'with executor:'],
        'as a resource: what was put is finished when its block is left',
        async () => {
          let result: Promise<unknown>;
          let pids: number[];
          {
            await using own = await start({ workers: 1 });
            pids = own.workers().map(({ pid }) => pid);
            result = own.run('block', { ms: 30 } as never);
          }
          expect(await Promise.race([result, Promise.resolve('not yet')])).toBe(1);
          expect(pids.map(isAlive)).toEqual([false]);
        },
      );

      shows(
        ['os.kill(pid, 9) of a worker: the pool hangs'],
        'a process that is killed is replaced; what it ran runs again, what waited is not touched',
        async () => {
          const own = await aPool({ workers: 1 });
          const [before] = own.workers();
          const started = own.client.queue<Started>();
          const running = own.run('wait', { started, hangs: 1 } as never);
          const waiting = own.run('echo', 'untouched' as never);
          await started.get();
          process.kill(before!.pid, 'SIGKILL');
          expect(await running).toBe(2);
          expect(await waiting).toBe('untouched');
          expect(own.workers().map(({ pid }) => pid)).not.toContain(before!.pid);
        },
      );
    });

    describe('AsyncResult, Future', () => {
      shows(
        ['result.get()', 'future.result()', 'executor.submit(f, *args, **kwargs)'],
        'the output, waited for, again and again; or what was thrown there, with its stack',
        async () => {
          const good = await pool.put('add', [1, 2] as never);
          expect([await good.result(), await good.result()]).toEqual([3, 3]);
          const bad = await pool.put('fail', 'of the task' as never);
          const failure = (await bad.result().catch((error: unknown) => error)) as Error;
          expect(failure).toBeInstanceOf(TaskFailedError);
          expect(failure.cause).toMatchObject({ name: 'RangeError', message: 'of the task' });
          expect((failure.cause as Error).stack).toContain('pool-tasks.mjs');
        },
      );

      shows(
        [
          'result.get(timeout=s)',
          'result.wait()',
          'result.wait(timeout=s)',
          'future.result(timeout=s)',
          'future.exception(timeout=s)',
          'TimeoutError',
        ],
        'a time to wait: when it is over only the waiting is; a wait without an output tells no failure',
        async () => {
          const { handle, go } = await aRunning(pool);
          await expect(handle.result({ timeout: 1 })).rejects.toThrow(TimeoutError);
          await expect(wait([handle], { timeout: 1 })).rejects.toThrow(TimeoutError);
          expect(await handle.state()).toBe('leased');
          await go.put(1);
          expect(await wait([handle])).toEqual({ done: [handle], pending: [] });
          expect(await handle.result({ timeout: 0 })).toBe('finished');
          const bad = await pool.put('fail', 'of the task' as never);
          expect((await wait([bad], { timeout: 60_000 })).done).toEqual([bad]);
        },
      );

      shows(
        ['result.ready()', 'result.successful()', 'future.running()', 'future.done()', 'future.cancelled()'],
        'where it stands: it waits, runs, and has ended in one of three ways',
        async () => {
          const { letGo, handles } = await allBusy(pool);
          await pool.queue.pause();
          const ready = async (handle: TaskHandle): Promise<boolean> => (await handle.record()).endedAt !== undefined;
          const waiting = await pool.put('echo', 1 as never);
          const bad = await pool.put('fail', 'no' as never);
          const dropped = await pool.put('echo', 2 as never);
          expect([await handles[0]!.state(), await waiting.state()]).toEqual(['leased', 'ready']);
          expect([await ready(handles[0]!), await ready(waiting)]).toEqual([false, false]);
          await dropped.cancel();
          await pool.queue.resume();
          await letGo();
          await wait([...handles, waiting, bad]);
          expect(await Promise.all([waiting, bad, dropped].map((one) => one.state()))).toEqual([
            'succeeded',
            'failed',
            'cancelled',
          ]);
          expect(await Promise.all([waiting, bad, dropped].map(ready))).toEqual([true, true, true]);
        },
      );

      shows(
        ['future.exception()', 'result.get() of a call that raised: with the remote traceback'],
        'the error as a value: undefined of what has succeeded',
        async () => {
          const exception = (handle: TaskHandle): Promise<unknown> =>
            handle.result().then(
              () => undefined,
              (error: unknown) => error,
            );
          expect(await exception(await pool.put('echo', 1 as never))).toBe(undefined);
          const error = await exception(await pool.put('fail', 'of the task' as never));
          expect(error).toMatchObject({
            name: 'TaskFailedError',
            cause: { name: 'RangeError', message: 'of the task' },
          });
        },
      );

      shows(
        ['future.cancel()', 'future.cancel() while it runs: False', 'CancelledError'],
        'cancel: what waits never runs, and says so; what has ended is not cancelled; what runs is told by its signal',
        async () => {
          const { letGo } = await allBusy(pool);
          const waiting = await pool.put('echo', 1 as never);
          expect(await waiting.cancel('not wanted')).toBe(true);
          await expect(waiting.result()).rejects.toThrow(TaskCancelledError);
          await expect(waiting.result()).rejects.toThrow('not wanted');
          await letGo();
          const done = await pool.put('echo', 2 as never);
          expect(await done.result()).toBe(2);
          expect(await done.cancel()).toBe(false);
          expect(await done.result()).toBe(2);
          const own = await aPool({ workers: 1, cancelGrace: 1 });
          const started = own.client.queue();
          const running = await own.put('wait', { started } as never);
          await started.get();
          expect(await running.cancel()).toBe(true);
          await expect(running.result()).rejects.toThrow(TaskCancelledError);
          // Its worker goes with it, and another one is there.
          expect(await own.run('echo', 'goes on' as never)).toBe('goes on');
        },
      );

      shows(
        [
          'future.set_running_or_notify_cancel()',
          'future.set_result(x)',
          'future.set_exception(e)',
          'InvalidStateError',
        ],
        'whoever has leased a task ends it, once',
        async () => {
          const tags = ['this test'];
          const [good, bad, late] = await pool.queue.putMany('by hand', [1, 2, 3] as never[], { tags }).toArray();
          await (await pool.queue.get({ tags })).complete('by hand');
          expect(await good!.result()).toBe('by hand');
          await (await pool.queue.get({ tags })).fail(new TypeError('by hand'), { retry: false });
          await expect(bad!.result()).rejects.toMatchObject({ cause: { name: 'TypeError', message: 'by hand' } });
          const task = await pool.queue.get({ tags });
          await late!.cancel();
          await expect(task.complete('too late')).rejects.toThrow(LeaseLostError);
          await expect(late!.result()).rejects.toThrow(TaskCancelledError);
        },
      );
    });

    describe('Executor', () => {
      shows(
        ['executor.map(f, inputs, timeout=s)'],
        'map with a time: counted from the call; then it ends, and what has not started never runs',
        async () => {
          const { letGo } = await allBusy(pool);
          const counter = pool.client.queue<Started>();
          const inputs = [{ started: counter }, { started: counter }];
          const mapped = pool.map('wait', inputs as never[], { signal: AbortSignal.timeout(5) });
          await expect(mapped.toArray()).rejects.toMatchObject({ name: 'TimeoutError' });
          await letGo();
          expect(await pool.run('echo', 'after' as never)).toBe('after');
          expect(await counter.size()).toBe(0);
        },
      );

      shows(
        ['executor.shutdown(cancel_futures=True)'],
        'shutdown with what waits cancelled: what runs is finished',
        async () => {
          const own = await aPool({ workers: 1 });
          const running = await aRunning(own);
          const waiting = [await own.put('echo', 1 as never), await own.put('echo', 2 as never)];
          const results = Promise.allSettled([running.handle, ...waiting].map((handle) => handle.result()));
          expect(await own.queue.cancel({ state: ['blocked', 'delayed', 'ready'] })).toBe(2);
          const closed = own.close();
          await running.go.put(1);
          await closed;
          const [first, ...others] = await results;
          expect(first).toEqual({ status: 'fulfilled', value: 'finished' });
          for (const other of others) {
            expect((other as PromiseRejectedResult).reason).toBeInstanceOf(TaskCancelledError);
          }
        },
      );

      shows(
        ['executor.shutdown(wait=False)'],
        'shutdown that is not awaited: the program ends once what was put has ended, and not before',
        async () => {
          const { code, stdout, stderr } = await run(process.execPath, [closesUnawaited.pathname, manager]);
          expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'the program is over\ndone: 1\n', stderr: '' });
        },
      );

      shows(
        ['BrokenProcessPool', 'BrokenExecutor'],
        'processes that cannot be set up: no pool, at once, and nothing of it is left',
        async () => {
          const broken = new URL('../fixtures/broken-setup.mjs', import.meta.url);
          const reason = await start({ tasks: broken }).catch((error: unknown) => error);
          expect(reason).toBeInstanceOf(BrokenPoolError);
          expect((reason as Error).message).toContain('no connection to the database');
        },
      );
    });

    describe('concurrent.futures', () => {
      /** Three tasks that a test ends by hand, in any order. */
      async function threeTasks() {
        const tags = [fresh('by hand')];
        const handles = await Promise.all([1, 2, 3].map((n) => pool.put('by hand', n as never, { tags })));
        const leased = [];
        for (const _ of handles) leased.push(await pool.queue.get({ tags }));
        return { handles: handles as [TaskHandle, TaskHandle, TaskHandle], leased };
      }

      shows(
        [
          'wait(futures)',
          'wait(futures, timeout=s)',
          'wait(futures, return_when=…)',
          'ALL_COMPLETED',
          'FIRST_COMPLETED',
          'FIRST_EXCEPTION',
        ],
        'wait: for all, for the first, for the first that failed; each handle once; a time for the waiting',
        async () => {
          const { handles, leased } = await threeTasks();
          const [a, b, c] = handles;
          await expect(wait(handles, { timeout: 1 })).rejects.toThrow(TimeoutError);
          const first = wait([a, b, c, a], { until: 'first' });
          const failed = wait(handles, { until: 'first-error' });
          const all = wait(new Set(handles));
          await leased[1]!.complete();
          expect(await first).toEqual({ done: [b], pending: [a, c] });
          await leased[0]!.fail(new Error('of the task'), { retry: false });
          expect(await failed).toEqual({ done: [a, b], pending: [c] });
          await leased[2]!.complete();
          expect(await all).toEqual({ done: [a, b, c], pending: [] });
          expect(await wait(handles, { until: 'first' })).toEqual({ done: [a, b, c], pending: [] });
        },
      );

      shows(
        ['as_completed(futures)', 'as_completed(futures, timeout=s)'],
        'as_completed: in the order in which they end, what has ended first; each once; a time for all of it',
        async () => {
          const { handles, leased } = await threeTasks();
          const [a, b, c] = handles;
          await leased[2]!.complete();
          await c.result();
          const read: TaskHandle[] = [];
          const reading = (async () => {
            for await (const handle of asCompleted([a, b, c, a], { timeout: 60_000 })) {
              read.push(handle);
              if (read.length === 1) await leased[1]!.fail(new Error('of the task'), { retry: false });
              if (read.length === 2) await leased[0]!.complete();
            }
          })();
          await reading;
          expect(read).toEqual([c, b, a]);
          const late = await pool.put('by hand', 1 as never, { tags: ['nobody has this'] });
          const never = asCompleted([c, late], { timeout: 1 })[Symbol.asyncIterator]();
          expect((await never.next()).value).toBe(c);
          await expect(never.next()).rejects.toThrow(TimeoutError);
          expect(await late.cancel()).toBe(true);
        },
      );
    });

    describe('beyond Python', () => {
      test.each([1, 2])('tasks that wait for tasks, levels deep: %i processes are enough', async (workers) => {
        const own = await aPool({ workers });
        expect(await own.run('tree', 5 as never)).toBe(63);
        const queue = own.queue.name;
        const trees = [1, 2, 3].map(() => own.run('treeByClient', { depth: 3, queue } as never));
        expect(await Promise.all(trees)).toEqual([15, 15, 15]);
      });

      test('a task goes to every process once by broadcast, also beside busy ones', async () => {
        const busy = await aRunning(pool);
        const told = pool.broadcast('pid', undefined as never);
        await busy.go.put(1);
        const pids = (await told).map((one) => (one as PromiseFulfilledResult<number>).value);
        expect(pids.toSorted()).toEqual(pool.workers().map(({ pid }) => pid).toSorted()); // prettier-ignore
      });

      test('what tasks share: a lock, a counter of the pool’s client', async () => {
        const results: QueueProxy<unknown> = pool.client.queue();
        const go = pool.client.queue();
        await go.put(1);
        expect(await pool.run('meet', { started: results, go, output: results } as never)).toMatchObject({
          typeId: 'queue',
        });
        expect(await results.size()).toBe(1);
      });
    });
  });
}
