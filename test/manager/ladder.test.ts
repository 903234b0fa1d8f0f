/** How runs are ended that must not go on: what the manager says to worker, helper and group, by frames made by hand. */
import { expect, test } from 'vitest';
import { methods, Role, ToClient, ToManager } from '#qm/protocol/messages.js';
import { coreOf } from '#qm/manager/manager.js';
import { KEY, type Listening, listening } from '../kit/listening.ts';
import { until } from '../kit/until.ts';
import { frame, RawClient, type RawFrame } from '../kit/raw-client.ts';

const TICKET = 'a ticket';
const ping = methods.manager.indexOf('ping');

/** A worker holds three tasks in its window of ten, and has started the first; its group vouches for it. */
async function aWorker(at: Listening, options: { runTimeout?: number; cancelGrace?: number }, owned = true) {
  const { address, manager } = at;
  const queue = manager.client().tasks('q', { poisonAfter: 2, ...options });
  const group = await RawClient.enter(address, { key: KEY });
  if (owned) await group.answer(group.call(0, methods.manager.indexOf('vouch'), [TICKET]));
  const worker = await RawClient.enter(address, { key: KEY, claim: TICKET });
  const { session, secret } = worker.welcome;
  const helper = await RawClient.enter(address, { key: KEY, role: Role.helper, claim: session, secret });
  worker.open(1, 'tasks', 'q');
  worker.take(1, 10);
  const handles = [await queue.put('x'), await queue.put('x'), await queue.put('x')] as const;
  const leases: number[] = [];
  while (leases.length < 3) {
    const { reader } = await worker.next(ToClient.TASK);
    reader.u32();
    while (reader.left > 0) {
      const end = reader.entry();
      leases.push(reader.u48());
      reader.skipTo(end);
    }
  }
  note(worker, ToManager.STARTED, leases[0] as number);
  await worker.answer(worker.call(0, ping));
  return { queue, group, worker, helper, handles, leases: leases as [number, number, number] };
}

/** STARTED and ENDED. */
function note(worker: RawClient, kind: number, lease: number): void {
  worker.write(noteOf(kind, lease));
}

function noteOf(kind: number, lease: number): Buffer {
  return frame(kind, (writer) => {
    writer.u32(1);
    writer.u48(lease);
  });
}

function giveBack(helper: RawClient, leases: readonly number[]): void {
  helper.send(ToManager.GIVE_BACK, (writer) => {
    writer.u32(1);
    writer.u32(leases.length);
    for (const lease of leases) writer.u48(lease);
  });
}

async function recalled(helper: RawClient): Promise<number[]> {
  const { reader } = await helper.next(ToClient.RECALL);
  expect(reader.u32()).toBe(1);
  return Array.from({ length: reader.u32() }, () => reader.u48());
}

async function ordered(group: RawClient): Promise<unknown> {
  const { reader } = await group.next(ToClient.EVENT);
  expect([reader.u32(), reader.text()]).toEqual([0, 'workerKill']);
  return reader.item();
}

/** All that the manager has told the group so far is in `frames`. */
async function heard(group: RawClient): Promise<readonly RawFrame[]> {
  const id = group.call(0, ping);
  const before: RawFrame[] = [];
  for (;;) {
    const next = await group.next();
    if (next.kind === ToClient.DONE && next.reader.u32() === id) return before;
    before.push(next);
  }
}

async function gone(group: RawClient, worker: RawClient): Promise<void> {
  await worker.destroy();
  await group.answer(group.call(0, methods.manager.indexOf('workerGone'), [TICKET, undefined, 'SIGKILL', 'it had to']));
}

test('Q10 a cancelled task that its helper gives back had not begun: nobody is ended', async () => {
  const at = await listening();
  const { group, helper, handles, leases } = await aWorker(at, { cancelGrace: 5 });
  expect(await handles[1].cancel()).toBe(true);
  expect(await recalled(helper)).toEqual([leases[1], leases[2]]);
  giveBack(helper, [leases[1], leases[2]]);
  expect((await at.manager.client().tasks('q').get()).id).toBe(handles[2].id);
  expect(await heard(group)).toEqual([]);
  expect(await handles[0].record()).toMatchObject({ state: 'leased', attempt: 1 });
});

test('Q10 one that had begun: what waits comes back first; what runs beside it loses its worker, and is not blamed', async () => {
  const at = await listening();
  const { group, worker, helper, handles, leases } = await aWorker(at, { cancelGrace: 5 });
  await handles[1].cancel('not needed');
  await recalled(helper);
  giveBack(helper, [leases[2]]);
  expect(await ordered(group)).toEqual([
    TICKET,
    `task '${handles[1].id}' was cancelled: not needed, and went on after its signal`,
  ]);
  expect(await handles[2].record()).toMatchObject({ state: 'ready', attempt: 0 });
  await gone(group, worker);
  expect(await handles[0].record()).toMatchObject({ state: 'ready', attempt: 1 });
  expect((await handles[0].record()).history.at(-1)?.why).toContain('it had to');
});

