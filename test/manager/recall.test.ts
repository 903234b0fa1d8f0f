/** RECALL: who holds un-started tasks is asked for them when somebody waits, by frames made by hand. */
import { expect, test } from 'vitest';
import { methods, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import { KEY, type Listening, listening } from '../kit/listening.ts';
import { RawClient, type RawFrame } from '../kit/raw-client.ts';

/** A worker made by hand holds three tasks in its window of ten, and has started the first. */
async function aWorker({ address, manager }: Listening) {
  const queue = manager.client().tasks('q');
  const worker = await RawClient.enter(address, { key: KEY });
  worker.open(1, 'tasks', 'q');
  worker.take(1, 10);
  for (let i = 0; i < 3; i++) await queue.put('x');
  const leases: number[] = [];
  for (let i = 0; i < 3; i++) {
    leases.push((await worker.task()).lease);
  }
  worker.send(ToManager.STARTED, (writer) => {
    writer.u32(1);
    writer.u48(leases[0] as number);
  });
  return { worker, leases, queue };
}

async function aHelper({ address }: Listening, { welcome }: Awaited<ReturnType<typeof RawClient.enter>>) {
  const { session, secret } = welcome;
  return RawClient.enter(address, { key: KEY, role: Role.helper, claim: session, secret });
}

function asked({ reader }: RawFrame): number[] {
  expect(reader.u32()).toBe(1);
  return Array.from({ length: reader.u32() }, () => reader.u48());
}

test('who has shrunk its window is asked all the same for what it holds', async () => {
  const at = await listening();
  const { worker, leases, queue } = await aWorker(at);
  const helper = await aHelper(at, worker);
  worker.send(ToManager.WINDOW, (writer) => {
    writer.u32(1);
    writer.u16(1);
  });
  await worker.answer(worker.call(0, methods.manager.indexOf('ping')));
  const waits = queue.get();
  expect(asked(await helper.next(ToClient.RECALL))).toEqual(leases);
  helper.send(ToManager.GIVE_BACK, (writer) => {
    writer.u32(1);
    writer.u32(2);
    for (const lease of leases.slice(1)) writer.u48(lease);
  });
  expect((await waits).id).toBe('t2');
});

test('a helper that leaves without an answer is followed by one that is asked again', async () => {
  const at = await listening();
  const { worker, leases, queue } = await aWorker(at);
  const first = await aHelper(at, worker);
  const wait = new AbortController();
  const waits = queue.get({ signal: wait.signal });
  expect(asked(await first.next(ToClient.RECALL))).toEqual(leases);
  await first.destroy();
  const second = await aHelper(at, worker);
  expect(asked(await second.next(ToClient.RECALL))).toEqual(leases);
  wait.abort();
  await expect(waits).rejects.toThrow();
});

test('who has started all that it holds is not asked', async () => {
  const at = await listening();
  const { worker, leases, queue } = await aWorker(at);
  const helper = await aHelper(at, worker);
  worker.send(ToManager.STARTED, (writer) => {
    writer.u32(1);
    writer.u48(leases[2] as number);
  });
  await worker.answer(worker.call(0, methods.manager.indexOf('ping')));
  const wait = new AbortController();
  const waits = queue.get({ signal: wait.signal });
  await queue.dict.size();
  // The next frame that the helper is sent is not a recall: there is none until another task is held.
  worker.send(ToManager.WINDOW, (writer) => {
    writer.u32(1);
    writer.u16(10);
  });
  await worker.answer(worker.call(0, methods.manager.indexOf('ping')));
  await queue.put('x');
  await waits;
  await queue.put('x');
  const { lease: held } = await worker.task();
  const another = queue.get({ signal: wait.signal });
  expect(asked(await helper.next(ToClient.RECALL))).toContain(held);
  expect(helper.frames).toEqual([]);
  wait.abort();
  await expect(another).rejects.toThrow();
});
