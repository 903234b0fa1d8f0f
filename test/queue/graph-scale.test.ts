/** Runs of a hundred thousand and of a million tasks on the core: no stack, no time but that of so many tasks. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { TaskRun } from '#qm/queue/run.js';
import { State, type Task } from '#qm/queue/task.js';
import { aHolder, QueueRig } from './rig.ts';

const SIZE = 100_000;
const timeout = 600_000;

/** Of `of`, whom each of so many tasks comes after. */
const shapes: Readonly<Record<string, (at: number) => readonly number[]>> = {
  'a chain': (at) => (at === 0 ? [] : [at - 1]),
  'a hub with dependents': (at) => (at === 0 ? [] : [0]),
  'a join of all': (at) => (at === SIZE - 1 ? Array.from({ length: at }, (_, before) => before) : []),
};

function aRun(of: (at: number) => readonly number[], onFailure: 'skip' | 'fail' = 'skip') {
  const rig = new QueueRig();
  const run = new TaskRun();
  const tasks: Task[] = [];
  for (let at = 0; at < SIZE; at++) {
    const after = of(at).map((before) => tasks[before] as Task);
    tasks.push(rig.put({ id: `run/${at}`, after, job: { run, weight: SIZE - at, onFailure } }));
  }
  return { rig, run, tasks };
}

function inState(tasks: readonly Task[], state: State): number {
  return tasks.filter((task) => task.state === state).length;
}

test.each(Object.entries(shapes))(
  'G5 %s of 100,000 runs, fails, is retried and cancelled',
  { timeout },
  (_shape, of) => {
    const { rig, run, tasks } = aRun(of);
    const holder = aHolder();
    rig.fail(rig.take(holder));
    const failedAt = inState(tasks, State.skipped);
    expect(inState(tasks, State.failed)).toBe(1);
    for (const task of run.tasks) if (task.finished) rig.queue.retry(task, rig.now);
    expect(inState(tasks, State.skipped)).toBe(0);
    for (const task of tasks.toReversed()) rig.cancel(task);
    expect(inState(tasks, State.cancelled)).toBe(SIZE);
    for (const task of run.tasks) expect(rig.queue.retry(task, rig.now)).toBe(true);
    rig.cancel(tasks[0] as Task);
    expect(inState(tasks, State.skipped)).toBe(failedAt);
    for (const task of run.tasks) if (task.finished) rig.queue.retry(task, rig.now);
    let ran = 0;
    for (
      let task = rig.queue.take(holder, undefined, rig.now);
      task;
      task = rig.queue.take(holder, undefined, rig.now)
    ) {
      rig.complete(task);
      ran++;
    }
    expect([ran, inState(tasks, State.succeeded)]).toEqual([SIZE, SIZE]);
  },
);

test.each(Object.entries(shapes))('G5 %s of 100,000 stops with one failure', { timeout }, (_shape, of) => {
  const { rig, tasks } = aRun(of, 'fail');
  rig.fail(rig.take());
  expect([inState(tasks, State.failed), inState(tasks, State.skipped)]).toEqual([1, SIZE - 1]);
});

test('G4 a million tasks of a run take no more than 600 bytes each', { timeout }, () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const rig = new QueueRig();
  const run = new TaskRun();
  gc();
  const before = process.memoryUsage().heapUsed;
  let last: Task | undefined;
  for (let at = 0; at < 1_000_000; at++) {
    // Two out of three come after the one before.
    const after = at % 3 === 0 || last === undefined ? [] : [last];
    last = rig.put({ id: `run/${at}`, after, job: { run, weight: at, onFailure: 'skip' } });
  }
  gc();
  const each = (process.memoryUsage().heapUsed - before) / 1_000_000;
  console.log(`${Math.round(each)} bytes for each task`);
  expect(each).toBeLessThan(600);
  expect(rig.queue.pending).toBe(1_000_000);
});
