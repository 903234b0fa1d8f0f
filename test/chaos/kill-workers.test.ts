/**
 * 100,000 tasks, put by one client and run by two workers, while workers are killed at random. Every result is checked;
 * QM_SEED=… replays the choice of victims and of moments, in tasks done, though not the machine's own timing.
 */
import { expect, test } from 'vitest';
import { aGroup, fresh, openRig } from '../kit/tasks-rig.ts';

const TASKS = 100_000;
/** So many workers are killed on the way. */
const KILLS = 25;
/** Tasks put and not finished, at most. */
const IN_FLIGHT = 5_000;

test(
  'W1 Q11 tasks survive the death of their workers: each has one outcome, the right one',
  { timeout: 120_000 },
  async () => {
    const seed = Number(process.env['QM_SEED'] ?? Date.now() % 1_000_000);
    console.log(`kill-workers: QM_SEED=${seed}`);
    const random = generator(seed);
    const rig = await openRig('process', { queue: { keepRecords: { count: 2 * TASKS } } });
    try {
      const { client } = rig;
      const name = fresh('chaos');
      const queue = client.tasks(name);
      const group = await aGroup(client, { queue: name, count: 2 });
      const lost: number[] = [];
      group.on('workerLost', ({ pid }) => lost.push(pid));
      const killed: number[] = [];
      const moments = Array.from({ length: KILLS }, () => Math.floor(random() * TASKS)).toSorted((a, b) => a - b);
      let done = 0;
      const results = new Array<unknown>(TASKS);
      const outcomes = new Array<number>(TASKS).fill(0);
      let next = 0;
      const flow = async (): Promise<void> => {
        while (next < TASKS) {
          const i = next++;
          results[i] = await queue.run('echo', { i, square: i * i });
          outcomes[i] = (outcomes[i] as number) + 1;
          if (++done >= (moments[0] ?? Infinity)) {
            moments.shift();
            const workers = group.workers();
            const victim = workers[Math.floor(random() * workers.length)];
            if (victim !== undefined && !killed.includes(victim.pid)) {
              killed.push(victim.pid);
              process.kill(victim.pid, 'SIGKILL');
            }
          }
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, flow));
      expect(killed.length).toBeGreaterThan(5);
      for (let i = 0; i < TASKS; i++) {
        if (outcomes[i] !== 1) expect.fail(`task ${i} has ${outcomes[i]} outcomes`);
        const { i: index, square } = results[i] as { i: number; square: number };
        if (index !== i || square !== i * i)
          expect.fail(`task ${i} has the result of another: ${JSON.stringify(results[i])}`);
      }
      const counts = await queue.dict.counts();
      expect(counts).toMatchObject({ succeeded: TASKS, failed: 0, leased: 0, ready: 0, blocked: 0 });
      // Each ran once more for each worker that it lost, and the records say so.
      const again = (await queue.dict.entries({ limit: 2 * TASKS })).filter(([, { attempt }]) => attempt > 1);
      for (const [, { history }] of again) expect(history.map(({ why }) => why).join('\n')).toContain('SIGKILL');
      expect(lost.every((pid) => killed.includes(pid))).toBe(true);
    } finally {
      await rig.close();
    }
  },
);

/** A small random generator that a seed determines (mulberry32). */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
