/**
 * Random job graphs on worker processes that are killed all the time: they end with the outputs that they would have had
 * anyhow. QM_SEED replays the graphs and the dice of the killer, QM_CHAOS_GRAPHS says how many graphs.
 */
import { expect, test } from 'vitest';
import { Random } from '../kit/random.ts';
import { randomGraph } from '../kit/random-graphs.ts';
import { aGroup, fresh, sharedRig } from '../kit/tasks-rig.ts';

const GRAPHS = Number(process.env['QM_CHAOS_GRAPHS'] ?? 12);
const JOBS = 60;
const WORKERS = 3;

const rig = sharedRig('process');
const module = new URL('../fixtures/graph-tasks.mjs', import.meta.url);

test(
  'G6 G7 G8 workers are killed in the middle of graphs: the same outputs, each job with one outcome',
  { timeout: 600_000 },
  async () => {
    const random = new Random(`graphs on workers that are killed (QM_CHAOS_GRAPHS=${GRAPHS})`);
    const { client } = rig();
    const queue = client.tasks(fresh('queue'), { poisonAfter: 1_000 });
    const group = await aGroup(client, { count: WORKERS, queue: queue.name, logs: 'ignore' }, module);
    let killed = 0;
    for (let at = 0; at < GRAPHS; at++) {
      const { graph, expected, leaves } = randomGraph(random, JOBS, true);
      const run = queue.runGraph(graph, { concurrency: random.chance(0.3) ? 1 + random.below(4) : undefined });
      const ended = new Map<string, number>();
      for await (const { job, state, pid } of run.events()) {
        if (state === 'succeeded') ended.set(job, (ended.get(job) ?? 0) + 1);
        if (state !== 'leased' || pid === undefined || !random.chance(0.05)) continue;
        if (!group.workers().some((worker) => worker.pid === pid)) continue;
        killed++;
        process.kill(pid, 'SIGKILL');
      }
      expect(await run.result()).toEqual(Object.fromEntries(leaves.map((leaf) => [leaf, expected.get(leaf)!.output])));
      for (const id of expected.keys()) expect([id, ended.get(id)]).toEqual([id, 1]);
      await run.close();
    }
    expect(killed).toBeGreaterThan(0);
    expect(await queue.dict.counts()).toMatchObject({ failed: 0, skipped: 0, leased: 0, ready: 0, blocked: 0 });
  },
);
