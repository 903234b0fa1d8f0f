/** A manager process polls for the next call of one client, and for nothing else; an idle one takes no processor time. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startManager } from 'quartermaster';
import { Pace } from '#qm/manager/pace.js';
import type { Session } from '#qm/manager/session.js';
import { HotPolling } from '#qm/transport/hot-polling.js';

const one = {} as Session;
const other = {} as Session;

let now = 0;

function newPace(): { pace: Pace; polling: HotPolling } {
  const polling = new HotPolling(2, () => 0);
  const pace = new Pace(polling, () => now);
  onTestFinished(() => polling.rest());
  return { pace, polling };
}

/** Calls of a client that has been the only one for longer than the manager remembers others. */
function inSequence(pace: Pace, session: Session): void {
  pace.turn(session, true);
  now += 60;
  pace.turn(session, true);
}

test('a first call is not waited for, a second one that follows is', () => {
  const { pace, polling } = newPace();
  inSequence(pace, one);
  expect(polling.spinning).toBe(false);
  pace.turn(one, true);
  expect(polling.spinning).toBe(true);
});

test.each<[string, (pace: Pace) => void]>([
  ['a chunk with more than one call', (pace) => pace.turn(one, false)],
  ['a call of another client', (pace) => pace.turn(other, true)],
])('%s: no polling for a while', (_, busy) => {
  const { pace, polling } = newPace();
  inSequence(pace, one);
  busy(pace);
  for (let i = 0; i < 5; i++) pace.turn(one, true);
  expect(polling.spinning).toBe(false);
});

test.runIf(process.platform === 'linux')(
  'an idle manager takes no processor time, whatever it polled for before',
  async () => {
    const client = await startManager();
    onTestFinished(() => client.shutdown());
    const dict = client.dict<string, number>('d');
    for (let i = 0; i < 3_000; i++) await dict.set('k', i);
    // Its compiler may still have to do something for those: one that polls is never idle for a second.
    for (let took = Infinity; took >= 200;) {
      const before = processorTime(client.pid);
      await sleep(1_000);
      took = processorTime(client.pid) - before;
    }
  },
);

test('lowLatency: the same answers', async () => {
  const client = await startManager({ lowLatency: true });
  onTestFinished(() => client.shutdown());
  const queue = client.queue<number>();
  for (let i = 0; i < 500; i++) {
    await queue.put(i);
    expect(await queue.getNowait()).toBe(i);
  }
});

/** Of a process, user and system (ms). */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
