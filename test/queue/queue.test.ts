/** The task queue's core, case by case. What holds for every sequence of events is in model.test.ts. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { type Task, NEVER, State } from '#qm/queue/task.js';
import { aHolder, aJob, counter, endOf, failed, QueueRig } from './rig.ts';

describe('order', () => {
  test('higher priority first, and in the order of the puts among equals', () => {
    const rig = new QueueRig();
    for (const priority of [0, 5, -1, 5, 0, 0.5]) rig.put({ priority });
    expect(rig.drain()).toEqual(['t2', 't4', 't6', 't1', 't5', 't3']);
  });

  test('Q5 a task that comes back takes its old place among equals, whatever brought it back', () => {
    const rig = new QueueRig();
    const back: ((task: Task) => void)[] = [
      (task) => rig.giveBack(task),
      (task) => rig.lose(task, false),
      (task) => rig.lose(task, true),
      (task) => rig.expire(task),
      (task) => rig.fail(task),
    ];
    for (let i = 0; i < 10; i++) rig.put({ retries: 1 });
    const taken = back.map(() => rig.take());
    rig.put();
    back.forEach((giveBack, i) => giveBack(taken[4 - i] as Task));
    rig.queue.validate();
    expect(rig.drain()).toEqual(['t1', 't2', 't3', 't4', 't5', 't6', 't7', 't8', 't9', 't10', 't11']);
  });

  test('Q5 a dependent that is released late still goes by the order of its put', () => {
    const rig = new QueueRig();
    const first = rig.put();
    rig.put({ after: [first] });
    rig.put();
    const running = rig.take();
    rig.complete(running);
    expect(rig.drain()).toEqual(['t2', 't3']);
  });

  test('Q4 taking from an empty queue gives nothing and uses no token', () => {
    const nextLease = counter();
    const rig = new QueueRig({}, nextLease);
    expect(rig.queue.take(aHolder(), undefined, 0)).toBeUndefined();
    rig.put();
    expect(rig.take().lease).toBe(1);
  });

  test('ready tasks that were cancelled do not pile up, though nobody takes any', async () => {
    const rig = new QueueRig({ count: 10 });
    const kept = rig.put();
    const references: WeakRef<Task>[] = [];
    for (let i = 0; i < 5000; i++) {
      const task = rig.put({ priority: i % 3 });
      references.push(new WeakRef(task));
      rig.cancel(task);
    }
    rig.settled.length = 0;
    rig.queue.validate();
    expect(await alive(references)).toBeLessThan(1500);
    expect(rig.drain()).toEqual([kept.key]);
  });
});

describe('leases', () => {
  test('tokens grow over all leases of all queues', () => {
    const nextLease = counter();
    const one = new QueueRig({}, nextLease);
    const other = new QueueRig({}, nextLease);
    const seen: number[] = [];
    for (let round = 0; round < 5; round++) {
      for (const rig of [one, other]) {
        if (round === 0) rig.put();
        const task = rig.take();
        seen.push(task.lease);
        rig.giveBack(task);
      }
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('Q8 a repeated complete with the same token is told so, and changes nothing', () => {
    const rig = new QueueRig();
    rig.put();
    const task = rig.take();
    const end = endOf(task);
    expect(rig.queue.complete(end, 'first', 1, 5)).toBe('done');
    expect(rig.queue.complete(end, 'second', 1, 9)).toBe('repeated');
    expect(rig.queue.fail(end, { ...failure, message: 'late' }, true, 9)).toBe('repeated');
    expect(task).toMatchObject({ state: State.succeeded, output: 'first', endedAt: 5, attempt: 1 });
    expect(rig.settled).toHaveLength(1);
  });

  test('Q8 a repeated failure that led to a retry gets the same answer, also while the retry runs', () => {
    const rig = new QueueRig();
    rig.put({ retries: 2 });
    const task = rig.take();
    const end = endOf(task);
    expect(rig.queue.fail(end, failure, false, 0)).toBe('done');
    expect(rig.queue.fail(end, failure, false, 0)).toBe('repeated');
    rig.take();
    expect(rig.queue.fail(end, failure, false, 0)).toBe('repeated');
    expect(task).toMatchObject({ attempt: 1, failures: 1, state: State.leased });
  });

  test('Q9 nothing is accepted under a lease that has ended', () => {
    const rig = new QueueRig();
    const task = rig.put({ retries: 5 });
    for (const end of [() => rig.expire(task), () => rig.lose(task), () => rig.giveBack(task)]) {
      const holder = aHolder();
      rig.take(holder);
      const late = endOf(task);
      end();
      expect(rig.queue.complete(late, 'late', 1, 0)).toBe('lost');
      expect(rig.queue.fail(late, failure, false, 0)).toBe('lost');
      expect(rig.queue.giveBack(holder, late.lease, 0)).toBe('lost');
      expect(task.state).toBe(State.ready);
    }
    expect(task.output).toBeUndefined();
  });

  test('a lease is known only to its holder', () => {
    const rig = new QueueRig();
    rig.put();
    const task = rig.take();
    expect(rig.queue.complete({ ...endOf(task), holder: aHolder() }, 'forged', 1, 0)).toBe('lost');
    expect(task.state).toBe(State.leased);
  });

  test('Q9 an expiry tells the holder, and the task counts the execution', () => {
    const rig = new QueueRig();
    const task = rig.put();
    const { holder, lease } = rig.take();
    rig.expire(task);
    expect(rig.revoked).toEqual([expect.objectContaining({ key: 't1', lease, holder })]);
    expect(task).toMatchObject({ state: State.ready, attempt: 1 });
  });

  test('Q11 un-started leases of a lost holder come back in their order, the same attempt, under new tokens', () => {
    const rig = new QueueRig();
    for (let i = 0; i < 6; i++) rig.put();
    const holder = aHolder();
    const window = [rig.take(holder), rig.take(holder), rig.take(holder), rig.take(holder)];
    const tokens = window.map((task) => task.lease);
    window.forEach((task, i) => rig.lose(task, i === 0));
    expect(holder.leases.size).toBe(0);
    rig.queue.validate();
    expect(window.map((task) => task.attempt)).toEqual([1, 0, 0, 0]);
    const again = [rig.take(), rig.take(), rig.take(), rig.take()];
    expect(again.map((task) => task.key)).toEqual(['t1', 't2', 't3', 't4']);
    expect(Math.min(...again.map((task) => task.lease))).toBeGreaterThan(Math.max(...tokens));
  });
});

describe('outcomes', () => {
  test('retries are used up by failures only, poisonAfter by deaths and expiries', () => {
    const rig = new QueueRig();
    const task = rig.put({ retries: 2, poisonAfter: 3 });
    const steps = [() => rig.fail(task), () => rig.lose(task), () => rig.fail(task), () => rig.expire(task)];
    for (const step of steps) {
      rig.take();
      step();
      expect(task.state).toBe(State.ready);
    }
    rig.take();
    rig.lose(task);
    expect(task).toMatchObject({ state: State.failed, attempt: 5, failure: { code: 'QM_WORKER_LOST' } });
  });

  test('a task that has failed more often than it may keeps the last failure', () => {
    const rig = new QueueRig();
    const task = rig.put({ retries: 1 });
    rig.take();
    rig.fail(task, false, failed('first'));
    rig.take();
    rig.fail(task, false, failed('second'));
    expect(task).toMatchObject({ state: State.failed, attempt: 2, failure: { message: 'second' } });
  });

  test('a final failure is not retried', () => {
    const rig = new QueueRig();
    const task = rig.put({ retries: 9 });
    rig.take();
    rig.fail(task, true);
    expect(task.state).toBe(State.failed);
  });

  test.each(['lose', 'expire'] as const)('at most once: a started task fails at the first %s', (how) => {
    const rig = new QueueRig();
    const task = rig.put({ poisonAfter: 1, retries: 5 });
    rig.take();
    rig[how](task);
    expect(task).toMatchObject({ state: State.failed, attempt: 1, failure: { code: 'QM_WORKER_LOST' } });
  });

  test('at most once: an un-started task of a lost worker is ready again', () => {
    const rig = new QueueRig();
    const task = rig.put({ poisonAfter: 1 });
    rig.take();
    rig.lose(task, false);
    expect(task).toMatchObject({ state: State.ready, attempt: 0 });
  });

  test('cancelling reaches a task wherever it stands, once', () => {
    const rig = new QueueRig();
    const leased = rig.put();
    const { holder, lease } = rig.take();
    const ready = rig.put();
    const blocked = rig.put({ after: [ready] });
    expect([rig.cancel(blocked), rig.cancel(leased), rig.cancel(ready)]).toEqual([true, true, true]);
    expect([rig.cancel(blocked), rig.cancel(leased), rig.cancel(ready)]).toEqual([false, false, false]);
    rig.queue.validate();
    expect([leased.state, ready.state, blocked.state]).toEqual([State.cancelled, State.cancelled, State.cancelled]);
    expect(rig.revoked).toEqual([expect.objectContaining({ lease, holder, key: 't1' })]);
    expect(leased.attempt).toBe(1);
    expect(rig.queue.complete({ ...endOf(leased), holder, lease }, 'late', 1, 0)).toBe('lost');
    expect(rig.queue.take(aHolder(), undefined, 0)).toBeUndefined();
    expect(rig.settled).toHaveLength(3);
  });

  test('an outcome says how long the handler ran where the worker measured it', () => {
    const rig = new QueueRig();
    const task = rig.put();
    rig.now = 100;
    rig.take();
    rig.now = 500;
    rig.queue.complete({ ...endOf(task), ranFor: 50 }, 'x', 1, rig.now);
    expect(task).toMatchObject({ readyAt: 0, startedAt: 450, endedAt: 500 });
  });
});

describe('dependencies', () => {
  test('a task is blocked until all that it comes after have succeeded', () => {
    const rig = new QueueRig();
    const before = [rig.put(), rig.put()];
    const task = rig.put({ after: before });
    expect(rig.queue.pending).toBe(3);
    rig.complete(rig.take());
    expect(task.state).toBe(State.blocked);
    rig.complete(rig.take());
    expect(task.state).toBe(State.ready);
    rig.queue.validate();
  });

  test('after tasks that have succeeded already: ready at once', () => {
    const rig = new QueueRig();
    const before = rig.put();
    rig.complete(rig.take());
    expect(rig.put({ after: [before] }).state).toBe(State.ready);
  });

  test.each(['failed', 'cancelled'] as const)(
    'after a task that was %s: skipped, with the ancestor and its failure',
    (how) => {
      const rig = new QueueRig();
      const root = rig.put({ id: 'root' });
      const child = rig.put({ after: [root] });
      const grandchild = rig.put({ after: [child] });
      rig.take();
      if (how === 'failed') rig.fail(root);
      else rig.cancel(root);
      const late = rig.put({ after: [grandchild] });
      for (const task of [child, grandchild, late]) {
        expect(task.state).toBe(State.skipped);
        expect(task.failure).toMatchObject({
          code: 'QM_DEPENDENCY_FAILED',
          fields: ['ancestor', 'root'],
          ancestor: root.failure,
          message: expect.stringContaining(`'root'`),
        });
      }
      rig.queue.validate();
      expect(rig.queue.bytes).toBe(0);
    },
  );

  test('a retry of what it waits for leaves a dependent blocked', () => {
    const rig = new QueueRig();
    const before = rig.put({ retries: 1 });
    const task = rig.put({ after: [before] });
    rig.take();
    rig.fail(before);
    expect(task.state).toBe(State.blocked);
    rig.take();
    rig.complete(before);
    expect(task.state).toBe(State.ready);
  });

  const LENGTH = 100_000;

  function chain(rig: QueueRig): Task[] {
    const tasks = [rig.put()];
    for (let i = 1; i < LENGTH; i++) tasks.push(rig.put({ after: [tasks[i - 1] as Task] }));
    return tasks;
  }

  test('G5 a chain of 100,000 runs to its end', () => {
    const rig = new QueueRig();
    const tasks = chain(rig);
    const holder = aHolder();
    for (let i = 0; i < LENGTH; i++) rig.complete(rig.take(holder));
    rig.queue.validate();
    expect(same(rig.settled, tasks)).toBe(true);
  });

  test('a chain that goes on for ever does not keep its past in memory', async () => {
    const rig = new QueueRig({ count: 10 });
    const references: WeakRef<Task>[] = [];
    let last = rig.put();
    for (let i = 0; i < 1000; i++) {
      references.push(new WeakRef(last));
      const next = rig.put({ after: [last] });
      rig.complete(rig.take());
      last = next;
    }
    rig.settled.length = 0;
    expect(await alive(references)).toBeLessThan(20);
  });

  test.each(['fail', 'cancel'] as const)(
    'G5 a chain of 100,000: %s of its first skips all others, without recursion',
    (how) => {
      const rig = new QueueRig();
      const tasks = chain(rig);
      rig.take();
      rig[how](tasks[0] as Task);
      rig.queue.validate();
      expect(rig.queue.count(State.skipped)).toBe(LENGTH - 1);
      expect(same(rig.settled, tasks)).toBe(true);
      expect(tasks[LENGTH - 1]?.failure).toMatchObject({ fields: ['ancestor', 't1'], ancestor: tasks[0]?.failure });
    },
  );

  test('G5 100,000 tasks that wait for one are released, and skipped, by loops', () => {
    const rig = new QueueRig();
    const root = rig.put();
    for (let i = 0; i < LENGTH; i++) rig.put({ after: [root] });
    rig.complete(rig.take());
    expect(rig.queue.ready).toBe(LENGTH);
    rig.queue.validate();
  });

  test('G6 a diamond: the join runs once, after both', () => {
    const rig = new QueueRig();
    const top = rig.put();
    const sides = [rig.put({ after: [top] }), rig.put({ after: [top] })];
    rig.put({ after: sides });
    const order: string[] = [];
    for (let i = 0; i < 4; i++) {
      const task = rig.take();
      order.push(task.key);
      rig.complete(task);
    }
    expect(order).toEqual(['t1', 't2', 't3', 't4']);
    expect(rig.queue.take(aHolder(), undefined, 0)).toBeUndefined();
  });
});

describe('room', () => {
  test('what waits is counted in tasks and bytes, what is leased is not', () => {
    const rig = new QueueRig({ maxSize: 2, maxBytes: 100 });
    const first = rig.put({ bytes: 60 });
    expect(rig.queue.hasRoom(41)).toBe(false);
    expect(rig.queue.hasRoom(40)).toBe(true);
    rig.put({ bytes: 40, after: [first] });
    expect(rig.queue.hasRoom(0)).toBe(false);
    const task = rig.take();
    expect([rig.queue.pending, rig.queue.bytes]).toEqual([1, 40]);
    expect(rig.queue.hasRoom(60)).toBe(true);
    rig.giveBack(task);
    expect([rig.queue.pending, rig.queue.bytes]).toEqual([2, 100]);
    rig.queue.validate();
  });

  test('an input larger than maxBytes has room in an empty queue only', () => {
    const rig = new QueueRig({ maxBytes: 100 });
    expect(rig.queue.hasRoom(1000)).toBe(true);
    rig.put({ bytes: 1 });
    expect(rig.queue.hasRoom(1000)).toBe(false);
  });
});

describe('records', () => {
  test('automatic ids count up, chosen ones are found too, and neither for the other', () => {
    const rig = new QueueRig();
    const chosen = rig.put({ id: 'mine' });
    const automatic = rig.put();
    expect([chosen.key, automatic.key]).toEqual(['mine', 't2']);
    expect(rig.queue.records.get('mine')).toBe(chosen);
    expect(rig.queue.records.get('t2')).toBe(automatic);
    for (const unknown of ['t3', 't02', 't0', 't', 'T2', '2', 'other', '__proto__']) {
      expect(rig.queue.records.get(unknown)).toBeUndefined();
    }
  });

  test('the oldest outcomes go when there are more than `count`, and are counted no more', () => {
    const rig = new QueueRig({ count: 2 });
    const waiting = rig.put({ priority: -1 });
    for (let i = 0; i < 5; i++) rig.put();
    for (let i = 0; i < 5; i++) rig.complete(rig.take());
    expect([...rig.queue.records.values()].map((task) => task.key)).toEqual([waiting.key, 't5', 't6']);
    expect(rig.queue.count(State.succeeded)).toBe(2);
    rig.queue.validate();
  });

  test('outcomes go when they are older than `age`', () => {
    const rig = new QueueRig({ age: 100 });
    const task = rig.put({ id: 'old' });
    rig.complete(rig.take());
    rig.now = 1000;
    rig.queue.records.prune(rig.now);
    expect(rig.queue.records.get('old')).toBe(task);
    rig.now = 1001;
    rig.queue.records.prune(rig.now);
    expect(rig.queue.records.get('old')).toBeUndefined();
    expect(rig.queue.count(State.succeeded)).toBe(0);
  });

  test('a record stays while a dependent needs it, and goes with the last one', () => {
    const rig = new QueueRig({ count: 1 });
    const root = rig.put();
    const dependents = [rig.put({ after: [root] }), rig.put({ after: [root] })];
    rig.complete(rig.take());
    rig.put({ priority: 9 });
    rig.complete(rig.take());
    expect(rig.queue.records.get('t1')).toBe(root);
    rig.complete(rig.take());
    expect(rig.queue.records.get('t1')).toBe(root);
    rig.cancel(dependents[1] as Task);
    expect(rig.queue.records.get('t1')).toBeUndefined();
    rig.queue.validate();
  });

  test('a record stays while its outcome has not been delivered or its run needs it', () => {
    const rig = new QueueRig({ count: 1 });
    const task = rig.put({ job: aJob() });
    rig.queue.records.pin(task);
    rig.complete(rig.take());
    rig.put();
    rig.complete(rig.take());
    rig.queue.records.unpin(task);
    expect(rig.queue.records.get('t1')).toBe(task);
    rig.queue.records.unpin(task);
    expect(rig.queue.records.get('t1')).toBeUndefined();
  });

  test('the input stays only with an id that can be put again', () => {
    const rig = new QueueRig();
    const tasks = [rig.put(), rig.put({ id: 'again' })];
    for (const task of tasks) rig.complete(rig.take() && task);
    expect(tasks.map((task) => task.input)).toEqual([undefined, 'input']);
  });

  test('tasks of a run tell of each move', () => {
    const rig = new QueueRig();
    const job = aJob();
    const first = rig.put({ job });
    rig.put({ job, after: [first] });
    rig.complete(rig.take());
    rig.complete(rig.take());
    expect(rig.moved).toEqual([`t1 ${State.ready}`, `t1 ${State.leased}`, `t2 ${State.ready}`, `t2 ${State.leased}`]);
    expect(rig.settled.map((task) => task.key)).toEqual(['t1', 't2']);
  });

  test('times that have not come are NEVER', () => {
    const rig = new QueueRig();
    rig.now = 7;
    const task = rig.put();
    expect(task).toMatchObject({ putAt: 7, readyAt: 7, startedAt: NEVER, endedAt: NEVER });
    rig.take();
    rig.giveBack(task);
    expect(task.startedAt).toBe(NEVER);
  });
});

describe('validate', () => {
  test('says what is inconsistent', () => {
    const rig = new QueueRig();
    const task = rig.put();
    task.state = State.leased;
    expect(() => rig.queue.validate()).toThrow('t1: its lease does not fit its state');
  });
});

/** The same tasks in the same order; comparing their contents would take long. */
function same(one: readonly Task[], other: readonly Task[]): boolean {
  return one.length === other.length && one.every((task, i) => task === other[i]);
}

/** How many of the referenced tasks memory still holds. */
async function alive(references: readonly WeakRef<Task>[]): Promise<number> {
  // A WeakRef holds its target until the turn in which it was made has ended.
  await new Promise(setImmediate);
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return references.filter((reference) => reference.deref() !== undefined).length;
}

const failure = { code: 'QM_TASK_FAILED', message: 'boom', fields: [], cause: undefined } as const;
