/** A few tasks at a time, after tiny ones: what a worker holds at most follows from how long they take now. */
import { expect, test } from 'vitest';
import { aGroup, fresh, sharedRig } from '../kit/tasks-rig.ts';
import { withWindow } from '../kit/windows.ts';

const rig = sharedRig('process');
/** A window of the tiniest tasks. */
const TINY = 512;
const LAYER = 8;

test('layers of a few tasks that are not tiny any more are run by all workers', async () => {
  const name = fresh('queue');
  const { client } = rig();
  const queue = client.tasks(name);
  await aGroup(client, { queue: name, count: 2 });
  const run = queue.run.bind(queue) as (name: string, input?: unknown) => Promise<unknown>;
  const many = (): Promise<unknown>[] => Array.from({ length: 2 * TINY }, () => run('echo'));
  await Promise.all(
    await withWindow(
      queue as never,
      TINY,
      () => Promise.resolve(many()),
      (started) => Promise.all(started),
    ),
  );
  // As long as the window is that of tiny tasks, one worker gets them all, and none of them is so long as to be noticed.
  let pids: Set<unknown>;
  do pids = new Set(await Promise.all(Array.from({ length: LAYER }, () => run('pidAfter', 0.3))));
  while (pids.size === 1);
  expect(pids.size).toBe(2);
});
