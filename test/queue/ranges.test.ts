/**
 * Inputs of `map` in the queue's core, step by step under everything that can happen to them, beside a plain count of
 * outcomes: each input has exactly one, whatever was cut, given back, lost or cancelled, and in the order of the puts
 * where nothing came back.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Inputs, Part } from '#qm/queue/part.js';
import { type Holder, NEVER, State, type Task } from '#qm/queue/task.js';
import { aHolder, cancelled, endOf, failed, lost, QueueRig } from './rig.ts';

class Bundle implements Inputs {
  readonly tasks = new Set<Task>();
  readonly outcomes: string[][];

  constructor(count: number) {
    this.outcomes = Array.from({ length: count }, () => []);
  }

  cut(from: number, to: number): string {
    return `${from}-${to}`;
  }

  bytes(from: number, to: number): number {
    return to - from;
  }

  came(from: number, count: number, what: string): void {
    for (let i = from; i < from + count; i++) this.outcomes[i]?.push(what);
  }
}

interface Worker extends Holder {
  readonly wants: (task: Task) => number;
}

function aWorker(size: number): Worker {
  return { leases: new Map(), wants: () => size };
}

/** The rig, with what the manager does of outcomes. */
class Maps {
  readonly rig = new QueueRig();
  #settled = 0;

  put(count: number, retries = 0): Bundle {
    const bundle = new Bundle(count);
    const part = new Part(bundle, 0, count);
    const input = bundle.cut(0, count);
    const spec = { id: undefined, name: 'work', priority: 0, input, bytesIn: count, retries, poisonAfter: 3 };
    this.rig.queue.put({ ...spec, after: undefined, part }, this.rig.now);
    return bundle;
  }

  take(worker: Worker): Task | undefined {
    return this.rig.queue.take(worker, undefined, this.rig.now);
  }

  succeed(worker: Worker, task: Task, count: number): void {
    const part = task.rules?.part as Part;
    const { from, done } = part;
    const found = this.rig.queue.mapped.succeeded(worker, task.lease + done, count, NEVER, this.rig.now);
    expect(found?.task).toBe(task);
    (part.inputs as Bundle).came(from + done, count, 'succeeded');
  }

