/** What the rules make the core remember beside its tasks: counted, not measured. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Admission } from '#qm/queue/admission.js';
import { Amounts } from '#qm/queue/amounts.js';
import type { Offer } from '#qm/queue/demands.js';
import type { QueueRules, TaskRules } from '#qm/queue/rules.js';
import { Task } from '#qm/queue/task.js';
import { hashOf, Texts } from '#qm/queue/texts.js';
import { Timers } from '#qm/queue/timers.js';
import { aHolder, QueueRig } from './rig.ts';

class Rig {
  readonly timers = new Timers(() => {});
  readonly admission = new Admission(
    new Amounts(),
    this.timers,
    () => {},
    () => {},
  );
  #number = 0;

  constructor(rules: QueueRules) {
    this.admission.configure(rules, [], 0);
  }

  put(asked: TaskRules, now: number): void {
    const task = new Task(++this.#number, undefined, 'work', 0, 'input', 1, 0, 3);
    this.admission.enter(task, asked);
    this.admission.add(task, now);
  }

  /** Takes and ends all that it gets; how many. */
  drain(offer: Offer, now: number): number {
    let count = 0;
    for (let task = this.admission.take(offer, now); task; task = this.admission.take(offer, now)) {
      this.admission.ended(task, offer, true, now);
      this.admission.exit(task, now);
      count++;
    }
    return count;
  }

  get counts() {
    const { keys, demands, ...parts } = this.admission.parts;
    const groups = [...parts.groups];
    const cells = groups.reduce((sum, group) => sum + group.cells.size, 0);
    return { keys: keys.size, groups: groups.length, classes: [...demands.values()].length, cells };
  }
}

test('Q11 a million keys and groups that are used once leave nothing behind but a thousand groups', () => {
  const rig = new Rig({ keyConcurrency: 1, rateLimit: { max: 2, per: 10, keyed: true } });
  const offer = rig.admission.enrol({});
  let now = 0;
  for (let wave = 0; wave < 1000; wave++) {
    now = wave * 100;
    for (let i = 0; i < 1000; i++) rig.put({ key: `k${wave} ${i}`, group: `g${wave} ${i}` }, now);
    expect(rig.drain(offer, now)).toBe(1000);
  }
  // What a key has used within its rate is remembered until that is over, and forgotten though nothing else happens.
  expect(rig.counts.keys).toBeGreaterThan(0);
  expect(rig.timers.size).toBe(1);
  for (let timer = rig.timers.due(now + 50); timer; timer = rig.timers.due(now + 50)) rig.admission.rested(now + 50);
  expect(rig.counts).toEqual({ keys: 0, groups: 1001, classes: 0, cells: 1 });
  expect(rig.timers.size).toBe(0);
});

test('Q11 a key whose tasks have ended is forgotten, and so is a class', () => {
  const rig = new Rig({ keyConcurrency: 1 });
  const offer = rig.admission.enrol({ tags: ['a', 'b'] });
  for (let i = 0; i < 100; i++) rig.put({ key: `k${i}`, tags: i % 2 === 0 ? ['a'] : ['b', 'a'] }, 0);
  expect(rig.counts).toEqual({ keys: 100, groups: 1, classes: 2, cells: 3 });
  expect(rig.drain(offer, 0)).toBe(100);
  expect(rig.counts).toEqual({ keys: 0, groups: 1, classes: 0, cells: 1 });
});

test('a key that rests is used again within its rate, and is forgotten after its last use', () => {
  const rig = new Rig({ rateLimit: { max: 1, per: 10, keyed: true } });
  const offer = rig.admission.enrol({});
  const take = (now: number, ...keys: string[]): number => {
    for (const key of keys) rig.put({ key }, now);
    return rig.drain(offer, now);
  };
  const rest = (now: number): number => {
    for (let timer = rig.timers.due(now); timer; timer = rig.timers.due(now)) {
      if (timer.kind === 'rest') rig.admission.rested(now);
      else rig.admission.due(timer.of as never, now);
    }
    return rig.counts.keys;
  };
  expect(take(0, 'again', 'once')).toBe(2);
  expect(take(50, 'again')).toBe(0);
  expect(rest(99)).toBe(2);
  expect(rest(100)).toBe(1);
  expect(take(100)).toBe(1);
  expect(rest(199)).toBe(1);
  expect(rest(200)).toBe(0);
  expect(rig.timers.size).toBe(0);
});

test('keys that rest are forgotten when the queue gets other rules', () => {
  const rig = new Rig({ rateLimit: { max: 1, per: 10, keyed: true } });
  const offer = rig.admission.enrol({});
  rig.put({ key: 'k' }, 0);
  expect(rig.drain(offer, 0)).toBe(1);
  expect(rig.counts.keys).toBe(1);
  rig.admission.configure({}, [], 1);
  expect(rig.counts.keys).toBe(0);
  rig.put({ key: 'k' }, 2);
  expect(rig.drain(offer, 2)).toBe(1);
  expect(rig.counts.keys).toBe(0);
});

test('a queue whose rule is a rate for each key wants to know when the last one can be forgotten', () => {
  const rig = new QueueRig({ rules: { rateLimit: { max: 1, per: 10, keyed: true } } });
  rig.put({ rules: { key: 'k' } });
  rig.complete(rig.take());
  expect(rig.queue.nextWake()).toBe(100);
  rig.queue.tick(100);
  expect(rig.queue.nextWake()).toBe(Infinity);
  expect(rig.queue.take(aHolder(), undefined, 100)).toBeUndefined();
});

test('a table by text does what a map does, however hashes collide', () => {
  const step = fc.record({ add: fc.boolean(), text: fc.nat({ max: 150 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), fc.constantFrom(3, 63, 1 << 20), (steps, spread) => {
      const table = new Texts<{ text: string; hash: number }>();
      const map = new Map<string, { text: string; hash: number }>();
      const hash = (text: string): number => (hashOf(text) & spread) + 1;
      for (const { add, text: number } of steps) {
        const text = `k${number}`;
        const entry = map.get(text);
        if (add && entry === undefined) {
          const made = { text, hash: hash(text) };
          table.add(made);
          map.set(text, made);
        } else if (!add && entry !== undefined) {
          table.delete(entry);
          map.delete(text);
        } else if (entry === undefined) {
          table.delete({ text, hash: hash(text) });
        }
        expect(table.size).toBe(map.size);
      }
      for (let i = 0; i <= 150; i++) expect(table.get(`k${i}`, hash(`k${i}`))).toBe(map.get(`k${i}`));
      expect(new Set(table.values())).toEqual(new Set(map.values()));
    }),
  );
});

test('a table by text that was large and has emptied takes little to walk through', () => {
  const table = new Texts<{ text: string; hash: number }>();
  const entries = Array.from({ length: 5000 }, (_, i) => ({ text: `k${i}`, hash: hashOf(`k${i}`) }));
  for (const entry of entries) table.add(entry);
  for (const entry of entries) expect(table.get(entry.text, entry.hash)).toBe(entry);
  for (const entry of entries) table.delete(entry);
  expect([table.size, [...table.values()]]).toEqual([0, []]);
  expect(hashOf('a')).not.toBe(hashOf('b'));
});
