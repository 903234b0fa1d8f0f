/** Who gets how many of a few tasks that become ready together: windows by frames made by hand. */
import { expect, test } from 'vitest';
import { ToClient, ToManager } from '#qm/protocol/messages.js';
import type { Item } from '#qm/protocol/wire.js';
import { KEY, type Listening, listening } from '../kit/listening.ts';
import { RawClient, type RawLease } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';

interface Worker extends RawLease {
  readonly raw: RawClient;
}

/** A worker that runs a task, and wants `window` of them. */
async function aWorker({ address, manager }: Listening, name: string, window: number, tags: string[]): Promise<Worker> {
  const raw = await RawClient.enter(address, { key: KEY, name });
  const offer: Item = [name, tags, []];
  raw.open(1, 'tasks', 'q', ['offer', offer]);
  raw.take(1, window);
  await manager
    .client()
    .tasks('q')
    .put('x', name, { id: `first of ${name}`, worker: name });
  return { raw, ...(await raw.task()) };
}

/** Eight tasks become ready by the end of A's first one, while B runs its own. How many of them each has got. */
async function dealt(window: number, tags: string[] = []): Promise<Record<string, number>> {
  const at = await listening();
  const queue = at.manager.client().tasks('q');
  const a = await aWorker(at, 'A', window, tags);
  await aWorker(at, 'B', window, []);
  for (let i = 0; i < 8; i++) await queue.put('x', i, { after: ['first of A'], tags });
  a.raw.complete(9, a);
  await until(async () => (await queue.dict.counts()).leased === 9);
  const counts: Record<string, number> = { A: 0, B: 0 };
  for (const [, { id, worker }] of await queue.dict.entries({ state: 'leased' })) {
    if (!id.startsWith('first')) counts[worker!]!++;
  }
  return counts;
}

test('each window gets its share, that of whoever has released them too: what both run counts', async () => {
  expect(await dealt(10)).toEqual({ A: 5, B: 3 });
});

test('whoever alone can run them gets them all', async () => {
  expect(await dealt(10, ['gpu'])).toEqual({ A: 8, B: 0 });
});

test('the shortest ones go to whoever asks first, as many as its window holds', async () => {
  expect(await dealt(200)).toEqual({ A: 8, B: 0 });
});

test('who no longer waits, having got what it asked for by its window, is given more by its window', async () => {
  const { address, manager } = await listening();
  const raw = await RawClient.enter(address, { key: KEY });
  raw.open(1, 'tasks', 'q');
  raw.take(1, 10);
  raw.send(ToManager.CANCEL, (writer) => writer.u32(1));
  await raw.next(ToClient.CANCELLED);
  await manager.client().tasks('q').put('x');
  await raw.next(ToClient.TASK);
});
