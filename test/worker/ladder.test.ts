/**
 * Runs that must end, because they take longer than their `runTimeout` or their task was cancelled: by their signal, and
 * where that does not help, with their process.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  DependencyFailedError,
  JobGraph,
  LeaseLostError,
  type QueueProxy,
  TaskCancelledError,
  type TaskQueueOptions,
  TaskTimeoutError,
  type TaskRecord,
  WorkerLostError,
} from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import { partyOfTest } from '../kit/parties.ts';
import { aClient, aGate, aGroup, fresh, isAlive, places, sharedRig, type Started, working } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';
import { aBusyWorker, withWindow } from '../kit/windows.ts';

const module = new URL('../fixtures/ladder-tasks.mjs', import.meta.url);
/** ms: of runs that are to be too long, and of handlers that are not to obey. */
const LIMIT = 100;
const GRACE = 100;

type Told = Started & { readonly reason?: string; readonly signal?: string };

describe.each(['socket', 'process'] as const)('a manager %s', (place) => {
  const rig = sharedRig(place);

  function aQueue(options: TaskQueueOptions = { cancelGrace: GRACE }) {
    const { client } = rig();
    const name = fresh('queue');
    return { client, name, queue: client.tasks(name, options), started: client.queue<Told>(fresh('started')) };
  }

  async function owned(count = 1, concurrency = 1, options?: TaskQueueOptions) {
    const rigged = aQueue(options);
    const group = await aGroup(rigged.client, { queue: rigged.name, count, concurrency }, module);
    return { ...rigged, group };
  }

  describe('W5 a run that takes longer than its runTimeout', () => {
    test('its handler obeys the signal: the task has timed out, and the worker goes on', async () => {
      const { queue, group, started } = await owned(1, 1, {});
      group.on('workerLost', () => expect.unreachable('it obeyed'));
      const pid = await queue.run('pid');
      const handle = await queue.put('obey', { started }, { runTimeout: LIMIT });
      await started.get();
      const error = await handle.result().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(TaskTimeoutError);
      expect(error).toMatchObject({
        code: 'QM_TASK_TIMEOUT',
        message: `task '${handle.id}' (obey) ran for longer than its runTimeout of ${LIMIT} ms`,
      });
      expect(await started.get()).toEqual({ reason: 'QM_TASK_TIMEOUT' });
      const record = await handle.record();
      expect(record).toMatchObject({ state: 'failed', attempt: 1, error: { code: 'QM_TASK_TIMEOUT' } });
      expect(record.runMs).toBeGreaterThanOrEqual(LIMIT - 1);
      expect(await queue.run('pid')).toBe(pid);
    });

    test('what it returns after its signal is not recorded', async () => {
      const { queue, started } = await owned(1, 1, {});
      const handle = await queue.put('obey', { started, returns: true }, { runTimeout: LIMIT });
      await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
    });

    test.each(['ignore', 'spin', 'stubborn'] as const)(
      '%s: its process is killed and replaced, the next task runs, and no death is counted',
      async (name) => {
        for (let heard = false; !heard;) {
          const { queue, group, started } = await owned(1, 1, { cancelGrace: GRACE, poisonAfter: 1 });
          const lost = once(group, 'workerLost');
          const handle = await queue.put(name, { started }, { runTimeout: LIMIT });
          const next = await queue.put('pid');
          const { pid, worker } = await started.get();
          await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
          expect(await lost).toMatchObject([
            {
              name: worker,
              pid,
              signal: 'SIGKILL',
              reason: `task '${handle.id}' (${name}) ran for longer than its runTimeout of ${LIMIT} ms, and went on after its signal`,
            },
          ]);
          expect(isAlive(pid)).toBe(false);
          const second = await next.result();
          expect(second).not.toBe(pid);
          expect(await next.record()).toMatchObject({ attempt: 1 });
          const record = await handle.record();
          expect(record).toMatchObject({ state: 'failed', attempt: 1, pid });
          expect(whys(record).slice(1)).toEqual(['attempt 1', record.error?.message]);
          heard = name !== 'stubborn' || (await hasHeard(started));
        }
      },
    );

    test('retries count, deaths do not: a process is killed for each attempt, and the last one has timed out', async () => {
      const { queue, group } = await owned(1, 1, { cancelGrace: 0, poisonAfter: 2, runTimeout: LIMIT });
      const pids = new Set<number>();
      group.on('workerLost', ({ pid }) => pids.add(pid));
      const handle = await queue.put('spin', {}, { retries: 3 });
      await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
      expect(pids.size).toBe(4);
      const record = await handle.record();
      expect(record).toMatchObject({ state: 'failed', attempt: 4 });
      expect(whys(record).filter((why) => why.includes('runTimeout'))).toHaveLength(4);
    });

    test('an attempt that is not too long succeeds, after those that were', async () => {
      const { queue } = await owned(1, 1, { cancelGrace: 0, poisonAfter: 2, runTimeout: LIMIT });
      // On a machine that stands still for so long one more is too long, and another one follows.
      const handle = await queue.put('spin', { times: 3 }, { retries: 1_000 });
      const attempt = (await handle.result()) as number;
      expect(attempt).toBeGreaterThan(3);
      expect(whys(await handle.record()).filter((why) => why.includes('runTimeout'))).toHaveLength(attempt - 1);
    });

    test('a limit of the put counts, not that of the queue, and Infinity is none', async () => {
      const { client, queue, started } = await owned(2, 1, { runTimeout: LIMIT });
      const go = client.queue();
      const free = await queue.put('meet', { started, go }, { runTimeout: Infinity });
      await started.get();
      const bound = await queue.put('obey', { started });
      await expect(bound.result()).rejects.toThrow(`runTimeout of ${LIMIT} ms`);
      await go.put(1);
      expect(await free.result()).toBe(1);
    });

    test('its time begins when it starts: not while it waits behind another one', async () => {
      const { queue, started } = await owned();
      const { gate, long, timed } = await withWindow(
        queue,
        2,
        async () => {
          const gate = aGate();
          const [long, timed] = await Promise.all([
            queue.put('spinUntil', { started, file: gate.file }),
            queue.put('echo', 'in time', { runTimeout: LIMIT }),
          ]);
          await started.get();
          return { gate, long, timed };
        },
        async ({ gate, long }) => {
          gate.open();
          await long.result();
        },
      );
      // Somebody else's time is over meanwhile, by the same clock.
      const { queue: other, started: also } = await owned();
      await expect((await other.put('obey', { started: also }, { runTimeout: 2 * LIMIT })).result()).rejects.toThrow();
      gate.open();
      expect(await timed.result()).toBe('in time');
      expect(await long.result()).toBe(1);
    });

    test('what waits un-started beside it is given back: the same attempt', async () => {
      const { queue, group, started } = await owned();
      const { long, short, pid } = await withWindow(
        queue,
        3,
        async () => {
          const puts = [queue.put('spin', { started }, { runTimeout: 20 * LIMIT, atMostOnce: true })];
          for (let i = 0; i < 20; i++) puts.push(queue.put('pid', i));
          const [long, ...short] = await Promise.all(puts);
          const { pid } = await started.get();
          return { long, short, pid };
        },
        async ({ short }) => {
          const lost = once(group, 'workerLost');
          await Promise.all(short.map((handle) => handle.result()));
          await lost;
        },
      );
      await expect(long?.result()).rejects.toThrow(TaskTimeoutError);
      for (const handle of short) {
        expect(await handle.result()).not.toBe(pid);
        expect(await handle.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
      }
    });

    test('what runs beside it is lost with the process, and not to blame: at most once fails, others run again', async () => {
      const { client, queue, group, started } = await owned(1, 3, { cancelGrace: GRACE, poisonAfter: 2 });
      const go = client.queue();
      const bystander = await queue.put('meet', { started, go });
      const bound = await queue.put('meet', { started, go }, { atMostOnce: true });
      await Promise.all([started.get(), started.get()]);
      for (let round = 1; round <= 2; round++) {
        const lost = once(group, 'workerLost');
        const handle = await queue.put('ignore', { started }, { runTimeout: LIMIT });
        await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
        await lost;
        // The bystander runs again.
        while ((await started.get()).id !== bystander.id);
      }
      const error = await bound.result().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(WorkerLostError);
      expect((error as Error).message).toContain('ran for longer than its runTimeout');
      await go.put(1);
      expect(await bystander.result()).toBe(3);
    });

    test('a graph: what comes after it is skipped, with the timeout as its cause', async () => {
      const { queue, started } = await owned(1, 1, { cancelGrace: 0, runTimeout: LIMIT });
      const graph = new JobGraph();
      const long = graph.add('spin', { started }, { id: 'long' });
      graph.add('echo', { after: long }, { id: 'next' });
      await using run = queue.runGraph(graph);
      await expect(run.result()).rejects.toThrow();
      const [job, next] = [await queue.dict.get(`${run.id}/long`), await queue.dict.get(`${run.id}/next`)];
      expect(job).toMatchObject({ state: 'failed', error: { code: 'QM_TASK_TIMEOUT' } });
      expect(next).toMatchObject({ state: 'skipped', error: { code: 'QM_DEPENDENCY_FAILED' } });
      const error = await queue
        .handle(`${run.id}/next`)
        .result()
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DependencyFailedError);
      expect((error as Error).cause).toBeInstanceOf(TaskTimeoutError);
    });
  });

  describe('Q10 the task of a spawned worker is cancelled while it runs', () => {
    test.each(['ignore', 'spin', 'stubborn'] as const)(
      '%s: cancelled from a third process, by its id; its result rejects at once, and its process is replaced',
      async (name) => {
        for (let heard = false; !heard;) {
          const { queue, name: queueName, group, started } = await owned();
          const lost = once(group, 'workerLost');
          const handle = await queue.put(name, { started });
          const { pid } = await started.get();
          const party = await partyOfTest({ connectionFile: rig().connectionFile as string });
          const cancel = party.run(
            ({ client }, of, id) => client.tasks(of).cancel(id, 'not needed'),
            queueName,
            handle.id,
          );
          await expect(handle.result()).rejects.toThrow(TaskCancelledError);
          expect(await cancel).toBe(1);
          expect(await lost).toMatchObject([
            { pid, signal: 'SIGKILL', reason: expect.stringContaining('not needed, and went on after its signal') },
          ]);
          expect(await queue.run('pid')).not.toBe(pid);
          const record = await handle.record();
          expect(record).toMatchObject({ state: 'cancelled', attempt: 1, pid });
          expect(whys(record)).toEqual(['put', 'attempt 1', `task '${handle.id}' was cancelled: not needed`]);
          heard = name !== 'stubborn' || (await hasHeard(started));
        }
      },
    );

    test('its handler ends in the grace: the worker lives, and what it returned is nothing', async () => {
      // Long enough for a handler on a busy machine.
      const grace = 10 * GRACE;
      const { queue, group, started } = await owned(1, 1, { cancelGrace: grace });
      group.on('workerLost', () => expect.unreachable('it obeyed'));
      const pid = await queue.run('pid');
      const handle = await queue.put('obey', { started, returns: true });
      await started.get();
      expect(await handle.cancel()).toBe(true);
      expect(await started.get()).toEqual({ reason: 'QM_TASK_CANCELLED' });
      await graceOver(grace);
      expect(await queue.run('pid')).toBe(pid);
      expect(await handle.state()).toBe('cancelled');
    });

    test('a thread that was blocked before it had told that it began', async () => {
      const { queue, group } = await owned();
      for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 100 }, () => queue.run('echo')));
      const lost = once(group, 'workerLost');
      const begun = aGate();
      const handle = await queue.put('spinAtOnce', begun.file);
      await until(async () => (await queue.dict.size()) > 0 && existsSync(begun.file));
      expect(await handle.cancel()).toBe(true);
      await expect(handle.result()).rejects.toThrow(TaskCancelledError);
      expect(await lost).toMatchObject([{ signal: 'SIGKILL' }]);
      expect(await queue.run('echo', 'another one')).toBe('another one');
    });

    test('what is cancelled un-started, behind one that keeps the thread, is no reason to kill anybody', async () => {
      const { queue, group, started } = await owned();
      group.on('workerLost', () => expect.unreachable('nobody was to blame'));
      const { gate, long, short } = await aBusyWorker(queue, started, 3, Array(20).fill('short'));
      for (const handle of short) expect(await handle.cancel()).toBe(true);
      await graceOver();
      gate.open();
      expect(await long.result()).toBe(1);
      expect(await long.record()).toMatchObject({ attempt: 1 });
      for (const handle of short) expect(await handle.state()).toBe('cancelled');
      expect(await queue.run('echo', 'it goes on')).toBe('it goes on');
    });

    test('what ran beside it runs again', async () => {
      const { client, queue, started } = await owned(1, 2, { cancelGrace: GRACE, poisonAfter: 2 });
      const go = client.queue();
      const bystander = await queue.put('meet', { started, go });
      await started.get();
      for (let round = 2; round <= 3; round++) {
        const handle = await queue.put('ignore', { started });
        while ((await started.get()).id !== handle.id);
        await handle.cancel();
        while ((await started.get()).id !== bystander.id);
        expect(await bystander.record()).toMatchObject({ attempt: round, state: 'leased' });
      }
      await go.put(1);
      expect(await bystander.result()).toBe(3);
    });

    test('with no end to the grace nobody is killed', async () => {
      const { client, queue, group, started } = await owned(1, 1, { cancelGrace: Infinity });
      group.on('workerLost', () => expect.unreachable('it may go on'));
      const go = client.queue();
      const handle = await queue.put('linger', { started, go });
      await started.get();
      await handle.cancel();
      await started.get();
      await graceOver();
      const after = queue.run('pid');
      await go.put(1);
      expect(await after).toBe(group.workers()[0]?.pid);
    });
  });

  test('Q10 one that has ended when the cancel comes costs no worker', async () => {
    const { client, name, queue, group, started } = await owned(1, 2, { cancelGrace: 1e9 });
    const go = client.queue();
    const bystander = await queue.put('meet', { started, go });
    await started.get();
    for (let i = 0; i < 50; i++) {
      const handle = await queue.put('echo', i);
      const [cancelled, outcome] = await Promise.all([
        handle.cancel(),
        handle.result().then(
          () => 'succeeded',
          () => 'cancelled',
        ),
      ]);
      expect(outcome).toBe(cancelled ? 'cancelled' : 'succeeded');
    }
    // Whoever has ended says so: nothing is left for which a process would be killed, were the grace over.
    const { manager } = rig();
    const boards = [...(manager?.[coreOf].boards ?? [])].filter((board) => board.name === name);
    const takers = boards.flatMap((board) => [...board.takers.values()]);
    await until(async () => (await queue.dict.size()) > 0 && takers.every(({ endings }) => endings === undefined));
    expect(takers).toHaveLength(manager === undefined ? 0 : 1);
    await go.put(1);
    expect(await bystander.result()).toBe(1);
    expect(group.workers()).toHaveLength(1);
  });

  /** Another task of a worker, cancelled now, has been given as long as all that were cancelled before. */
  async function graceOver(grace = GRACE): Promise<void> {
    const { queue, group, started } = await owned(1, 1, { cancelGrace: 2 * grace });
    const lost = once(group, 'workerLost');
    const handle = await queue.put('ignore', { started });
    await started.get();
    await handle.cancel();
    await lost;
  }
});

