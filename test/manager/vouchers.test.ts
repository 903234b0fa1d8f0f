/** What the manager gives to a worker whose group says that its process has ended: frames made by hand. */
import { expect, test } from 'vitest';
import { methods, ToClient } from '#qm/protocol/messages.js';
import { KEY, listening } from '../kit/listening.ts';
import { RawClient } from '../kit/raw-client.ts';

const call = (raw: RawClient, method: (typeof methods.manager)[number], args: string[] = []): Promise<unknown> =>
  raw.answer(raw.call(0, methods.manager.indexOf(method), args));

/** A worker that its group has vouched for, and takes with such a window. */
async function aVouched(window: number) {
  const { address, manager } = await listening();
  const group = await RawClient.enter(address, { key: KEY });
  await call(group, 'vouch', ['the ticket']);
  const worker = await RawClient.enter(address, { key: KEY, claim: 'the ticket' });
  worker.open(1, 'tasks', 'q');
  worker.take(1, window);
  return { queue: manager.client().tasks('q'), worker, gone: () => call(group, 'workerGone', ['the ticket']) };
}

test.each([
  ['waits for a task', 1],
  ['has room in its window', 10],
])(
  'a worker that %s is given none once its process has ended, though its connection is still there',
  async (_, window) => {
    const { queue, worker, gone } = await aVouched(window);
    if (window > 1) {
      // It has one, and waits for none.
      await queue.put('x', 'before');
      await worker.next(ToClient.TASK);
    }
    await call(worker, 'ping');
    expect(await queue.dict.counts()).toMatchObject({ leased: window > 1 ? 1 : 0 });
    await gone();
    const handle = await queue.put('x', 'after', { atMostOnce: true });
    const task = await queue.getNowait();
    expect(task?.id).toBe(handle.id);
    // Its connection ends, and takes with it what it had been given before.
    await worker.destroy();
    await task?.complete('of another');
    expect(await handle.result()).toBe('of another');
    expect(await handle.record()).toMatchObject({ attempt: 1 });
  },
);

test('what a worker said before its process ended counts, also where its group was quicker', async () => {
  const { queue, worker, gone } = await aVouched(1);
  const handle = await queue.put('x');
  const task = await worker.task();
  await gone();
  worker.complete(2, task, (writer) => writer.item('its last word'));
  await worker.next(ToClient.DONE);
  await worker.destroy();
  expect(await handle.result()).toBe('its last word');
  expect(await handle.record()).toMatchObject({ attempt: 1, state: 'succeeded' });
});
