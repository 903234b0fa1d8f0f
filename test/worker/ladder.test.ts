/**
 * Runs that must end, because they take longer than their `runTimeout` or their task was cancelled: by their signal, and
 * where that does not help, with their process.
 */
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  DependencyFailedError,
  JobGraph,
  LeaseLostError,
  TaskCancelledError,
  type TaskQueueOptions,
  TaskTimeoutError,
  type TaskRecord,
  WorkerLostError,
} from 'quartermaster';
import { partyOfTest } from '../kit/parties.ts';
import { aClient, aGate, aGroup, fresh, isAlive, sharedRig, type Started, working } from '../kit/tasks-rig.ts';
import { withWindow } from '../kit/windows.ts';

const module = new URL('../fixtures/ladder-tasks.mjs', import.meta.url);
/** ms: of runs that are to be too long, and of handlers that are not to obey. */
const LIMIT = 100;
const GRACE = 100;

type Told = Started & { readonly reason?: string; readonly signal?: string };

describe.each(['embedded', 'process'] as const)('a manager %s', (place) => {
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
        const { queue, group, started } = await owned(1, 1, { cancelGrace: GRACE, poisonAfter: 1 });
        const lost = once(group, 'workerLost');
        const handle = await queue.put(name, { started }, { runTimeout: LIMIT });
        const next = await queue.put('pid');
        const { pid, worker } = await started.get();
        await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
        if (name === 'stubborn') expect(await started.get()).toEqual({ signal: 'SIGTERM' });
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
      },
    );

    test('retries count, deaths do not: three processes are killed for it, and the fourth attempt succeeds', async () => {
      const { queue, started } = await owned(1, 1, { cancelGrace: 0, poisonAfter: 2, runTimeout: LIMIT });
      const handle = await queue.put('spin', { started, times: 3 }, { retries: 3, atMostOnce: false });
      const pids = new Set<number>();
      for (let attempt = 1; attempt <= 4; attempt++) pids.add((await started.get()).pid);
      expect(await handle.result()).toBe(4);
      expect(pids.size).toBe(4);
      expect(whys(await handle.record()).filter((why) => why.includes('runTimeout'))).toHaveLength(3);
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
      const once1 = await queue.put('meet', { started, go }, { atMostOnce: true });
      await Promise.all([started.get(), started.get()]);
      for (let round = 1; round <= 2; round++) {
        const lost = once(group, 'workerLost');
        const handle = await queue.put('ignore', { started }, { runTimeout: LIMIT });
        await expect(handle.result()).rejects.toThrow(TaskTimeoutError);
        await lost;
        // The bystander runs again.
        while ((await started.get()).id !== bystander.id);
      }
      const error = await once1.result().catch((reason: unknown) => reason);
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
      await using run = await queue.runGraph(graph);
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

  describe('W5 a worker that nobody may kill', () => {
    test('after the grace its lease is lost: another one has the task, what it says is refused, and it lives', async () => {
      const { client, name, queue } = aQueue();
      working(await aClient(rig()), name, { mine: (_, { signal }) => signal.aborted });
      const other = await aClient(rig());
      const handle = await queue.put('held', undefined, { runTimeout: LIMIT, retries: 1 });
      // The loop has no such handler.
      const held = await other
        .tasks(name)
        .get()
        .catch((error: unknown) => expect.unreachable(String(error)));
      void client;
      expect(held.attempt).toBeGreaterThan(0);
      const fired = held.signal.aborted ? undefined : once(held.signal, 'abort');
      await fired;
      expect(held.signal.reason).toBeInstanceOf(TaskTimeoutError);
      void handle;
    });
  });
});

function whys({ history }: TaskRecord): string[] {
  return history.map(({ why }) => why);
}
void LeaseLostError;
void TaskCancelledError;
void partyOfTest;
