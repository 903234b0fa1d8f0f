/**
 * Which unnamed objects must be alive, under random steps of several sessions: beside the manager a model that knows
 * who has a proxy of what and what names what, and walks all of it. A failure prints the seed and the shortest
 * sequence of steps that shows it.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Client, DictProxy, QueueProxy } from 'quartermaster';
import { arrived, lose } from '../kit/arrived.ts';
import { freshName, openManager, type Setting, type TestManager } from '../kit/managers.ts';

const SESSIONS = 3;
const settings: [Setting, number][] = [
  ['memory', 150],
  ['socket', 40],
];

/** A dict, unnamed but for the root. What its values name, by key. */
interface Thing {
  readonly id: number;
  readonly values: Map<number, readonly Thing[]>;
}
type Node = DictProxy<number, readonly Node[]>;
interface Proxy {
  readonly thing: Thing;
  readonly node: Node;
}

class World {
  readonly root: Thing = { id: 0, values: new Map() };
  readonly queued: (readonly Thing[])[] = [];
  readonly clients: Client[] = [];
  /** By session: the proxies that it has; the root's is the first. */
  readonly proxies: Proxy[][] = [];
  readonly #manager: TestManager;
  readonly #observer: Client;
  readonly #name = freshName('root');
  readonly #things = new Map<number, Thing>();

  constructor(manager: TestManager, observer: Client) {
    this.#manager = manager;
    this.#observer = observer;
  }

