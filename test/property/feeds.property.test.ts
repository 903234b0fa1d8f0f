/**
 * Watchers of a dict under random changes, readings, leavings and deaths, step by step beside a model: every change is
 * seen exactly once and in the order of its version, or counted as missed. A failure prints the seed and the shortest
 * sequence of steps that shows it.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Client, DictChange, Feed } from 'quartermaster';
import { arrived, lose } from '../kit/arrived.ts';
import { freshName, managerOfTest, type Setting } from '../kit/managers.ts';
import { Random } from '../kit/random.ts';

const KEYS = ['a', 'b', 'c'];
/** Some of these fill a window, more of them a feed. */
const LARGE = 400_000;

type Plain = string | number | undefined;

interface Made {
  readonly key: string;
  readonly value: Plain;
  readonly deleted: boolean;
  readonly version: number;
  readonly session: number;
}

/** The dict as it must be, and all changes so far. */
class Model {
  readonly entries = new Map<string, Plain>();
  readonly changes: Made[] = [];

  set(session: number, key: string, value: Plain): void {
    this.entries.set(key, value);
    this.changes.push({ key, value, deleted: false, version: this.changes.length + 1, session });
  }

  delete(session: number, key: string): void {
    if (!this.entries.delete(key)) return;
    this.changes.push({ key, value: undefined, deleted: true, version: this.changes.length + 1, session });
  }
}

/** One watcher: what it should have seen since it began, and how far it has read. */
class Watcher {
  readonly key: string | undefined;
  readonly #model: Model;
  readonly #from: number;
  readonly #feed: Feed<DictChange<string, Plain>>;
  readonly #reading: AsyncIterator<DictChange<string, Plain>>;
  /** Changes of its key that it has seen or been told it missed. */
  #at = 0;
  missed = 0;

  constructor(model: Model, feed: Feed<DictChange<string, Plain>>, key: string | undefined) {
    this.key = key;
    this.#model = model;
    this.#from = model.changes.length;
    this.#feed = feed;
    this.#reading = feed[Symbol.asyncIterator]();
  }

  get #due(): Made[] {
    return this.#model.changes.slice(this.#from).filter(({ key }) => this.key === undefined || key === this.key);
  }

  /** Reads so many, or all that there are. */
  async read(count: number): Promise<void> {
    const due = this.#due;
    for (let i = 0; i < count && this.#at < due.length; i++) {
      const { value: change, done } = await this.#reading.next();
      expect(done).toBe(false);
      const seen = change as DictChange<string, Plain>;
      this.#at += seen.missed ?? 0;
      this.missed += seen.missed ?? 0;
      const { key, value, deleted, version, session } = due[this.#at++]!;
      const expected = deleted ? { key, version, session } : { key, value, version, session };
      expect(seen).toStrictEqual(seen.missed === undefined ? expected : { ...expected, missed: seen.missed });
    }
    expect(this.#feed.missed).toBe(this.missed);
  }

  close(): Promise<void> {
    return this.#feed.close();
  }
}

const session = fc.nat(1);
const key = fc.constantFrom(...KEYS);
const value = fc.oneof(fc.integer(), fc.string(), fc.constant(undefined), fc.constant('x'.repeat(LARGE)));
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('set' as const), session, key, value }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('setMany' as const),
      session,
      entries: fc.array(fc.tuple(key, value), { maxLength: 40 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('flood' as const), session, key, count: fc.nat(15) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('delete' as const, 'pop' as const), session, key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), session }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('watch' as const), key: fc.option(key, { nil: undefined }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), watcher: fc.nat(9), count: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), watcher: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), session }) },
);

