/** Records that are kept short: the same to whoever reads them, and whole again where something needs them. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Records } from '#qm/queue/records.js';
import { fitsShort, ShortRecords } from '#qm/queue/short-records.js';
import { State, Task } from '#qm/queue/task.js';
import { aJob } from './rig.ts';

function succeeded(number: number, fields: Partial<Task> = {}): Task {
  const task = new Task(number, undefined, 'small', 0, undefined, 30, 0, 3);
  return Object.assign(
    task,
    { state: State.succeeded, putAt: 5, readyAt: 6, startedAt: 7, endedAt: 9, output: '1' },
    fields,
  );
}

/** All that a record says of a task, and a repeated `complete()` needs. */
function told(task: Task | undefined): unknown {
  if (task === undefined) return undefined;
  const { key, name, priority, state, attempt, worker, putAt, readyAt, startedAt, endedAt } = task;
  const { bytesIn, bytesOut, output, endedBy, after, failure, changes, rules, finished } = task;
  return [
    [key, name, priority, state, attempt, worker, putAt, readyAt, startedAt, endedAt],
    [bytesIn, bytesOut, output, endedBy, after, failure, changes, rules, finished],
  ];
}

const wait = fc.integer({ min: 0, max: 2 ** 30 });
const anyTask = fc
  .record({
    number: fc.integer({ min: 1, max: 2 ** 40 }),
    name: fc.string(),
    priority: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    putAt: fc.integer({ min: 0, max: 2 ** 45 }),
    waits: fc.tuple(wait, wait, wait),
    attempt: fc.integer({ min: 1, max: 2 ** 31 }),
    endedBy: fc.integer({ min: 1, max: 2 ** 48 }),
    bytesIn: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    bytesOut: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    output: fc.option(fc.string(), { nil: undefined }),
    worker: fc.constantFrom<unknown>(undefined, { name: 'a' }, { name: 'b' }),
  })
  .map(({ number, name, priority, bytesIn, waits: [ready, started, ended], ...fields }) => {
    const task = new Task(number, undefined, name, priority, undefined, bytesIn, 0, 3);
    const readyAt = fields.putAt + ready;
    const startedAt = readyAt + started;
    return Object.assign(task, fields, { state: State.succeeded, readyAt, startedAt, endedAt: startedAt + ended });
  });

test('what a short record says is what the task said', () => {
  fc.assert(
    fc.property(fc.array(anyTask, { maxLength: 50 }), (tasks) => {
      const short = new ShortRecords();
      const places = tasks.map((task) => {
        expect(fitsShort(task)).toBe(true);
        return short.add(task);
      });
      for (const [i, task] of tasks.entries()) {
        const place = places[i] as number;
        expect(short.endedAt(place)).toBe(task.endedAt);
        expect(told(short.read(place, task.number))).toEqual(told(task));
      }
    }),
  );
});

describe('what stays whole', () => {
  const other = succeeded(1);
  const cases: Record<string, Partial<Task>> = {
    'one that is needed': { pins: 1 },
    'one whose outcome is on its way': { origin: {} },
    'one with an input': { input: 'x' },
    'one with an output that names objects': { output: {} },
    'one that failed before': { changes: [] },
    'one that comes after others': { after: [other] },
    'one that others come after': { dependents: [other] },
    'one of a job': { job: aJob() },
    'one that did not succeed': { state: State.cancelled },
    'one with half a priority': { priority: 0.5 },
    'one that took months': { endedAt: 2 ** 33 },
  };
  test.each(Object.entries(cases))('%s', (_, fields) => {
    expect(fitsShort(succeeded(2, fields))).toBe(false);
  });

  test('one with an id of its own', () => {
    expect(fitsShort(Object.assign(new Task(1, 'mine', 'small', 0, undefined, 30, 0, 3), succeeded(1)))).toBe(true);
    const named = new Task(1, 'mine', 'small', 0, undefined, 30, 0, 3);
    Object.assign(named, { state: State.succeeded, putAt: 5, readyAt: 6, startedAt: 7, endedAt: 9 });
    expect(fitsShort(named)).toBe(false);
  });
});

describe('a record that has become short', () => {
  const gone: [State, number | undefined][] = [];
  const kept = (count: number, age = 1e9, bytes = Infinity): Records => {
    gone.length = 0;
    return new Records({ count, age, bytes }, (state, task) => gone.push([state, task?.number]));
  };
  const endedOnes = (records: Records, count: number, bytesOut = 0): void => {
    for (let number = 1; number <= count; number++) {
      const task = succeeded(number, { bytesOut });
      records.add(task);
      records.ended(task, 9);
    }
  };

  test('is found by id, by number and among all', () => {
    const records = kept(10);
    endedOnes(records, 3);
    const second = told(succeeded(2));
    expect(told(records.get('t2'))).toEqual(second);
    expect(told(records.byNumber(2))).toEqual(second);
    expect([...records.values()].map(told)).toEqual([1, 2, 3].map((number) => told(succeeded(number))));
    expect(records.size).toBe(3);
  });

  test('goes in the order of the ends, by count and by age', () => {
    const records = kept(2, 1);
    endedOnes(records, 5);
    expect(gone).toEqual([1, 2, 3].map(() => [State.succeeded, undefined]));
    expect([...records.values()].map(({ key }) => key)).toEqual(['t4', 't5']);
    records.prune(20);
    expect(records.size).toBe(0);
    expect(records.get('t5')).toBeUndefined();
  });

  test('goes when there are more bytes than may be, whole or short, and takes its own along', () => {
    const records = kept(10, 1e9, 100);
    endedOnes(records, 5, 30);
    expect([...records.values()].map(({ key }) => key)).toEqual(['t3', 't4', 't5']);
    expect(records.bytes).toBe(90);
    records.pin(records.get('t4') as Task);
    const large = succeeded(6, { bytesOut: 95 });
    records.add(large);
    records.ended(large, 9);
    expect([...records.values()].map(({ key }) => key)).toEqual(['t4', 't6']);
    expect(records.bytes).toBe(95);
    const larger = succeeded(7, { bytesOut: 101 });
    records.add(larger);
    records.ended(larger, 9);
    records.unpin(records.get('t4') as Task);
    expect(records.size).toBe(0);
    expect(records.bytes).toBe(0);
  });

  test('is one object while it is pinned, whoever else has read it before, and stays as long', () => {
    const records = kept(2);
    endedOnes(records, 2);
    const [one, again] = [records.get('t1') as Task, records.get('t1') as Task];
    records.pin(one);
    records.pin(again);
    expect(records.get('t1')).toBe(one);
    expect(one.pins).toBe(2);
    const third = succeeded(3);
    records.add(third);
    records.ended(third, 9);
    expect(gone).toEqual([]);
    records.unpin(again);
    expect(records.get('t1')).toBe(one);
    records.unpin(one);
    expect(records.get('t1')).toBeUndefined();
    expect(gone).toEqual([[State.succeeded, 1]]);
  });

  test('is short again when nothing needs it any more', () => {
    const records = kept(2);
    endedOnes(records, 1);
    const one = records.get('t1') as Task;
    records.pin(one);
    records.unpin(one);
    expect(records.get('t1')).not.toBe(one);
    expect(told(records.get('t1'))).toEqual(told(one));
  });

  test('many come and go: those that are there are right', () => {
    const records = kept(5_000);
    endedOnes(records, 30_000);
    expect(records.size).toBe(5_000);
    expect([...records.values()].map(({ number }) => number)).toEqual(
      Array.from({ length: 5_000 }, (_, i) => 25_001 + i),
    );
  });
});
