/**
 * Random job graphs over the whole product, held against what must come of them: QM_SEED replays a run, QM_GRAPHS says
 * how many graphs (10,000 in every run).
 */
import { expect, test } from 'vitest';
import { sharedRig, fresh, working, aClient } from '../kit/tasks-rig.ts';
import { Random } from '../kit/random.ts';
import { outputOf, randomGraph } from '../kit/random-graphs.ts';

const GRAPHS = Number(process.env['QM_GRAPHS'] ?? 10_000);
/** So many run at a time. */
const AT_ONCE = 50;

const rig = sharedRig('embedded');

test(
  'G6 each job of a random graph runs once, after all it comes after, with the right inputs',
  { timeout: 600_000 },
  async () => {
    const random = new Random(`random graphs (QM_GRAPHS=${GRAPHS})`);
    const queue = rig().client.tasks(fresh('queue'));
    /** Ends of jobs: by run, in their order. */
    const ended = new Map<string, string[]>();
    const handlers = {
      async node({ id, inputs }: { id: string; inputs: unknown }, context: { id: string }) {
        const run = context.id.split('/')[0]!;
        const order = ended.get(run)!;
        const { after, inputs: wanted } = known.get(run)!.get(id)!;
        // Nothing that is before it is missing, and it has not run before.
        expect(order).toEqual(expect.arrayContaining(after));
        expect(order).not.toContain(id);
        expect(inputs).toEqual(wanted);
        if (random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve));
        order.push(id);
        return outputOf(id, inputs);
      },
    };
    const known = new Map<string, ReturnType<typeof randomGraph>['expected']>();
    const loop = working(await aClient(rig()), queue.name as string, handlers, { concurrency: 4 });
    const runOne = async (at: number): Promise<void> => {
      const { graph, expected, leaves } = randomGraph(random, 12);
      const id = `g${at}`;
      known.set(id, expected);
      ended.set(id, []);
      const run = queue.runGraph(graph, { id, concurrency: random.chance(0.2) ? 1 + random.below(3) : undefined });
      const outputs = await run.result();
      expect(outputs).toEqual(Object.fromEntries(leaves.map((leaf) => [leaf, expected.get(leaf)!.output])));
      expect(ended.get(id)!.toSorted()).toEqual([...expected.keys()].toSorted());
      await run.close();
      known.delete(id);
      ended.delete(id);
    };
    let next = 0;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < GRAPHS) await runOne(next++);
      }),
    );
    await loop.stop();
    expect(await queue.dict.counts()).toMatchObject({ failed: 0, skipped: 0, leased: 0, ready: 0, blocked: 0 });
  },
);