test('Q10 a task that has ended in the grace, or while the helper was asked, ends nobody', async () => {
  const at = await listening();
  const { group, worker, helper, handles, leases } = await aWorker(at, { cancelGrace: 5 });
  await handles[1].cancel();
  await recalled(helper);
  note(worker, ToManager.ENDED, leases[1]);
  await worker.answer(worker.call(0, ping));
  giveBack(helper, [leases[2]]);
  // In one write: the grace is over for nobody in between.
  const cancel = frame(ToManager.CALL, (writer) => {
    writer.u32(900);
    writer.u32(1);
    writer.u8(methods.tasks.indexOf('cancel'));
    writer.item(handles[0].id);
  });
  worker.write(Buffer.concat([cancel, noteOf(ToManager.ENDED, leases[0])]));
  expect(await worker.answer(900)).toBe(1);
  const next = await at.manager.client().tasks('q').get();
  expect(next.id).toBe(handles[2].id);
  expect(await heard(group)).toEqual([]);
});

test('W5 a group that does not obey is asked again; while it is, the worker is given nothing', async () => {
  const at = await listening();
  const { queue, group, worker, helper, handles, leases } = await aWorker(at, { runTimeout: 20, cancelGrace: 5 });
  const { reader } = await worker.next(ToClient.STOP);
  expect([reader.u32(), reader.u48(), (reader.item() as unknown[])[0]]).toEqual([1, leases[0], 'QM_TASK_TIMEOUT']);
  // That it says it had ended what it still has is no way out.
  note(worker, ToManager.ENDED, leases[0]);
  expect(await recalled(helper)).toEqual([leases[1], leases[2]]);
  giveBack(helper, [leases[1], leases[2]]);
  const first = await ordered(group);
  await queue.put('x');
  expect(await ordered(group)).toEqual(first);
  expect(worker.frames.filter(({ kind }) => kind === ToClient.TASK)).toEqual([]);
  expect(await handles[0].state()).toBe('leased');
  await gone(group, worker);
  await expect(handles[0].result()).rejects.toMatchObject({ code: 'QM_TASK_TIMEOUT' });
  expect(await queue.dict.counts()).toMatchObject({ ready: 3, failed: 1 });
});

test('W5 a helper that says nothing is not waited for', async () => {
  const at = await listening();
  const { group, worker, handles } = await aWorker(at, { runTimeout: 20, cancelGrace: 5 });
  expect(await ordered(group)).toEqual([TICKET, expect.stringContaining('ran for longer')]);
  await gone(group, worker);
  await expect(handles[0].result()).rejects.toMatchObject({ code: 'QM_TASK_TIMEOUT' });
  for (const other of handles.slice(1)) expect(await other.record()).toMatchObject({ state: 'ready', attempt: 0 });
});

test('W5 the group goes while its worker is to be ended: the lease has failed, and the worker is as any other', async () => {
  const at = await listening();
  const { queue, group, worker, helper, handles, leases } = await aWorker(at, { runTimeout: 20, cancelGrace: 5 });
  await recalled(helper);
  giveBack(helper, [leases[1], leases[2]]);
  await ordered(group);
  await group.destroy();
  await expect(handles[0].result()).rejects.toMatchObject({ code: 'QM_TASK_TIMEOUT' });
  const { reader } = await worker.next(ToClient.LOST);
  expect([reader.u32(), reader.u48()]).toEqual([1, leases[0]]);
  expect(await queue.dict.counts()).toMatchObject({ ready: 2, failed: 1 });
});

test('whoever takes and ends many tasks with limits leaves nothing behind', async () => {
  const at = await listening();
  const client = at.manager.client();
  const queue = client.tasks('q', { runTimeout: 3_600_000 });
  const other = await at.connect();
  const there = other.tasks('q');
  for (let i = 0; i < 500; i++) {
    const handle = await queue.put('x');
    const task = await there.get();
    if (i % 3 === 0) await handle.cancel();
    else if (i % 3 === 1) await task.release().then(() => handle.cancel());
    else await task.complete();
  }
  const [board] = at.manager[coreOf].boards;
  const [taker] = [...(board as Exclude<typeof board, undefined>).takers.values()].filter(({ done }) => done > 0);
  expect(taker?.endings).toBeUndefined();
  // Limits of what was never started go with the next ones.
  expect(taker?.limits?.size ?? 0).toBeLessThanOrEqual(2);
  expect(board?.takers.ladder.size).toBeLessThanOrEqual(64);
  // Until the manager has heard of the end of that client, by the word of a third.
  const third = await at.connect();
  await other.close();
  await until(async () => (await third.inspect.workers()).every(({ session }) => session !== taker?.session.id));
  expect(board?.takers.ladder.size).toBe(0);
});
