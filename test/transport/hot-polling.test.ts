/** Polling begins when something is expected, ends by itself, and is not tried for long where it does not pay. */
import { describe, expect, test } from 'vitest';
import { HotPolling } from '#qm/transport/hot-polling.js';

let now = 0;
const aPolling = (cores = 2): HotPolling => new HotPolling(cores, () => now);

/** Resolves when it goes round the loop no more; a round takes so many ms. */
async function settled(polling: HotPolling, round = 0.05): Promise<void> {
  while (polling.spinning) {
    now += round;
    await new Promise(setImmediate);
  }
}

describe('hot polling', () => {
  test('waits without sleeping until what is expected has come', async () => {
    const polling = aPolling();
    polling.expects();
    expect(polling.spinning).toBe(true);
    polling.arrived();
    await settled(polling);
    expect([polling.paid, polling.unpaid]).toEqual([1, 0]);
  });

  test('ends by itself, and passes over ever more occasions', async () => {
    const polling = aPolling();
    const tried: number[] = [];
    for (let occasion = 0; occasion < 20; occasion++) {
      polling.expects();
      if (polling.spinning) tried.push(occasion);
      await settled(polling);
    }
    expect(tried).toEqual([0, 2, 6, 14]); // 1, 3 and 7 are passed over between them
    expect(polling.unpaid).toBe(4);
  });

  test('is tried again as before once it has paid a few times', async () => {
    const polling = aPolling();
    for (let miss = 0; miss < 3;) {
      polling.expects();
      if (polling.spinning) miss++;
      await settled(polling);
    }
    for (let hit = 0; hit < 3;) {
      polling.expects();
      if (polling.spinning) hit++;
      polling.arrived();
      await settled(polling);
    }
    polling.expects();
    await settled(polling);
    expect(polling.unpaid).toBe(4);
    polling.expects();
    expect(polling.spinning).toBe(false);
    polling.expects();
    expect(polling.spinning).toBe(true);
    polling.rest();
    await settled(polling);
  });

  test('waits for as long as it may take, by what it took of late: less after short waits, and again after one for nothing', async () => {
    const polling = aPolling();
    /** How long it waits for nothing. */
    const waited = async (): Promise<number> => {
      while (!polling.spinning) polling.expects();
      const since = now;
      await settled(polling, 0.01);
      return now - since;
    };
    const comesAfter = async (ms: number): Promise<void> => {
      while (!polling.spinning) polling.expects();
      now += ms;
      polling.arrived();
      await settled(polling);
    };
    expect(await waited()).toBeCloseTo(0.2, 1);
    for (let i = 0; i < 30; i++) await comesAfter(0.01);
    expect(await waited()).toBeCloseTo(0.1, 1);
    expect(await waited()).toBeCloseTo(0.2, 1);
    for (let i = 0; i < 30; i++) await comesAfter(0.045);
    expect(await waited()).toBeCloseTo(0.2, 1);
  });

  test('what ends it for other work is neither the one nor the other', async () => {
    const polling = aPolling();
    polling.expects();
    polling.rest();
    await settled(polling);
    polling.arrived();
    expect([polling.paid, polling.unpaid]).toEqual([0, 0]);
  });

  test.each(['nothing comes', 'what is expected comes'])(
    'is left for longer each time where somebody else has had the core meanwhile, whether %s',
    async (what) => {
      const polling = aPolling();
      const passed: number[] = [];
      polling.expects();
      for (let i = 0; i < 5; i++) {
        now += 2;
        if (what === 'what is expected comes') polling.arrived();
        await settled(polling);
        for (passed[i] = -1; !polling.spinning; passed[i]! += 1) polling.expects();
      }
      expect(passed).toEqual([16, 80, 336, 1024, 1024]);
      expect(polling.paid).toBe(0);
      polling.rest();
      await settled(polling);
    },
  );

  test('never runs where there is one core', () => {
    const polling = aPolling(1);
    polling.expects();
    expect(polling.spinning).toBe(false);
  });
});
