/** The rules of admission case by case, where the simulator's random histories would hardly say what is meant. */
import { describe, expect, test } from 'vitest';
import { Amounts } from '#qm/queue/amounts.js';
import { backoffAfter } from '#qm/queue/backoff.js';
import type { OfferSpec } from '#qm/queue/demands.js';
import type { QueueRules } from '#qm/queue/rules.js';
import { type Holder, State, stateNames } from '#qm/queue/task.js';
import { aHolder, cancelled, counter, endOf, failed, QueueRig } from './rig.ts';

function taker(rig: QueueRig, spec: OfferSpec): Holder {
  return { leases: new Map(), offer: rig.queue.enrol(spec) };
}

function withRules(rules: QueueRules): QueueRig {
  return new QueueRig({ rules });
}

describe('order', () => {
  test('with ageing a task of low priority is not passed for ever', () => {
    const rig = withRules({ ageing: 10 });
    rig.put({ priority: 0 });
    for (let i = 0; i < 5; i++) {
      rig.now += 100;
      rig.put({ priority: 3 });
    }
    expect(rig.drain()).toEqual(['t2', 't3', 't1', 't4', 't5', 't6']);
  });

  test('groups get leases by their weights, and one that comes late starts where the others stand', () => {
    const rig = withRules({ weights: { big: 3 } });
    for (let i = 0; i < 12; i++) rig.put({ rules: { group: i < 8 ? 'big' : 'small' } });
    const order = rig.drain().map((key) => (Number(key.slice(1)) <= 8 ? 'B' : 's'));
    expect(order.slice(0, 8).filter((one) => one === 'B')).toHaveLength(6);
    for (let i = 0; i < 4; i++) rig.put({ rules: { group: i % 2 === 0 ? 'late' : 'small' } });
    expect(rig.drain()).toEqual(['t13', 't14', 't15', 't16']);
  });

  test('a policy of the user breaks ties, and one that throws is as if it had said nothing', () => {
    const byBytes = withRules({ policy: { compare: (a, b) => a.bytesIn - b.bytesIn } });
    for (const bytes of [3, 1, 2]) byBytes.put({ bytes });
    expect(byBytes.drain()).toEqual(['t2', 't3', 't1']);
    const broken = withRules({
      policy: {
        compare: () => {
          throw new Error('mine');
        },
      },
    });
    for (let i = 0; i < 3; i++) broken.put();
    expect(broken.drain()).toEqual(['t1', 't2', 't3']);
    expect(broken.queue.policyError).toMatchObject({ message: 'mine' });
  });

  test('other rules apply to what is ready already', () => {
    const rig = new QueueRig();
    for (let i = 0; i < 3; i++) rig.put();
    const keepRecords = { count: Infinity, age: Infinity, bytes: Infinity };
    rig.queue.configure({ maxSize: Infinity, maxBytes: Infinity, keepRecords, rules: { policy: 'lifo' } }, 0);
    rig.queue.validate();
    expect(rig.drain()).toEqual(['t3', 't2', 't1']);
  });
});

