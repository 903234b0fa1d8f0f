/** Producers that are faster than workers: they wait, and the manager's memory stays where it was. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startManager } from 'quartermaster';
import { aGroup } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

const MiB = 1 << 20;
/** Bytes of each input, and how many are put: four times what the manager may grow by. */
const INPUT = MiB / 8;
const TASKS = 2048;
/** Puts that are made together. */
const AT_ONCE = 8;

test.each([
  ['maxBytes', { maxBytes: 8 * MiB }, (8 * MiB) / INPUT],
  ['maxSize', { maxSize: 50 }, 50],
] as const)(
  'B2 puts wait at %s while workers are slower: the memory of the manager is flat',
  async (_, limits, most) => {
    const manager = await startManager();
    try {
      const queue = manager.tasks('slow', { ...limits, keepRecords: { count: 100 } });
      await aGroup(manager, { queue: 'slow', count: 1 });
      const memory = (): number =>
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${manager.pid}/status`, 'utf8'))?.[1]) * 1024;
      // Each task ends when the producer has let it: however fast the machine is, puts are ahead of them.
      const go = manager.queue<number>();
      const input = { go, ballast: Buffer.alloc(INPUT, 'x') };
      await Promise.all([queue.run('told', input), go.put(0)]);
      const base = memory();
      let grown = 0;
      let deepest = 0;
      let waited = 0;
      let accepted = 0;
      for (let i = 0; i < TASKS; i++) {
        // Many at a time: they wait in the manager, too.
        void queue.put('told', input).then(() => accepted++);
        if (i % AT_ONCE !== AT_ONCE - 1) continue;
        // What has been accepted by then was answered before, and is counted a turn later at most.
        const { ready } = await queue.dict.counts();
        await new Promise(setImmediate);
        deepest = Math.max(deepest, ready);
        grown = Math.max(grown, memory() - base);
        if (accepted === i + 1) continue;
        waited++;
        // As many as were put end, and no more are put before they have been told to.
        await go.putMany(Array.from({ length: AT_ONCE }, () => i));
        await until(async () => (await go.size()) === 0);
      }
      expect(waited).toBeGreaterThan(TASKS / AT_ONCE / 2);
      expect(deepest).toBeLessThanOrEqual(most);
      expect(grown).toBeLessThan(64 * MiB);
      await go.putMany(Array.from({ length: TASKS }, () => 0));
      await queue.join();
      expect(await queue.dict.counts()).toMatchObject({ ready: 0, leased: 0, failed: 0 });
    } finally {
      await manager.shutdown();
    }
  },
);
