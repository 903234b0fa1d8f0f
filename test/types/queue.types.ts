/** What the types of task queues infer and refuse: put, putMany, run, tasks(), handles as edges. Compiled, never run. */
import {
  asCompleted,
  defineTasks,
  startPool,
  type Client,
  type Stream,
  type TaskHandle,
  type TaskQueueProxy,
  wait,
  work,
} from 'quartermaster';
import type tasks from './tasks.ts';

/** Takes what is a `T`, and nothing else. */
declare function is<T>(value: T): void;

type H = typeof tasks;
declare const q: TaskQueueProxy<H>;
declare const client: Client;

// Names, inputs, options.
await q.put('now');
await q.put('now', undefined, { priority: 1 });
await q.put('maybe');
await q.put('maybe', 3);
await q.put('inc', { i: 1 }, { id: 'a', after: ['b'], retries: 2, atMostOnce: true, timeout: 5 });
await q.put('inc', { i: 1 }, { timeout: 5, runTimeout: 60_000 });
await q.putNowait('inc', { i: 1 }, { priority: 1 });
// @ts-expect-error input missing
await q.put('inc');
// @ts-expect-error a string is no number
await q.put('inc', { i: 'x' });
// @ts-expect-error unknown task
await q.put('nope', 1);
await q.put('inc', { i: 1 }, { tags: ['gpu'], resources: { memory: 8e9 }, key: 'k', group: 'g', worker: 'w' });
await q.put('inc', { i: 1 }, { delay: 5, expires: 10, backoff: { base: 100, jitter: 'none' } });
// @ts-expect-error a Date
await q.put('inc', { i: 1 }, { runAt: 17 });
// @ts-expect-error the base is missing
await q.put('inc', { i: 1 }, { backoff: { factor: 2 } });
// @ts-expect-error it does not wait
await q.putNowait('inc', { i: 1 }, { timeout: 5 });

// Outputs.
const handle: TaskHandle<boolean> = await q.put('isOdd', 3);
is<boolean>(await handle.result({ timeout: 5 }));
is<string>(await q.run('grow', 1));
is<number>(await q.run('maybe'));
is<Uint8Array>(await q.run('bytes', { b: new Uint8Array(1), when: new Date(), m: new Map() }));
is<number>(await q.run('later', { ms: 1 }));
// @ts-expect-error a number
is<string>(await q.run('inc', { i: 1 }));

// A handle is an edge too.
await q.put('gate', { ok: handle }, { after: [handle] });
// @ts-expect-error boolean where number is wanted
await q.put('inc', { i: handle });
const many = await Promise.all([1, 2].map((i) => q.put('inc', { i })));
await q.put('all', { parts: [], by: Object.fromEntries(many.map((one) => [one.id, one])) });
await q.run('inc', { i: many[0]! });
// @ts-expect-error references are not interchangeable
is<TaskHandle<number>>(handle);

// Many at once.
const stream: Stream<TaskHandle<number>> = q.putMany('inc', [{ i: 1 }, { i: many[0]! }]);
for await (const one of stream) is<number>(await one.result());
const nothings = [undefined, undefined];
is<TaskHandle<number>[]>(await q.putMany('now', nothings).toArray());
async function* inputs() {
  yield { i: 1 };
}
q.putMany('inc', inputs(), { inFlight: 5, priority: 1 });
// @ts-expect-error a string is no number
q.putMany('inc', [{ i: 'x' }]);
// @ts-expect-error one id for many tasks
q.putMany('inc', [{ i: 1 }], { id: 'a' });

