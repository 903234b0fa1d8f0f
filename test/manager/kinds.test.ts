/** Takers that are asked by kind: counted in questions to the queue, not in time. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Client, Manager } from 'quartermaster';
import { coreOf } from '#qm/manager/manager.js';
import type { Call } from '#qm/manager/call.js';
import { Kinds } from '#qm/manager/tasks/kinds.js';
import type { Taker } from '#qm/manager/tasks/taker.js';
import { TaskQueue } from '#qm/queue/queue.js';

function aTaker(kind: string): Taker {
  return { offer: { kind }, hungryPeers: new Set(), waits: new Set() } as unknown as Taker;
}

const call = {} as Call;

test('those who wait are asked first come, first served, whatever their kinds, until nothing is left', () => {
  const kinds = new Kinds();
  const takers = ['a', 'b', 'a', 'c', 'b', 'a'].map(aTaker);
  for (const taker of takers) kinds.join(taker);
  const waits = takers.map((taker) => kinds.wait(call, taker));
  const asked: number[] = [];
  kinds.askWaits(({ taker, leave }) => {
    asked.push(takers.indexOf(taker));
    if (taker.offer.kind !== 'a') return 'refused';
    leave();
    return 'given';
  });
  expect(asked).toEqual([0, 1, 2, 3, 4, 5]);
  expect([...kinds.waits()].map(({ taker }) => takers.indexOf(taker))).toEqual([1, 4, 3]);
  asked.length = 0;
  kinds.askWaits(({ taker }) => {
    asked.push(takers.indexOf(taker));
    return asked.length === 2 ? 'nothing left' : 'refused';
  });
  expect(asked).toEqual([1, 3]);
  expect(waits.map(({ leave }) => leave())).toEqual([false, true, false, true, true, false]);
  expect(kinds.waiting).toBe(0);
  for (const taker of takers) kinds.leave(taker);
  expect(kinds.size).toBe(0);
});

test('one of a kind speaks for all of it, and the others are asked all the same', () => {
  const kinds = new Kinds();
  const takers = Array.from({ length: 1000 }, (_, i) => aTaker(i % 500 === 499 ? 'right' : 'wrong'));
  for (const taker of takers) {
    kinds.join(taker);
    kinds.wait(call, taker);
    taker.hungryPeers.add(taker);
  }
  const asked: string[] = [];
  const ask = ({ offer }: Taker) => {
    asked.push(offer.kind);
    return offer.kind === 'right' ? 'refused' : 'refused for its kind';
  };
  kinds.askWaits(({ taker }) => ask(taker));
  expect(asked).toEqual(['wrong', 'right', 'right']);
  asked.length = 0;
  kinds.askHungry(ask);
  expect(asked).toEqual(['wrong', 'right', 'right']);
});

test('those with room get one each in turn, as long as anyone is given one', () => {
  const kinds = new Kinds();
  const takers = ['a', 'b', 'a'].map(aTaker);
  for (const taker of takers) {
    kinds.join(taker);
    taker.hungryPeers.add(taker);
  }
  const room = [1, 3, 2];
  const asked: number[] = [];
  kinds.askHungry((taker) => {
    const at = takers.indexOf(taker);
    asked.push(at);
    if (--room[at]! <= 0) taker.hungryPeers.delete(taker);
    return 'given';
  });
  expect(asked).toEqual([0, 2, 1, 2, 1, 1]);
});

test('a wait outlives its taker, and its kind goes with the last of both', () => {
  const kinds = new Kinds();
  const taker = aTaker('a');
  kinds.join(taker);
  const { leave } = kinds.wait(call, taker);
  kinds.leave(taker);
  expect([kinds.size, kinds.waiting, [...kinds.waits()].length]).toEqual([1, 1, 1]);
  leave();
  expect([kinds.size, kinds.waiting]).toEqual([0, 0]);
});

test('one whose process is to end is given nothing, and does not speak for its kind', async () => {
  const manager = new Manager();
  onTestFinished(() => manager.close());
  const [first, second, putter] = [manager.client(), manager.client(), manager.client()];
  const queue = putter.tasks('q', { runTimeout: 60_000 });
  const doomed = first.tasks('q').get();
  await first.dict('d').size();
  const next = second.tasks('q').get();
  await second.dict('d').size();
  const [board] = manager[coreOf].boards;
  const [taker] = board?.takers.values() ?? [];
  if (taker !== undefined) taker.doom = 'asked';
  await queue.put('x', 'theirs');
  expect((await next).input).toBe('theirs');
  doomed.catch(() => {});
});

test('200 idle workers with the wrong tags are asked once for each task, and each of theirs goes to one of them', async () => {
  const manager = new Manager();
  onTestFinished(() => manager.close());
  const queue = manager.client().tasks('q');
  const idle: Client[] = Array.from({ length: 200 }, () => manager.client());
  const waiting = idle.map((client) => client.tasks('q').get({ tags: ['wrong'] }));
  for (const each of waiting) each.catch(() => {});
  await Promise.all(idle.map((client) => client.dict('d').size()));
  const taken = vi.spyOn(TaskQueue.prototype, 'take');
  onTestFinished(() => taken.mockRestore());
  for (let i = 0; i < 10; i++) await queue.put('x', i, { tags: ['right'] });
  expect(taken.mock.calls.length).toBeGreaterThan(0);
  expect(taken.mock.calls.length).toBeLessThanOrEqual(20);
  taken.mockClear();
  await queue.put('x', 'theirs', { tags: ['wrong'] });
  expect((await waiting[0]!).input).toBe('theirs');
  expect(taken.mock.calls.length).toBeLessThanOrEqual(4);
  const right = await manager
    .client()
    .tasks('q')
    .getNowait({ tags: ['right'] });
  expect(right?.input).toBe(0);
});
