/** Whose doing the end of a worker is, by what it had reported of its starts: frames made by hand. */
import { expect, test } from 'vitest';
import { methods, ToClient, ToManager } from '#qm/protocol/messages.js';
import { KEY, type Listening, listening } from '../kit/listening.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';

/** A worker holds three tasks in its window, reports what it starts of them, and is gone. */
async function aWorkerDies({ address }: Listening, starts: 'nothing' | 'the first'): Promise<void> {
  const worker = await RawClient.enter(address, { key: KEY });
  worker.open(1, 'tasks', 'q');
  worker.take(1, 10);
  let first = 0;
  for (let held = 0; held < 3;) {
    const { reader } = await worker.next(ToClient.TASK);
    reader.u32();
    for (; reader.left > 0; held++) {
      const end = reader.entry();
      if (held === 0) first = reader.u48();
      reader.skipTo(end);
    }
  }
  if (starts === 'the first') {
    worker.send(ToManager.STARTED, (writer) => {
      writer.u32(1);
      writer.u48(first);
    });
  }
  // Everything before it has been read.
  await worker.answer(worker.call(0, methods.manager.indexOf('ping')));
  await worker.destroy();
}

test.each([
  ['nothing', 'ready', /; from here on it runs alone$/],
  ['the first', 'failed', /./],
] as const)(
  'Q6 of three tasks in the window of a worker that dies, with %s reported as started: the first is %s',
  async (starts, state, why) => {
    const at = await listening();
    const queue = at.manager.client().tasks('q', { poisonAfter: 2 });
    const [first, second, third] = [await queue.put('x'), await queue.put('x'), await queue.put('x')];
    for (let death = 0; death < 2; death++) {
      await aWorkerDies(at, starts);
      await until(async () => (await queue.dict.counts()).leased === 0);
    }
    const record = await first.record();
    expect({ state: record.state, why: record.history.at(-1)?.why }).toEqual({
      state,
      why: expect.stringMatching(why),
    });
    for (const other of [second, third]) expect(await other.record()).toMatchObject({ state: 'ready', attempt: 0 });
  },
);
