/** What the types of shared objects infer and refuse, those of custom types above all. Compiled, never run. */
import type { Client, CounterProxy, DictProxy, Feed, QueueProxy, TopicProxy } from 'quartermaster';

/** Takes what is a `T`, and nothing else. */
declare function is<T>(value: T): void;

declare const client: Client;

// Values: with `initial` there is always one.
is<number>(await client.value('n', 1).get());
// @ts-expect-error no initial
is<number>(await client.value<number>('n').get());
is<boolean>(await client.value('n', 1).compareAndSet(1, 2));
// @ts-expect-error a string is no number
await client.value('n', 1).set('x');

const dict: DictProxy<number, { x: string }> = client.dict<number, { x: string }>('d');
is<{ x: string } | undefined>(await dict.get(1));
// @ts-expect-error keys are numbers
await dict.get('1');
// @ts-expect-error keys are scalars
client.dict<{ x: number }, string>('d');
is<bigint>(await client.dict('d').increment('k', 1n));

const queue: QueueProxy<string> = client.queue<string>('q', { maxSize: 3, order: 'lifo' });
is<string | undefined>(await queue.getNowait());
// @ts-expect-error it may be empty
is<string>(await queue.getNowait());
// @ts-expect-error no such order
client.queue('q', { order: 'random' });
const counter: CounterProxy = client.counter('c', { initial: 3 });

// A guard makes a write conditional.
const guard = await client.lock('l').acquire({ timeout: 5 });
await dict.set(1, { x: 'a' }, { guard });
await counter.add(1, { guard });
is<bigint>(guard.token);
// @ts-expect-error undefined while somebody else has it
is<bigint>((await client.lock('l').tryAcquire()).token);

// Custom types: every public method of the class, as an async one.
class Child {
  hi() {
    return 1;
  }
}
class Bank {
  #x = 1;
  private secret() {
    return this.#x;
  }
  _hidden() {
    return this.secret();
  }
  balance = 0;
  deposit(n: number) {
    return this.balance + n;
  }
  async slow(k: string) {
    return k.length;
  }
  child() {
    return new Child();
  }
  // oxlint-disable-next-line unicorn/no-thenable -- what proxies must not be
  then() {}
  name() {
    return 'bank';
  }
  get g() {
    return 1;
  }
  async pick<K extends 'a' | 'b'>(k: K): Promise<K> {
    return k;
  }
  over(a: string): string;
  over(a: number): number;
  over(a: any): any {
    return a;
  }
}
const bank = client.object<Bank, 'child'>('Bank');
is<number>(await bank.deposit(1));
is<number>(await bank.slow('x'));
is<number>(await (await bank.child()).hi());
is<'a'>(await bank.pick('a'));
is<string | undefined>(bank.name);
// @ts-expect-error a string is no number
await bank.deposit('1');
// @ts-expect-error private
bank.secret();
// @ts-expect-error begins with _
bank._hidden();
// @ts-expect-error never exposed
bank.then();
// @ts-expect-error no method
is<number>(bank.balance);
// @ts-expect-error no method
is<number>(bank.g);
// @ts-expect-error overloads keep only the last signature
is<string>(await bank.over('a'));
await bank.withLock(async (held) => {
  const after: number = await held.deposit(1);
  return after;
});
is<number>(await counter.withLock(async (held) => held.add(1), { holdTimeout: 1_000 }));

// Watching and topics.
for await (const change of dict.watch(1, { signal: new AbortController().signal })) {
  is<number>(change.key);
  is<{ x: string } | undefined>(change.value);
  is<number>(change.version + change.session + (change.missed ?? 0));
  // @ts-expect-error deleted, there is none
  is<{ x: string }>(change.value);
}
// @ts-expect-error keys are numbers
dict.watch('1');
for await (const { value } of client.value('n', 1).watch()) is<number | undefined>(value);
const topic: TopicProxy<string> = client.topic<string>('t');
is<number>(await topic.publish('x', { to: 'ada' }));
// @ts-expect-error a number is no string
await topic.publish(1);
// @ts-expect-error a topic has a name
client.topic();
for await (const value of topic.subscribe()) is<string>(value);
const feed: Feed<string> = topic.subscribe();
is<string[]>(await feed.toArray());
is<number>(feed.missed);

// Generators, iterators and async iterables give what they yield.
class Table {
  *rows(n: number) {
    yield n;
  }
  async *stream() {
    yield 'a';
  }
  values(): MapIterator<bigint> {
    return new Map<string, bigint>().values();
  }
  source(): AsyncIterable<Date> {
    return this.source();
  }
  *children() {
    yield new Child();
  }
  list() {
    return [1];
  }
  anything(): any {
    return 1;
  }
}
const table = client.object<Table, 'children'>('Table');
for await (const row of table.rows(1)) is<number>(row);
for await (const row of table.stream()) is<string>(row);
is<number[]>(await table.rows(1).toArray());
is<bigint[]>(await table.values().toArray());
is<Date[]>(await table.source().toArray());
for await (const child of table.children()) is<number>(await child.hi());
is<number[]>(await table.list());
is<string>(table.anything());
// @ts-expect-error a string is no number
table.rows('1');
// @ts-expect-error rows are numbers
is<string[]>(await table.rows(1).toArray());
// @ts-expect-error no generator
is<AsyncIterable<number>>(table.list());