describe('amounts', () => {
  test('a big request that was passed over 100 times reserves, and small ones wait until it fits', () => {
    const rig = new QueueRig();
    const holder = taker(rig, { resources: { gpu: 2 } });
    const small = { rules: { resources: { gpu: 1 } } };
    rig.put(small);
    let running = rig.take(holder);
    rig.put({ priority: 1, rules: { resources: { gpu: 2 } } });
    for (let i = 0; i < 100; i++) {
      rig.put(small);
      const next = rig.take(holder);
      rig.complete(running);
      running = next;
    }
    rig.put(small);
    const plain = rig.put();
    expect(rig.take(holder)).toBe(plain);
    expect(rig.queue.take(holder, undefined, 0)).toBeUndefined();
    rig.complete(running);
    expect(rig.take(holder).key).toBe('t2');
    rig.queue.validate();
  });

  test('the amounts of the host are shared by queues, and who waits for them in another queue is told', () => {
    const host = new Amounts({ licence: 1 });
    const means = { random: () => 0, host };
    const [one, other] = [new QueueRig({}, counter(), means), new QueueRig({}, counter(), means)];
    for (const rig of [one, other]) rig.put({ rules: { resources: { licence: 1 } } });
    const task = one.take();
    expect(other.queue.take(aHolder(), undefined, 0)).toBeUndefined();
    const { wakes } = other;
    one.complete(task);
    expect(other.wakes).toBeGreaterThan(wakes);
    expect(other.take().key).toBe('t1');
  });

  test('what a parent lends while it awaits children is had by others, but for its key', () => {
    const rig = withRules({ concurrency: 1, keyConcurrency: 1 });
    const holder = taker(rig, { resources: { gpu: 1 } });
    const parent = rig.put({ rules: { key: 'k', resources: { gpu: 1 } } });
    rig.take(holder);
    rig.put({ rules: { key: 'k' } });
    const child = rig.put({ rules: { resources: { gpu: 1 } } });
    expect(rig.queue.take(holder, undefined, 0)).toBeUndefined();
    expect(rig.queue.lend(holder, parent.lease, rig.now)).toBe(true);
    expect(rig.take(holder)).toBe(child);
    expect(rig.queue.take(holder, undefined, 0)).toBeUndefined();
    rig.queue.reclaim(holder, parent.lease);
    rig.queue.validate();
    rig.complete(child);
    expect(rig.queue.take(holder, undefined, 0)).toBeUndefined();
    rig.complete(parent);
    expect(rig.take(holder).key).toBe('t2');
  });

  test('a child that needs the key its ancestors hold is refused, and nothing of it stays', () => {
    const rig = withRules({ keyConcurrency: 1 });
    const grandparent = rig.put({ rules: { key: 'k' } });
    rig.take();
    const spec = { id: undefined, name: 'child', priority: 0, input: 'i', bytesIn: 1, retries: 0, poisonAfter: 3 };
    const parent = rig.queue.put({ ...spec, after: undefined, parent: grandparent }, 0);
    rig.take();
    const put = (): unknown => rig.queue.put({ ...spec, after: undefined, parent, rules: { key: 'k' } }, 0);
    expect(put).toThrow(expect.objectContaining({ code: 'QM_DEADLOCK', cycle: ['t1'] }));
    rig.queue.validate();
    rig.complete(grandparent);
    expect(put).not.toThrow();
  });

  test('a class that no enrolled taker can run is told once, until that changes', () => {
    const rig = new QueueRig();
    rig.put({ rules: { tags: ['gpu'] } });
    expect(rig.unrunnable).toHaveLength(0);
    const plain = rig.queue.enrol({});
    rig.put({ rules: { tags: ['gpu'] } });
    expect(rig.unrunnable).toHaveLength(1);
    expect([...rig.queue.unrunnable()]).toHaveLength(2);
    const able = rig.queue.enrol({ tags: ['gpu', 'fast'] });
    expect([...rig.queue.unrunnable()]).toHaveLength(0);
    rig.queue.leave(able);
    expect(rig.unrunnable).toHaveLength(2);
    rig.queue.leave(plain);
    expect([...rig.queue.unrunnable()]).toHaveLength(0);
  });
});

describe('time', () => {
  test('Q7 retries wait by capped exponential backoff with full jitter, and a final failure is not retried', () => {
    const backoff = { base: 100, max: 500 };
    expect([1, 2, 3, 4].map((failures) => backoffAfter(failures, backoff, () => 0.5))).toEqual([500, 1000, 2000, 2500]);
    expect(backoffAfter(40, { ...backoff, jitter: 'none' }, () => 0)).toBe(5000);
    expect(backoffAfter(60, { base: 1000, jitter: 'none' }, () => 0)).toBe(36_000_000);
    expect(backoffAfter(3, { base: 10, factor: 3, jitter: 'none' }, () => 0)).toBe(900);
    const rig = withRules({ backoff });
    const task = rig.put({ retries: 5 });
    rig.take();
    rig.fail(task);
    expect([stateNames[task.state], rig.queue.nextWake(), rig.wanted]).toEqual(['delayed', 500, [500]]);
    rig.now = 499;
    rig.queue.tick(rig.now);
    expect(rig.queue.take(aHolder(), undefined, rig.now)).toBeUndefined();
    rig.now = 500;
    rig.take();
    rig.fail(task, true);
    expect(task.state).toBe(State.failed);
  });

  test('Q13 delays and expiries go by the clock that was handed in, to the tick', () => {
    const rig = new QueueRig();
    const task = rig.put({ rules: { delay: 10, expires: 5 } });
    const dependent = rig.put({ after: [task] });
    for (const [now, state] of [
      [99, 'delayed'],
      [100, 'ready'],
      [149, 'ready'],
      [150, 'expired'],
    ] as const) {
      rig.queue.tick((rig.now = now));
      expect(stateNames[task.state]).toBe(state);
    }
    expect(task.failure?.code).toBe('QM_TASK_EXPIRED');
    expect(dependent.failure?.message).toContain('expired');
    rig.queue.validate();
  });

  test('a key that opens by its rate for more than one task passes them all', () => {
    const rig = withRules({ rateLimit: { max: 2, per: 10, keyed: true } });
    for (let i = 0; i < 5; i++) rig.put({ rules: { key: 'k' } });
    expect(rig.drain()).toEqual(['t1', 't2']);
    rig.now = 100;
    rig.queue.tick(rig.now);
    expect(rig.drain()).toEqual(['t3', 't4']);
    expect(rig.queue.nextWake()).toBe(150);
    rig.queue.validate();
  });

  test('a rate admits so many at once, and says when the next', () => {
    const rig = withRules({ rateLimit: { max: 2, per: 10 } });
    for (let i = 0; i < 5; i++) rig.put();
    expect(rig.drain()).toEqual(['t1', 't2']);
    expect(rig.queue.nextWake()).toBe(50);
    rig.now = 50;
    const { wakes } = rig;
    rig.queue.tick(rig.now);
    expect(rig.wakes).toBe(wakes + 1);
    expect(rig.drain()).toEqual(['t3']);
  });
});

