/** What a worker process can do to its task, and what then becomes of both. */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type LeasedTask, TaskFailedError, type TaskRecord, WorkerLostError, type WorkerGroup } from 'quartermaster';
import { aFolder, aGroup, aRig, fresh, sharedRig, type Started } from '../kit/tasks-rig.ts';
import { withWindow } from '../kit/windows.ts';

const leftBehind = new URL('../fixtures/left-behind.mjs', import.meta.url);

describe.each(['embedded', 'process'] as const)('a manager %s', (place) => {
  const rig = sharedRig(place);

  function aQueue(options?: { poisonAfter?: number; retries?: number }) {
    const { client } = rig();
    const name = fresh('queue');
    return { client, name, queue: client.tasks(name, options), started: client.queue<Started>(fresh('started')) };
  }

  test('W1 a worker is killed in the middle of a task: it runs again elsewhere, and the group says who was lost', async () => {
    const { client, name, queue, started } = aQueue();
    const group = await aGroup(client, { queue: name, count: 2 });
    const handle = await queue.put('wait', { started, hangs: 1 });
    const first = await started.get();
    expect(await handle.record()).toMatchObject({ state: 'leased', attempt: 1, pid: first.pid, worker: first.worker });
    const lost = once(group, 'workerLost');
    process.kill(first.pid, 'SIGKILL');
    expect(await lost).toEqual([
      { name: first.worker, pid: first.pid, exitCode: undefined, signal: 'SIGKILL', reason: undefined },
    ]);
    const second = await started.get();
    expect(second).toMatchObject({ id: handle.id, attempt: 2 });
    expect(second.pid).not.toBe(first.pid);
    expect(await handle.result()).toBe(2);
    const record = await handle.record();
    expect(record).toMatchObject({ state: 'succeeded', attempt: 2, pid: second.pid });
    expect(whys(record)).toEqual([
      'put',
      'attempt 1',
      `worker ${first.worker} (pid ${first.pid}) ended by SIGKILL while it ran task '${handle.id}' (wait)`,
      'attempt 2',
      'completed',
    ]);
  });

  test('W1 killed again and again: never lost, each time one attempt more', async () => {
    const { client, name, queue, started } = aQueue({ poisonAfter: 10 });
    await aGroup(client, { queue: name, count: 2 });
    const handle = await queue.put('wait', { started, hangs: 4 });
    for (let attempt = 1; attempt <= 4; attempt++) {
      const at = await started.get();
      expect(at.attempt).toBe(attempt);
      process.kill(at.pid, 'SIGKILL');
    }
    expect(await handle.result()).toBe(5);
  });

  describe('W2 a handler that ends its process with code 0', () => {
    test.each(['exit', 'exitLater'] as const)('%s: counts as a lost worker, and the task runs again', async (how) => {
      const { client, name, queue } = aQueue();
      const group = await aGroup(client, { queue: name, count: 1 });
      const lost = once(group, 'workerLost');
      const handle = await queue.put(how, { code: 0, times: 1 });
      expect(await handle.result()).toBe(2);
      expect(await lost).toMatchObject([{ exitCode: 0, signal: undefined }]);
      expect(await handle.record()).toMatchObject({ state: 'succeeded', attempt: 2 });
    });

    test('at most once: it fails at once, and the error names the code and the task', async () => {
      const { client, name, queue } = aQueue({ retries: 5 });
      const group = await aGroup(client, { queue: name, count: 1 });
      const { pid } = group.workers()[0] as { pid: number };
      const handle = await queue.put('exit', { code: 0 }, { atMostOnce: true });
      const error = await handle.result().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(WorkerLostError);
      expect(error).toMatchObject({ code: 'QM_WORKER_LOST', pid, exitCode: 0, signal: undefined });
      expect((error as Error).message).toBe(
        `worker worker-1 (pid ${pid}) ended with exit code 0 while it ran task '${handle.id}' (exit)`,
      );
      expect(await handle.record()).toMatchObject({ state: 'failed', attempt: 1 });
      expect(await queue.run('echo', 'the queue goes on')).toBe('the queue goes on');
    });

    test('poisonAfter: after so many deaths it fails; others do not suffer', async () => {
      const { client, name, queue } = aQueue({ poisonAfter: 2 });
      const group = await aGroup(client, { queue: name, count: 1 });
      const codes: unknown[] = [];
      group.on('workerLost', ({ exitCode }) => codes.push(exitCode));
      const poison = await queue.put('exit', { code: 3 }, { retries: 10 });
      const others = await queue.putMany('echo', [1, 2, 3]).toArray();
      await expect(poison.result()).rejects.toMatchObject({ code: 'QM_WORKER_LOST', exitCode: 3 });
      expect(await Promise.all(others.map((other) => other.result()))).toEqual([1, 2, 3]);
      expect(await poison.record()).toMatchObject({ attempt: 2 });
      expect(codes).toEqual([3, 3]);
    });
  });

  test('Q6 three die together each time: they run one by one then, and it shows who kills', async () => {
    const { client, name, queue, started } = aQueue({ poisonAfter: 2 });
    const group = await aGroup(client, { queue: name, count: 1, concurrency: 3 });
    const codes: unknown[] = [];
    group.on('workerLost', ({ exitCode }) => codes.push(exitCode));
    const [go, fire] = [client.queue(), client.queue()];
    const siblings = [
      await queue.put('meet', { started, go, output: 'a' }),
      await queue.put('meet', { started, go, output: 'b' }),
    ];
    const killer = await queue.put('exitWhenTold', { started, go: fire, code: 3 });
    for (const round of [1, 2]) {
      const together = [await started.get(), await started.get(), await started.get()];
      expect(together.map(({ attempt }) => attempt)).toEqual([round, round, round]);
      await fire.put('now');
    }
    const other = await queue.put('echo', 'beside nobody');
    for (const sibling of siblings) {
      expect(await started.get()).toMatchObject({ id: sibling.id, attempt: 3 });
      expect(await queue.dict.counts()).toMatchObject({ leased: 1 });
      await go.put('on');
      await sibling.result();
    }
    expect(await started.get()).toMatchObject({ id: killer.id, attempt: 3 });
    await fire.put('now');
    await expect(killer.result()).rejects.toMatchObject({ code: 'QM_WORKER_LOST', exitCode: 3 });
    expect(await Promise.all([...siblings, other].map((handle) => handle.result()))).toEqual([
      'a',
      'b',
      'beside nobody',
    ]);
    expect(codes).toEqual([3, 3, 3]);
    const { history, error } = await killer.record();
    const deaths = [...history.flatMap((change) => change.error ?? []), error];
    expect(deaths).toEqual(Array(3).fill(expect.objectContaining({ code: 'QM_WORKER_LOST' })));
    expect(history.map(({ why }) => why)).toContainEqual(expect.stringMatching(/; from here on it runs alone$/));
  });

  describe('W3 an error outside of the task’s promise', () => {
    test.each(['timer', 'rejection'] as const)(
      '%s: the task fails once with that error, and the worker is replaced',
      async (how) => {
        const { client, name, queue } = aQueue();
        const group = await aGroup(client, { queue: name, count: 1 });
        const events = Promise.all([once(group, 'workerLost'), once(group, 'workerStarted')]);
        const handle = await queue.put('throwOutside', { how });
        const error = await handle.result().catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(TaskFailedError);
        const { cause } = error as { cause: Error };
        expect(cause).toBeInstanceOf(TypeError);
        expect(cause).toMatchObject({
          message: 'outside',
          code: 'E_OUTSIDE',
          cause: { name: 'RangeError', message: 'deep' },
        });
        expect(cause.stack).toContain('tasks.mjs');
        expect(await handle.record()).toMatchObject({
          state: 'failed',
          attempt: 1,
          error: {
            message: expect.stringContaining('TypeError: outside'),
            stack: expect.stringContaining('tasks.mjs'),
          },
        });
        const [[lost]] = (await events) as [[object], unknown];
        expect(lost).toMatchObject({ exitCode: 1, signal: undefined, reason: 'TypeError: outside' });
        expect(await queue.run('echo', 'alive')).toBe('alive');
        expect(await queue.dict.counts()).toMatchObject({ failed: 1, succeeded: 1, leased: 0 });
      },
    );

    test('what is thrown need not be an error', async () => {
      const { client, name, queue } = aQueue();
      await aGroup(client, { queue: name, count: 1 });
      await expect(queue.run('throwOutside', { how: 'text' })).rejects.toMatchObject({
        code: 'QM_TASK_FAILED',
        cause: 'only text',
      });
    });

    test('it is a failure like any other: retries count', async () => {
      const { client, name, queue } = aQueue();
      await aGroup(client, { queue: name, count: 1 });
      expect(await queue.run('throwOutside', { how: 'timer', times: 1 }, { retries: 1 })).toBe(2);
      const again = queue.run('throwOutside', { how: 'timer' }, { retries: 1 });
      await expect(again).rejects.toMatchObject({ code: 'QM_TASK_FAILED', cause: { message: 'outside' } });
    });

    test('several tasks run: it is the one’s that left it behind; the others finish before the process ends', async () => {
      const { client, name, queue, started } = aQueue();
      const group = await aGroup(client, { queue: name, count: 1, concurrency: 3 });
      const lost = once(group, 'workerLost');
      const go = client.queue();
      const bystander = await queue.put('meet', { started, go, output: 'mine' }, { atMostOnce: true });
      await started.get();
      const culprit = queue.run('throwOutside', { how: 'timer' });
      await expect(culprit).rejects.toMatchObject({ code: 'QM_TASK_FAILED', cause: { message: 'outside' } });
      await go.put(1);
      expect(await bystander.result()).toBe('mine');
      expect(await lost).toMatchObject([{ exitCode: 1, reason: 'TypeError: outside' }]);
    });

    test('one of no task, while several run: all count as lost, once, and the error’s text is kept', async () => {
      const { client, name, queue, started } = aQueue();
      await aGroup(client, { queue: name, count: 1, concurrency: 2, env: { QUEUE: name } }, leftBehind);
      const go = client.queue();
      const tasks = [
        await queue.put('meet', { started, go }, { atMostOnce: true }),
        await queue.put('meet', { started, go }, { atMostOnce: true }),
      ];
      await Promise.all([started.get(), started.get()]);
      await client.queue(`nobody-${name}`).put('throw');
      for (const task of tasks) {
        await expect(task.result()).rejects.toMatchObject({
          code: 'QM_WORKER_LOST',
          exitCode: 1,
          reason: 'Error: nobody’s',
        });
      }
    });
  });

  describe('W4 what a task leaves behind fails after its outcome', () => {
    test.each([
      ['a rejection, then another task runs', 'rejection', false],
      ['a timer that throws, then another task runs', 'timer', true],
      ['a rejection of what a synchronous handler began', 'of a synchronous one', false],
    ])('%s: told with the task’s name, and the other one is not charged', async (_, how, replaced) => {
      const { client, name, queue, started } = aQueue();
      const group = await aGroup(client, { queue: name, count: 1, env: { QUEUE: name } }, leftBehind);
      group.on('workerLost', () => expect.unreachable('nobody was lost'));
      const late = once(group, 'lateError');
      const [go, release] = [client.queue(), client.queue()];
      const guilty = await queue.put(how === 'of a synchronous one' ? 'leaveAtOnce' : 'leave', { how, release });
      expect(await guilty.result()).toBe('fine');
      const innocent = await queue.put('meet', { started, go, output: 'mine' });
      const { pid } = await started.get();
      await release.put('now');
      expect(await late).toMatchObject([
        { pid, task: guilty.id, taskName: expect.stringMatching(/^leave/), error: 'TypeError: too late' },
      ]);
      await go.put(1);
      expect(await innocent.result()).toBe('mine');
      expect(await innocent.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
      expect(await guilty.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
      // After an exception the process cannot be trusted: it has finished what it ran, and another one goes on.
      const after = await queue.run('pid');
      if (replaced) expect(after).not.toBe(pid);
      else expect(after).toBe(pid);
    });
  });

  test('Q11 the un-started window of a dead worker comes back in its order, the same attempt', async () => {
    const { client, name, queue, started } = aQueue();
    await aGroup(client, { queue: name, count: 1 });
    const { long, short, pid } = await withWindow(
      queue,
      3,
      async () => {
        // In one write: the worker has the first, and behind it what its window holds.
        const puts = [queue.put('wait', { started })];
        for (let i = 0; i < 20; i++) puts.push(queue.put('echo', i));
        const [long, ...short] = await Promise.all(puts);
        const { pid } = await started.get();
        return { long, short, pid };
      },
      async ({ long, short, pid }) => {
        await long?.cancel();
        process.kill(pid, 'SIGKILL');
        await Promise.all(short.map((handle) => handle.result()));
      },
    );
    // Those who wait for the hold see what came back, in its order, before the replacement does.
    const order = await queue.withLock(async (held) => {
      process.kill(pid, 'SIGKILL');
      while ((await held.dict.counts()).leased > 0);
      const taken: LeasedTask[] = [];
      for (let task = await held.getNowait(); task; task = await held.getNowait()) taken.push(task);
      return taken;
    });
    expect(order.map(({ id, attempt }) => [id, attempt])).toEqual([[long?.id, 2], ...short.map(({ id }) => [id, 1])]);
    await Promise.all(order.map((task) => task.complete()));
  });

  test('at most once means at most once, also for what waits in a window while its worker dies', async () => {
    const { client, name, queue } = aQueue();
    await aWarmWorker(await aGroup(client, { queue: name, count: 2 }), queue);
    const file = path.join(aFolder(), 'marks');
    const puts = [];
    for (let id = 0; id < 1500; id++) {
      puts.push(queue.put('mark', { file, id, kills: id % 300 === 299 }, { atMostOnce: true }));
    }
    const outcomes = await Promise.allSettled((await Promise.all(puts)).map((handle) => handle.result()));
    const marks = readFileSync(file, 'utf8').trimEnd().split('\n').map(Number);
    expect(new Set(marks).size).toBe(marks.length);
    // Every task has run, or its worker was lost while it ran: nobody was blamed that had not begun.
    outcomes.forEach((outcome, id) => {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(WorkerLostError);
      expect(marks).toContain(id);
    });
  });
});

test('at most once means at most once, also while the manager reads nothing of what has started', async () => {
  const { client } = await aRig('process');
  const name = fresh('queue');
  const queue = client.tasks(name);
  const group = await aGroup(client, { queue: name, count: 1 });
  await aWarmWorker(group, queue);
  const file = path.join(aFolder(), 'marks');
  const marks = (): number[] => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').map(Number) : []);
  // More than a socket takes of what tells their starts, one by one, while nobody reads it.
  const handles = await Promise.all(
    Array.from({ length: 1000 }, (_, id) => queue.put('mark', { file, id }, { atMostOnce: true })),
  );
  while (marks().length === 0) await new Promise(setImmediate);
  process.kill(client.pid, 'SIGSTOP');
  // It comes to a stand: nothing begins before the manager could know. If it does not, that is what shows below.
  for (let seen = -1; seen !== marks().length; await setTimeout(20)) seen = marks().length;
  const [worker] = group.workers();
  process.kill(worker!.pid, 'SIGKILL');
  process.kill(client.pid, 'SIGCONT');
  const outcomes = await Promise.allSettled(handles.map((handle) => handle.result()));
  const all = marks();
  expect(new Set(all).size).toBe(all.length);
  outcomes.forEach((outcome) => {
    if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(WorkerLostError);
  });
});

/** Runs short tasks until the worker keeps a window of them. */
async function aWarmWorker(_group: WorkerGroup, queue: { run(name: string, input?: unknown): Promise<unknown> }) {
  for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 100 }, () => queue.run('echo')));
}

function whys({ history }: TaskRecord): string[] {
  return history.map(({ why }) => why);
}
