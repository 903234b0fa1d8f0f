/** How far a map looks ahead, and how much room is worth a message. */
import { describe, expect, test, vi } from 'vitest';
import { ToManager } from '#qm/protocol/messages.js';
import { connectionOf } from '#qm/proxy/client.js';
import { LookAhead } from '#qm/proxy/map/look-ahead.js';
import { fresh, sharedRig, working } from '../kit/tasks-rig.ts';

test.each([
  [1, 1],
  [8, 1],
  [255, 1],
  [256, 32],
  [1000, 125],
])('of %i in flight, room for fewer than %i is left', (inFlight, least) => {
  expect(new LookAhead(inFlight, 0).least).toBe(least);
});

describe('inputs of a map that is read one by one', () => {
  const rig = sharedRig('socket');

  test.each([
    ['go many at a time', 400, 40],
    ['go one by one where hardly any may be in flight', 4, 4000],
  ])('%s', async (_how, inFlight, most) => {
    const { client } = rig();
    const name = fresh('queue');
    const loop = working(client, name, { double: (n: number) => 2 * n });
    const begun = vi.spyOn(client[connectionOf].link, 'beginEntry');
    const numbers = Array.from({ length: 2000 }, (_, i) => i);
    let read = 0;
    for await (const output of client.tasks(name).map('double', numbers, { inFlight })) {
      expect(output).toBe(2 * read++);
      await new Promise(setImmediate);
    }
    expect(read).toBe(2000);
    const puts = begun.mock.calls.filter(([kind]) => kind === ToManager.PUT).length;
    begun.mockRestore();
    expect(puts).toBeGreaterThanOrEqual(2000 / inFlight);
    expect(puts).toBeLessThanOrEqual(most);
    await loop.stop();
  });
});