describe.each(places)('W5 a worker that nobody may kill (%s)', (place) => {
  const rig = sharedRig(place);

  async function aQueue(options: TaskQueueOptions) {
    const { client } = rig();
    const name = fresh('queue');
    const worker = await aClient(rig());
    return { name, worker, queue: client.tasks(name, options), elsewhere: worker.tasks(name) };
  }

  test('after the grace its lease is lost: another one may have the task, and what the first says is refused', async () => {
    const { queue, elsewhere } = await aQueue({ cancelGrace: GRACE, poisonAfter: 1 });
    const handle = await queue.put('x', undefined, { runTimeout: LIMIT, retries: 1_000 });
    const first = await elsewhere.get();
    const other = (await aClient(rig())).tasks(queue.name);
    // Waits until the first has lost it.
    let later = await other.get();
    expect([later.id, later.attempt]).toEqual([handle.id, 2]);
    expect(first.signal.reason).toBeInstanceOf(TaskTimeoutError);
    for (const late of [() => first.complete('late'), () => first.extend(9)]) {
      await expect(late()).rejects.toThrow(LeaseLostError);
    }
    // Its own time is as short: where that was over as well, there is another attempt.
    for (let done = false; !done; later = done ? later : await other.get()) {
      done = await later.complete('in time').then(
        () => true,
        (error: unknown) => !(error instanceof LeaseLostError),
      );
    }
    expect(await handle.result()).toBe('in time');
    const timeouts = whys(await handle.record()).filter((why) => why.includes('runTimeout'));
    expect(timeouts).toHaveLength(later.attempt - 1);
  });

  test.each(['complete', 'release'] as const)(
    '%s in the grace is refused, again and again, and the task has timed out',
    async (how) => {
      const { queue, elsewhere } = await aQueue({});
      const handle = await queue.put('x', undefined, { runTimeout: LIMIT });
      const task = await elsewhere.get();
      if (!task.signal.aborted) await once(task.signal, 'abort');
      expect(task.signal.reason).toBeInstanceOf(TaskTimeoutError);
      expect(await handle.state()).toBe('leased');
      await expect(task[how]()).rejects.toThrow(LeaseLostError);
      await expect(task.complete('again')).rejects.toThrow(LeaseLostError);
      await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
    },
  );

  test('fail in the grace: it is the timeout that is recorded; `retry: false` still counts', async () => {
    const { queue, elsewhere } = await aQueue({});
    const handle = await queue.put('x', undefined, { runTimeout: LIMIT, retries: 5 });
    const task = await elsewhere.get();
    if (!task.signal.aborted) await once(task.signal, 'abort');
    await task.fail(new Error('mine'), { retry: false });
    await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
    expect(await handle.record()).toMatchObject({ attempt: 1, error: { code: 'QM_TASK_TIMEOUT' } });
  });

  test('Q10 cancelled in the grace: cancelled, once', async () => {
    const { queue, elsewhere } = await aQueue({ cancelGrace: Infinity });
    const handle = await queue.put('x', undefined, { runTimeout: LIMIT });
    const task = await elsewhere.get();
    if (!task.signal.aborted) await once(task.signal, 'abort');
    expect(await handle.cancel('enough')).toBe(true);
    await expect(handle.result()).rejects.toThrow(TaskCancelledError);
    await expect(task.complete()).rejects.toThrow(LeaseLostError);
    expect(await handle.record()).toMatchObject({ state: 'cancelled', attempt: 1 });
  });

  test('work(): a handler that has ended in time is none of its business; one that obeys has timed out', async () => {
    const { name, worker, queue } = await aQueue({ runTimeout: 60_000 });
    working(worker, name, {
      quick: (input) => input,
      slow: (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
    });
    const quick = Array.from({ length: 500 }, (_, i) => queue.run('quick', i));
    expect(await Promise.all(quick)).toEqual(Array.from({ length: 500 }, (_, i) => i));
    await expect(queue.run('slow', undefined, { runTimeout: LIMIT })).rejects.toThrow(TaskTimeoutError);
    expect(await queue.run('quick', 'it goes on')).toBe('it goes on');
  });

  test('a handler that was cancelled and has ended is no more a task that runs', async () => {
    const { name, worker, queue } = await aQueue({});
    const loop = working(worker, name, {
      slow: (_, { signal }) => signal.aborted || new Promise((resolve) => signal.addEventListener('abort', resolve)),
      quick: () => 'next',
    });
    const handle = await queue.put('slow');
    while ((await handle.state()) !== 'leased');
    await handle.cancel();
    expect(await queue.run('quick')).toBe('next');
    await loop.stop();
  });
});

/**
 * Whether a process that was killed has said before that it heard SIGTERM, as its group asks it first: one that the
 * machine held up for all of the time between the two has not, and there is another go.
 */
async function hasHeard(started: QueueProxy<Told>): Promise<boolean> {
  let heard = false;
  for (let told = await started.getNowait(); told !== undefined; told = await started.getNowait()) {
    heard ||= told.signal === 'SIGTERM';
  }
  return heard;
}

function whys({ history }: TaskRecord): string[] {
  return history.map(({ why }) => why);
}
