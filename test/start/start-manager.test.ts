/** Starting a manager process. */
import { expect, onTestFinished, test } from 'vitest';
import { startManager, type TaskQueueOptions } from 'quartermaster';

test('options that cannot be said to a manager are an error before there is a process', async () => {
  const processes = (): number => process.getActiveResourcesInfo().filter((what) => what === 'ProcessWrap').length;
  const before = processes();
  const options = { limits: { connections: 10n } } as unknown as Parameters<typeof startManager>[0];
  await expect(startManager(options)).rejects.toThrow(TypeError);
  expect(processes()).toBe(before);
});

test('a bound of Infinity is one of a manager process, too', async () => {
  const queue: TaskQueueOptions = {
    maxSize: 5,
    keepRecords: { count: Infinity, bytes: Infinity },
    cancelGrace: Infinity,
  };
  const manager = await startManager({ queue });
  onTestFinished(() => manager.shutdown());
  // What the queue is made with says whether the default is the same.
  await manager.tasks('as the default').dict.size();
  expect(await manager.tasks('as the default', queue).dict.size()).toBe(0);
});