/** A watcher that reads nothing of more than a feed keeps, until the end: it is told what it missed, whatever else is drawn. */
const overrun: (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[] = [
  { do: 'watch', key: undefined },
  ...Array.from({ length: 2 }, () => ({ do: 'flood' as const, session: 0, key: 'a', count: 15 })),
];

describe.each([
  ['memory', 150],
  ['socket', 50],
] as [Setting, number][])('over %s', (setting, numRuns) => {
  test('watchers see every change once, in the order of versions, or are told how many they missed', async () => {
    const manager = await managerOfTest(setting);
    const [observer, reader] = [await manager.client(), await manager.client()];
    let missed = 0;
    const run = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const name = freshName('dict');
      const model = new Model();
      const authors: Client[] = [await manager.client(), await manager.client()];
      const watched = reader.dict<string, Plain>(name);
      let watchers: Watcher[] = [];
      const all: Watcher[] = [];
      for (const step of steps) {
        const author = 'session' in step ? authors[step.session]! : reader;
        const dict = author.dict<string, Plain>(name);
        switch (step.do) {
          case 'set':
            await dict.set(step.key, step.value);
            model.set(author.session, step.key, step.value);
            break;
          case 'setMany':
            await dict.setMany(step.entries);
            for (const [at, each] of step.entries) model.set(author.session, at, each);
            break;
          case 'flood': {
            const entries = Array.from({ length: step.count }, (_, i) => [step.key, `${i}`.padStart(LARGE)] as const);
            await dict.setMany(entries);
            for (const [at, each] of entries) model.set(author.session, at, each);
            break;
          }
          case 'delete':
          case 'pop':
            await dict[step.do](step.key);
            model.delete(author.session, step.key);
            break;
          case 'clear':
            await dict.clear();
            for (const at of [...model.entries.keys()]) model.delete(author.session, at);
            break;
          case 'watch':
            watchers.push(new Watcher(model, watched.watch(step.key), step.key));
            all.push(watchers.at(-1)!);
            await arrived(reader);
            break;
          case 'read':
            await watchers[step.watcher % watchers.length]?.read(step.count);
            break;
          case 'leave': {
            const leaving = watchers[step.watcher % watchers.length];
            await leaving?.close();
            watchers = watchers.filter((each) => each !== leaving);
            break;
          }
          case 'die':
            await lose(author, observer);
            authors[step.session] = await manager.client();
        }
      }
      await Promise.all(watchers.map((each) => each.read(Infinity)));
      await Promise.all(watchers.map((each) => each.close()));
      for (const each of all) missed += each.missed;
      await arrived(reader);
      const { feeds } = manager.core!.sessions.get(reader.session)!;
      expect([feeds.open.size, feeds.kept]).toEqual([0, 0]);
      await watched.clear();
      await Promise.all(authors.map((author) => author.close()));
    });
    await fc.assert(run, { numRuns, endOnFailure: true, examples: [[overrun]] });
    // Both were seen: watchers that kept up, and watchers that did not.
    expect(missed).toBeGreaterThan(0);
  });
});

test('several authors at once: versions without a gap, each author in its order, and the last change is what is there', async () => {
  const random = new Random('watching several authors');
  const manager = await managerOfTest('socket');
  const clients = await Promise.all(Array.from({ length: 4 }, () => manager.client()));
  const name = freshName('dict');
  const reader = clients[0]!.dict<string, [number, number]>(name);
  const feed = reader.watch();
  await arrived(clients[0]!);
  const EACH = 3000;
  const writing = clients.map(async (client, author) => {
    const dict = client.dict<string, [number, number]>(name);
    for (let i = 0; i < EACH; i++) {
      const done = dict.set(`k${random.below(50)}`, [author, i]);
      if (random.chance(0.05)) await done;
    }
  });
  const last = new Map<string, [number, number]>();
  const next = clients.map(() => 0);
  let version = 0;
  for await (const change of feed) {
    expect(change.missed).toBe(undefined);
    expect(change.version).toBe(++version);
    const [author, i] = change.value!;
    expect(i).toBe(next[author]!++);
    expect(change.session).toBe(clients[author]!.session);
    last.set(change.key, change.value!);
    if (version === clients.length * EACH) break;
  }
  await Promise.all(writing);
  expect(await reader.snapshot()).toEqual(last);
});