// tasks(): the type argument is a tasks module or its handlers.
const byHandlers = client.tasks<H>('default');
await byHandlers.put('inc', { i: 1 });
const byModule = client.tasks<typeof import('./tasks.ts')>();
await byModule.put('inc', { i: 1 });
// @ts-expect-error a string is no number
await byModule.put('inc', { i: '1' });
const loose = client.tasks();
await loose.put('whatever', 1);
await loose.put('whatever');
is<unknown>(await loose.run('whatever'));
interface ByInterface {
  a(input: number): string;
}
is<string>(await client.tasks<ByInterface>().run('a', 1));
client.tasks<H>('default', { maxSize: 10, maxBytes: 1e6, retries: 1, poisonAfter: 2, leaseTimeout: 1_000 });
client.tasks<H>('default', { runTimeout: 60_000, cancelGrace: Infinity });
client.tasks<H>('default', { keepRecords: { count: 5, bytes: 1e6 }, keepDeadLetters: { age: 1_000, bytes: Infinity } });
// @ts-expect-error there is no such bound
client.tasks<H>('default', { keepRecords: { size: 1 } });
client.tasks<H>('default', { rateLimit: { max: 1, per: 1_000, keyed: true }, policy: 'lifo', weights: { a: 2 } });
// @ts-expect-error there is no such policy
client.tasks<H>('default', { policy: 'random' });

// Taking: the name is known when the task comes, so its input is not.
const leased = await q.getNowait();
if (leased !== undefined) await leased.complete(leased.token);
// @ts-expect-error undefined where there is no task
await leased.complete();
// @ts-expect-error of any task
is<number>((await q.get({ timeout: 5 })).input);

// Handlers: as they are, typed or not.
const handlers = defineTasks({ double: (n: number) => 2 * n });
await work(client.tasks<typeof handlers>(), handlers, { concurrency: 2 });
// @ts-expect-error no handler is a string
defineTasks({ double: 'n' });
// @ts-expect-error handlers of another module
await work(client.tasks<H>(), handlers);
const grown = defineTasks({ put: (_n: number, context) => context.put<string>('inc', { i: 1 }) });
is<string>(await client.tasks<typeof grown>().run('put', 1));
// @ts-expect-error what the child outputs is a string
is<number>(await client.tasks<typeof grown>().run('put', 1));

// A broadcast: an outcome of each worker.
is<PromiseSettledResult<number>[]>(await q.broadcast('inc', { i: 1 }));
// @ts-expect-error the input is missing
await q.broadcast('inc');

// map: outputs, or outcomes.
is<Stream<number>>(q.map('inc', [{ i: 1 }]));
is<number[]>(await q.map('inc', [{ i: 1 }], { ordered: false, inFlight: 5 }).toArray());
for await (const outcome of q.map('inc', [{ i: 1 }], { onError: 'yield' })) {
  if (outcome.status === 'fulfilled') is<number>(outcome.value);
}
q.map(
  'now',
  Array.from({ length: 3 }, () => undefined),
);
// @ts-expect-error a string is no number
q.map('inc', [{ i: 'x' }]);
q.map('inc', [{ i: 1 }], { chunkSize: 5 });
q.map('inc', [{ i: 1 }], { chunkSize: 'auto' });
// @ts-expect-error no size
q.map('inc', [{ i: 1 }], { chunkSize: 'large' });
is<TaskHandle<boolean>[]>((await wait([handle], { until: 'first' })).pending);
for await (const ended of asCompleted([handle])) is<boolean>(await ended.result());
// @ts-expect-error no such moment
void wait([handle], { until: 'some' });

// Pools: the type argument is a module's type, or that of its handlers.
const pool = await startPool<{ default: H }>({ tasks: './tasks.js', workers: 2, retries: 1, concurrency: 4 });
is<number>(await pool.run('inc', { i: 1 }));
is<TaskHandle<number>>(await pool.put('inc', { i: 1 }, { priority: 1 }));
is<number[]>(await pool.map('inc', [{ i: 1 }]).toArray());
for await (const one of pool.map('inc', [{ i: 1 }], { onError: 'yield' })) {
  if (one.status === 'fulfilled') is<number>(one.value);
}
is<PromiseSettledResult<number>[]>(await pool.broadcast('now'));
is<TaskQueueProxy<H>>(pool.queue);
const ofHandlers = await startPool<H>({ tasks: './tasks.js' });
is<string>(await ofHandlers.run('upper', 's'));
// @ts-expect-error a string is no number
await pool.run('inc', { i: 'x' });
// @ts-expect-error unknown task
await pool.put('nope', 1);
// @ts-expect-error the tasks module is missing
await startPool<H>({ workers: 2 });
const untyped = await startPool({ tasks: './tasks.js' });
// @ts-expect-error without the type argument nothing can be called
await untyped.run('inc', { i: 1 });
