/** A worker group vouches for its workers also after its client's connection was lost and is there again. */
import { once } from 'node:events';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startManager, startWorkers } from 'quartermaster';
import { connectionOf } from '#qm/proxy/client.js';

test('workers are owned again when the client of their group has reconnected', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'vouching-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const module = path.join(folder, 'tasks.mjs');
  writeFileSync(module, 'export default { square: (n) => n * n, die: () => process.kill(process.pid, "SIGKILL") };');
  const manager = await startManager();
  onTestFinished(() => manager.shutdown());
  const workers = await startWorkers(manager, module, { count: 1 });
  onTestFinished(() => workers.close());
  const tasks = manager.tasks();
  await tasks.run('square', 2);
  const owned = async (): Promise<boolean[]> => (await manager.inspect.workers()).map((worker) => worker.owned);
  expect(await owned()).toEqual([true]);

  const reconnected = once(manager, 'reconnected');
  manager[connectionOf].link.transport.destroy();
  await reconnected;
  expect(await owned()).toEqual([true]);

  // Its end is known by the group alone: the signal is told.
  await expect(tasks.run('die', undefined, { atMostOnce: true })).rejects.toMatchObject({
    code: 'QM_WORKER_LOST',
    signal: 'SIGKILL',
  });
});
