import { expect, test } from 'vitest';
import { TaskRun } from '#qm/queue/run.js';
import type { Task } from '#qm/queue/task.js';
import { QueueRig } from './rig.ts';

/** Records are kept until there are more than `keep`. */
function aRig(keep = 100) {
  const rig = new QueueRig({ count: keep });
  const put = (run: TaskRun, ...ids: string[]): Task[] =>
    ids.map((id) => rig.put({ job: { run, id, weight: 1, onFailure: 'skip' } }));
  return { rig, put, records: rig.queue.records };
}

test('a job is known by its run and its id, and reserved before it is put', () => {
  const { put, records } = aRig();
  expect(records.reserve('run', ['a', 'b'])).toBeUndefined();
  expect([records.get('run/a'), records.reserve('run', ['b']), records.reserve('other', ['a'])]).toEqual([
    undefined,
    'b',
    undefined,
  ]);
  const [a] = put(new TaskRun(1, 'run'), 'a');
  expect(records.get('run/a')).toBe(a);
  expect([a!.key, a!.chosenId, a!.id]).toEqual(['run/a', 'run/a', undefined]);
  for (const other of ['run', 'run/', '/a', 'run/b', 'run/a/', 'a']) expect(records.get(other)).toBeUndefined();
});

test('of jobs of which one is taken, or stands there twice, none is reserved', () => {
  const { rig, put, records } = aRig();
  put(new TaskRun(1, 'run'), 'taken');
  rig.put({ id: 'run/chosen' });
  expect(records.reserve('run', ['a', 'taken', 'b'])).toBe('taken');
  expect(records.reserve('run', ['a', 'b', 'a'])).toBe('a');
  expect(records.reserve('run', ['a', 'chosen'])).toBe('chosen');
  expect(records.reserve('run', ['a', 'b'])).toBeUndefined();
});

test('an id is free again once its record has gone, and others of the run are not', () => {
  const { rig, put, records } = aRig(1);
  const run = new TaskRun(9, 'run');
  const [a, b] = put(run, 'a', 'b');
  for (const task of [a!, b!]) {
    records.unpin(task);
    rig.complete(rig.take());
    expect(task.finished).toBe(true);
  }
  expect([records.get('run/a'), records.get('run/b')]).toEqual([undefined, b]);
  expect([records.reserve('run', ['b']), records.reserve('run', ['a'])]).toEqual(['b', undefined]);
});
