/** The window that a worker's main thread and its helper share: who has which task, whatever the order of events. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_WINDOW, SharedWindow } from '#qm/proxy/shared-window.js';

/** Both threads' views of one window; `count` is where its counters begin. */
function both(count = 0): { main: SharedWindow; helper: SharedWindow } {
  const main = new SharedWindow(undefined, count);
  return { main, helper: new SharedWindow(main.memory) };
}

test('what has not been started can be taken back, read or not, once', () => {
  const { main, helper } = both();
  for (const lease of [1, 2, 3, 4]) expect(main.add(lease)).toBe(true);
  expect(main.start(0)).toBe(true);
  expect(helper.takeBack([1, 2, 4, 7, 8])).toEqual([2, 4, 7, 8]);
  main.add(7);
  main.add(9);
  expect([main.start(0), main.start(0), main.start(0), main.start(0), main.start(0)]).toEqual([
    false, // 2
    true, // 3
    false, // 4
    false, // 7
    true, // 9
  ]);
});

test('the main thread hears, once, that something was taken back', () => {
  const { main, helper } = both();
  expect(main.tookBack()).toBe(false);
  main.add(1);
  main.start(0);
  expect(helper.takeBack([1])).toEqual([]);
  expect(main.tookBack()).toBe(false);
  expect(helper.takeBack([2])).toEqual([2]);
  expect([main.tookBack(), main.tookBack()]).toEqual([true, false]);
});

test('it has so many slots, and then says so', () => {
  const { main, helper } = both();
  const slots = 2 * MAX_WINDOW;
  for (let lease = 1; lease <= slots; lease++) expect(main.add(lease)).toBe(true);
  expect(main.add(slots + 1)).toBe(false);
  expect(main.start(0)).toBe(true);
  expect(main.add(slots + 1)).toBe(true);
  expect(helper.takeBack([1, 2, slots + 1])).toEqual([2, slots + 1]);
});

test.each([0, 2 ** 31 - 20, -20])(
  'whatever happens, each task is started or taken back, never both, none neither (%i)',
  (count) => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ do: fc.constant('send' as const), count: fc.nat({ max: 30 }) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), count: fc.nat({ max: 20 }) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('start' as const), count: fc.nat({ max: 20 }) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('recall' as const), count: fc.nat({ max: 5 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { main, helper } = both(count);
        const started: number[] = [];
        const returned: number[] = [];
        /** Leased, on their way, and waiting in the window. */
        const open = new Set<number>();
        const coming: number[] = [];
        const waiting: number[] = [];
        let leases = 0;
        const read = (): void => {
          const lease = coming.shift();
          if (lease !== undefined && main.add(lease)) waiting.push(lease);
          else if (lease !== undefined) coming.unshift(lease);
        };
        const start = (): void => {
          const lease = waiting.shift();
          if (lease !== undefined && main.start(0)) {
            started.push(lease);
            open.delete(lease);
          }
        };
        for (const one of steps) {
          if (one.do === 'recall') {
            // As the manager knows them: without what it has just sent, and with some that have been started meanwhile.
            const known = [...started.slice(-5), ...open].toSorted((a, b) => a - b).slice(0, -one.count - 1);
            for (const lease of helper.takeBack(known)) {
              returned.push(lease);
              open.delete(lease);
            }
            continue;
          }
          for (let i = 0; i < one.count; i++) {
            if (one.do === 'read') read();
            else if (one.do === 'start') start();
            else {
              open.add(++leases);
              coming.push(leases);
            }
          }
        }
        while (coming.length + waiting.length > 0) {
          read();
          start();
        }
        const all = [...started, ...returned].toSorted((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: leases }, (_, i) => i + 1));
      }),
      { numRuns: 100 },
    );
  },
);