  /** The outcomes that the queue has decided by itself. */
  look(): void {
    this.rig.queue.validate();
    for (; this.#settled < this.rig.settled.length; this.#settled++) {
      const task = this.rig.settled[this.#settled] as Task;
      const part = task.rules?.part;
      if (part === undefined || part.open === 0) continue;
      const what = task.state === State.succeeded ? 'succeeded' : 'failed';
      (part.inputs as Bundle).came(part.from + part.done, part.open, what);
    }
  }
}

describe('what a lease takes', () => {
  test('as many as its taker wants, the others in their place, with numbers and leases that count through', () => {
    const maps = new Maps();
    maps.put(10);
    const between = maps.rig.put();
    const worker = aWorker(4);
    const first = maps.take(worker) as Task;
    expect([first.number, first.lease, first.input, first.rules?.part?.count]).toEqual([1, 1, '0-4', 4]);
    const second = maps.take(worker) as Task;
    expect([second.number, second.lease, second.input]).toEqual([5, 5, '4-8']);
    expect((maps.take(worker) as Task).input).toBe('8-10');
    expect(maps.take(worker)).toBe(between);
    expect(between.number).toBe(11);
    maps.look();
  });

  test('one where its taker says nothing of it, where a rate counts each, and where it may run once only', () => {
    const maps = new Maps();
    maps.put(3);
    expect(maps.rig.queue.take(aHolder(), undefined, 0)?.input).toBe('0-1');
    maps.rig.queue.configure(
      {
        maxSize: Infinity,
        maxBytes: Infinity,
        keepRecords: { count: 9, age: 9, bytes: 9 },
        rules: { rateLimit: { max: 5, per: 1 } },
      },
      0,
    );
    expect(maps.take(aWorker(2))?.input).toBe('1-2');
  });

  test('limits and counts are those of the inputs', () => {
    const maps = new Maps();
    maps.put(10);
    expect(maps.rig.queue.pending).toBe(10);
    const task = maps.take(aWorker(4)) as Task;
    expect([maps.rig.queue.count(State.ready), maps.rig.queue.count(State.leased)]).toEqual([6, 4]);
    expect(maps.rig.complete(task)).toBe('lost');
    expect(maps.rig.fail(task)).toBe('lost');
    maps.look();
  });
});

describe('what is cut out of a leased range', () => {
  function leased(count: number) {
    const maps = new Maps();
    const bundle = maps.put(count);
    const worker = aWorker(count);
    return { maps, bundle, worker, task: maps.take(worker) as Task };
  }

  test('one that fails has attempts of its own, under its own lease', () => {
    const { maps, bundle, worker, task } = leased(4);
    maps.succeed(worker, task, 1);
    const { mapped } = maps.rig.queue;
    expect(mapped.apart(worker, 4, 0)).toBeUndefined();
    const apart = mapped.apart(worker, 2, 0) as Task;
    expect([apart.number, apart.lease, apart.input]).toEqual([2, 2, '1-2']);
    expect([...worker.leases.keys()]).toEqual([1, 2]);
    expect(maps.rig.fail(apart)).toBe('done');
    maps.succeed(worker, task, 2);
    maps.look();
    expect(bundle.outcomes).toEqual([['succeeded'], ['failed'], ['succeeded'], ['succeeded']]);
    expect(maps.rig.queue.unfinished).toBe(0);
  });

  test('the first one, too: then the others are another range', () => {
    const { maps, worker, task } = leased(3);
    expect(maps.rig.queue.mapped.apart(worker, 1, 0)).toBe(task);
    expect([...worker.leases].map(([lease, { input }]) => [lease, input])).toEqual([
      [1, '0-1'],
      [2, '1-3'],
    ]);
    maps.look();
  });

  test('the rest comes back un-started, in its old place, and what was done is not done again', () => {
    const { maps, bundle, worker, task } = leased(5);
    maps.put(1);
    maps.succeed(worker, task, 2);
    expect(maps.rig.queue.giveBack(worker, 1, 0)).toBe('lost');
    expect(maps.rig.queue.giveBack(worker, 4, 0)).toBe('done');
    expect(maps.rig.queue.giveBack(worker, 4, 0)).toBe('lost');
    maps.succeed(worker, task, 1);
    expect(worker.leases.size).toBe(0);
    const other = aWorker(9);
    const rest = maps.take(other) as Task;
    expect([rest.number, rest.input, rest.attempt]).toEqual([4, '3-5', 0]);
    maps.succeed(other, rest, 2);
    maps.look();
    expect(bundle.outcomes.every((outcomes) => outcomes.length === 1)).toBe(true);
  });

  test('Q11 a lost worker: what it may have been at counts a death, the rest does not, and all of it goes carefully', () => {
    const { maps, worker, task } = leased(6);
    maps.succeed(worker, task, 2);
    maps.rig.queue.mapped.breakUp(worker, 4, 0);
    expect([...worker.leases].map(([lease, { input }]) => [lease, input])).toEqual([
      [3, '2-3'],
      [4, '3-4'],
    ]);
    for (const [lease] of [...worker.leases]) maps.rig.queue.lose(worker, lease, true, lost, 0, false);
    maps.look();
    const again = aWorker(9);
    const inputs = [];
    for (let next = maps.take(again); next !== undefined; next = maps.take(again))
      inputs.push([next.input, next.deaths]);
    expect(inputs).toEqual([
      ['2-3', 1],
      ['3-4', 1],
      ['4-5', 0],
      ['5-6', 0],
    ]);
  });

  test('cancelled are those without an outcome', () => {
    const { maps, bundle, worker, task } = leased(3);
    maps.succeed(worker, task, 1);
    expect(maps.rig.cancel(task)).toBe(true);
    maps.look();
    expect(bundle.outcomes).toEqual([['succeeded'], ['failed'], ['failed']]);
    expect(maps.rig.revoked.map(({ lease }) => lease)).toEqual([2]);
    expect([maps.rig.queue.count(State.succeeded), maps.rig.queue.count(State.cancelled)]).toEqual([1, 2]);
  });
});

test('whatever happens, each input has one outcome', () => {
  const step = fc.record({
    what: fc.constantFrom('put', 'single', 'take', 'succeed', 'fail', 'back', 'lose', 'cancel', 'apart'),
    size: fc.integer({ min: 1, max: 9 }),
    which: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
      const maps = new Maps();
      const { queue } = maps.rig;
      const bundles: Bundle[] = [];
      let workers = [aWorker(1), aWorker(3), aWorker(7)];
      const pick = <T>(from: readonly T[], which: number): T | undefined => from[which % Math.max(1, from.length)];
      const run = ({ what, size, which }: { what: string; size: number; which: number }): void => {
        const worker = pick(workers, which) as Worker;
        const task = pick([...worker.leases.values()], which);
        const part = task?.rules?.part;
        if (what === 'put') bundles.push(maps.put(size * 3, which % 3));
        else if (what === 'single') maps.rig.put();
        else if (what === 'take') maps.take(worker);
        else if (what === 'cancel') {
          const any = pick([...(pick(bundles, which)?.tasks ?? [])], which);
          if (any !== undefined) queue.cancel(any, cancelled, 0);
        } else if (what === 'lose') {
          queue.mapped.breakUp(worker, [...worker.leases.keys()].at(size % 3) ?? 0, 0);
          for (const [lease] of [...worker.leases]) queue.lose(worker, lease, which % 2 === 0, lost, 0, size > 4);
          workers = workers.map((one) => (one === worker ? aWorker(size) : one));
        } else if (task !== undefined && part === undefined) maps.rig.complete(task);
        else if (task !== undefined && part !== undefined) {
          const next = task.lease + part.done;
          if (what === 'succeed' && part.count === 1) maps.rig.complete(task);
          else if (what === 'succeed') maps.succeed(worker, task, Math.min(size, part.open));
          else if (what === 'back') queue.giveBack(worker, next + (which % part.open), 0);
          else {
            // One that is apart already is as it is.
            const apart = part.count === 1 ? task : (queue.mapped.apart(worker, next, 0) as Task);
            if (what === 'fail') queue.fail(endOf(apart), failed(), false, 0);
          }
        }
      };
      for (const one of steps) {
        run(one);
        maps.look();
      }
      // All that is left is run out.
      for (const worker of workers) {
        for (;;) {
          const [task] = worker.leases.values();
          const next = task ?? maps.take(worker);
          if (next === undefined) break;
          const part = next.rules?.part;
          if (part === undefined || part.count === 1) {
            maps.rig.complete(next);
          } else maps.succeed(worker, next, part.open);
          maps.look();
        }
      }
      expect(queue.unfinished).toBe(0);
      for (const { outcomes, tasks } of bundles) {
        expect(outcomes.map(({ length }) => length)).toEqual(outcomes.map(() => 1));
        expect(tasks.size).toBe(0);
      }
    }),
    { numRuns: 300, ...(process.env['QM_SEED'] === undefined ? {} : { seed: Number(process.env['QM_SEED']) }) },
  );
});