  async join(session: number): Promise<void> {
    const client = await this.#manager.client();
    this.clients[session] = client;
    this.proxies[session] = [{ thing: this.root, node: client.dict(this.#name) }];
  }

  async die(session: number): Promise<void> {
    await lose(this.clients[session]!, this.#observer);
    await this.join(session);
  }

  queue(session: number): QueueProxy<readonly Node[]> {
    return this.clients[session]!.queue(`${this.#name}-queue`);
  }

  async make(session: number): Promise<void> {
    const node: Node = this.clients[session]!.dict();
    await node.size();
    const id = Math.max(...(await this.alive()));
    const thing = { id, values: new Map() };
    this.#things.set(id, thing);
    this.proxies[session]!.push({ thing, node });
  }

  /** Proxies that came as a value. Each must work, and be of what the model says. */
  async take(session: number, nodes: readonly Node[], things: readonly Thing[]): Promise<void> {
    expect(nodes).toHaveLength(things.length);
    for (const [i, node] of nodes.entries()) {
      const thing = things[i]!;
      expect((await node.keys()).sort()).toEqual([...thing.values.keys()].sort());
      // What was named twice comes as one proxy.
      const have = this.proxies[session]!;
      if (!have.some((proxy) => proxy.node === node)) have.push({ thing, node });
    }
  }

  /** What the manager has, in the order in which it was made. */
  async alive(): Promise<number[]> {
    const dicts = await this.#observer.inspect.objects({ typeId: 'dict', unnamed: true });
    return dicts.map(({ id }) => id);
  }

  expected(): number[] {
    const found = new Set<Thing>([this.root, ...this.proxies.flat().map(({ thing }) => thing), ...this.queued.flat()]);
    for (const thing of found) for (const named of [...thing.values.values()].flat()) found.add(named);
    found.delete(this.root);
    return Array.from(found, ({ id }) => id).sort((a, b) => a - b);
  }

  /** What is on its way to a client may live a little longer, and nothing shorter. */
  async check(): Promise<void> {
    const expected = this.expected();
    for (let round = 0; round < 20; round++) {
      const alive = await this.alive();
      expect(alive).toEqual(expect.arrayContaining(expected));
      if (alive.length === expected.length) return;
      for (const client of this.clients) await arrived(client);
      await new Promise(setImmediate);
    }
    expect(await this.alive()).toEqual(expected);
  }
}

async function managerOfRun(setting: Setting): Promise<TestManager & AsyncDisposable> {
  const manager = await openManager(setting);
  return { ...manager, [Symbol.asyncDispose]: () => manager.close() };
}

const session = fc.nat(SESSIONS - 1);
const which = fc.nat(20);
const some = fc.array(which, { maxLength: 3 });
const key = fc.nat(2);
const step = fc.oneof(
  fc.record({ do: fc.constant('make' as const), session }),
  fc.record({ do: fc.constant('set' as const), session, which, key, some, dispose: fc.boolean() }),
  fc.record({ do: fc.constant('set' as const), session, which, key, some, dispose: fc.boolean() }),
  fc.record({ do: fc.constant('get' as const), session, which, key }),
  fc.record({ do: fc.constant('pop' as const), session, which, key }),
  fc.record({ do: fc.constant('clear' as const), session, which }),
  fc.record({ do: fc.constant('dispose' as const), session, which }),
  fc.record({ do: fc.constant('dispose' as const), session, which }),
  fc.record({ do: fc.constant('put' as const), session, some, dispose: fc.boolean() }),
  fc.record({ do: fc.constant('take' as const), session }),
  fc.record({ do: fc.constant('die' as const), session }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function run(world: World, step: Step): Promise<void> {
  const { session } = step;
  const proxies = world.proxies[session]!;
  const pick = (which: number): Proxy => proxies[which % proxies.length]!;
  /** Not the root's: it is always needed. */
  const dispose = async (proxy: Proxy): Promise<void> => {
    const at = proxies.indexOf(proxy);
    if (at <= 0) return;
    proxies.splice(at, 1);
    await proxy.node.dispose();
  };
  switch (step.do) {
    case 'make':
      return world.make(session);
    case 'set': {
      const [holder, named] = [pick(step.which), step.some.map(pick)];
      const stored = holder.node.set(
        step.key,
        named.map(({ node }) => node),
      );
      // Before the answer is there.
      if (step.dispose) await Promise.all(named.map(dispose));
      await stored;
      holder.thing.values.set(
        step.key,
        named.map(({ thing }) => thing),
      );
      return;
    }
    case 'get':
    case 'pop': {
      const { node, thing } = pick(step.which);
      const things = thing.values.get(step.key);
      if (step.do === 'pop') thing.values.delete(step.key);
      const nodes = await node[step.do](step.key);
      if (things !== undefined) await world.take(session, nodes!, things);
      return;
    }
    case 'clear': {
      const { node, thing } = pick(step.which);
      thing.values.clear();
      return node.clear();
    }
    case 'dispose':
      return dispose(pick(step.which));
    case 'put': {
      const named = step.some.map(pick);
      const put = world.queue(session).put(named.map(({ node }) => node));
      if (step.dispose) await Promise.all(named.map(dispose));
      await put;
      world.queued.push(named.map(({ thing }) => thing));
      return;
    }
    case 'take': {
      const nodes = await world.queue(session).getNowait();
      const things = world.queued.shift();
      if (things !== undefined) await world.take(session, nodes!, things);
      return;
    }
    case 'die':
      return world.die(session);
  }
}

test.each(settings)(
  'X5 unnamed objects are alive exactly while something leads to them (%s)',
  { timeout: 120_000 },
  async (setting, numRuns) => {
    const property = fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
      // Each with a manager of its own: what one leaves behind is not the next one's.
      await using manager = await managerOfRun(setting);
      const observer = await manager.client();
      const world = new World(manager, observer);
      for (let each = 0; each < SESSIONS; each++) await world.join(each);
      for (const each of steps) {
        await run(world, each);
        await world.check();
      }
      for (let each = 0; each < SESSIONS; each++) {
        await world.queue(each).shutdown({ immediate: true });
        await world.proxies[each]![0]!.node.clear();
        await world.clients[each]!.close();
      }
      world.root.values.clear();
      world.queued.length = 0;
      world.clients.length = 0;
      world.proxies.length = 0;
      await world.check();
    });
    await fc.assert(property, { numRuns });
  },
);