describe('outcomes', () => {
  test('Q6 only deaths alone are its doing: in company it is blamed when it has died alone twice', () => {
    const rig = new QueueRig();
    const task = rig.put({ poisonAfter: 2 });
    for (const alone of [false, false, false, true]) {
      rig.take();
      rig.lose(task, true, alone);
      expect(stateNames[task.state]).toBe(alone ? 'failed' : 'ready');
    }
    const other = rig.put({ poisonAfter: 3 });
    for (const alone of [true, true, false]) {
      rig.take();
      rig.lose(other, true, alone);
    }
    expect(other.state).toBe(State.failed);
    expect(other.changes?.filter(({ why }) => why === 'the worker is lost')).toHaveLength(2);
  });

  test('Q6 what died too often beside others runs alone from then on, and its next death tells', () => {
    const rig = new QueueRig();
    const [one, other] = [taker(rig, {}), taker(rig, {})];
    const suspect = rig.put({ poisonAfter: 2 });
    for (let death = 0; death < 2; death++) {
      rig.take(one);
      rig.lose(suspect, true, false);
    }
    expect(suspect.state).toBe(State.ready);
    expect(suspect.changes?.at(-1)?.why).toBe('the worker is lost; from here on it runs alone');
    const [first, second] = [rig.put({ priority: 1 }), rig.put()];
    // Not beside what its taker runs, but the rest goes on there.
    expect([rig.take(one), rig.take(one)]).toEqual([first, second]);
    rig.put();
    expect(rig.take(other)).toBe(suspect);
    // Nothing beside it, until it has ended.
    expect(rig.queue.take(other, undefined, rig.now)).toBeUndefined();
    rig.queue.validate();
    rig.lose(suspect, true, true);
    expect(suspect.state).toBe(State.failed);
    expect(rig.queue.take(other, undefined, rig.now)).toBeDefined();
    rig.queue.validate();
  });

  test('Q6 what must run alone is not passed over for ever: the taker that it waits for gets nothing more', () => {
    const rig = withRules({ reserveAfter: 3 });
    const only = taker(rig, {});
    const elder = rig.put({ poisonAfter: 2 });
    for (let death = 0; death < 2; death++) {
      rig.take(only);
      rig.lose(elder, true, false);
    }
    const busy = rig.put({ priority: 1 });
    for (let i = 0; i < 9; i++) rig.put();
    expect(rig.take(only)).toBe(busy);
    for (let passed = 0; passed < 3; passed++) expect(rig.take(only)).not.toBe(elder);
    expect(rig.queue.take(only, undefined, rig.now)).toBeUndefined();
    for (const task of [...only.leases.values()]) rig.complete(task);
    expect(rig.take(only)).toBe(elder);
    rig.queue.validate();
  });

  test('Q10 a cancelled task that waits for its time or its key leaves nothing behind', () => {
    const rig = withRules({ keyConcurrency: 1 });
    const tasks = [0, 1, 2].map(() => rig.put({ rules: { key: 'k' } }));
    const delayed = rig.put({ rules: { delay: 5 } });
    rig.take();
    expect(rig.queue.take(aHolder(), undefined, 0)).toBeUndefined();
    for (const task of [...tasks, delayed]) expect(rig.queue.cancel(task, cancelled, 0)).toBe(true);
    rig.queue.validate();
    expect([rig.queue.pending, rig.queue.nextWake(), rig.settled.length]).toEqual([0, Infinity, 4]);
  });

  test('Q8 a task that is run anew keeps its old outcome in its history, and a record by its last end', () => {
    const rig = new QueueRig({ count: 1 });
    const task = rig.put();
    rig.take();
    const end = endOf(task);
    rig.fail(task, true, failed('first'));
    expect(rig.queue.retry(task, 0)).toBe(true);
    expect(task.changes?.map(({ why }) => why)).toEqual(['attempt 1', 'first', expect.stringContaining('run 2')]);
    expect(rig.queue.fail(end, cancelled, true, 0)).toBe('repeated');
    rig.take();
    rig.complete(task);
    rig.queue.validate();
    expect(rig.queue.retry(task, 0)).toBe(false);
    rig.put();
    rig.complete(rig.take());
    expect(rig.queue.records.get('t1')).toBeUndefined();
    expect([rig.queue.count(State.failed), rig.queue.count(State.succeeded)]).toEqual([0, 1]);
  });

  test('after shutdown nothing is put or run anew, and what is there goes on; paused, nothing is taken', () => {
    const rig = new QueueRig();
    const task = rig.put();
    rig.queue.shutdown();
    expect(() => rig.put()).toThrow(expect.objectContaining({ code: 'QM_QUEUE_SHUTDOWN' }));
    rig.queue.pause();
    expect(rig.queue.take(aHolder(), undefined, 0)).toBeUndefined();
    rig.queue.resume();
    rig.take();
    rig.fail(task, true);
    expect(() => rig.queue.retry(task, 0)).toThrow(expect.objectContaining({ code: 'QM_QUEUE_SHUTDOWN' }));
  });
});
