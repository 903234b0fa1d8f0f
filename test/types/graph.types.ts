/** What the types of job graphs infer and refuse. Compiled, never run. */
import { type GraphRun, JobGraph, type JobRef, type TaskHandle, type TaskQueueProxy } from 'quartermaster';
import type tasks from './tasks.ts';
import type { Id } from './tasks.ts';

/** Takes what is a `T`, and nothing else. */
declare function is<T>(value: T): void;

type H = typeof tasks;
const g = new JobGraph<H>();

const now: JobRef<number> = g.add('now');
g.add('now', undefined, { after: [now] });
g.add('now', undefined, { tags: ['gpu'], resources: { memory: 1 }, key: 'k', delay: 5, backoff: { base: 1 } });
// @ts-expect-error a list of tags
g.add('now', undefined, { tags: 'gpu' });
g.add('maybe');
g.add('maybe', 3);
// @ts-expect-error input missing
g.add('inc');
// @ts-expect-error unknown task
g.add('nope', 1);

const odd = g.add('isOdd', 3);
g.add('gate', { ok: odd });
declare const stringOrNumber: JobRef<string | number>;
g.add('either', { v: stringOrNumber });
g.add('either', { v: now });
g.add('bytes', { b: new Uint8Array(1), when: new Date(), m: new Map() });
g.add('inc', { i: 1 }, { after: [odd, 'x'], keep: true, id: 'one', priority: 1, retries: 2 });
// @ts-expect-error boolean where number is wanted
g.add('inc', { i: odd });
// @ts-expect-error not one of the three
g.add('inc', { i: 1 }, { onFailure: 'retry' });
g.add('inc', { i: 1 }, { onFailure: 'ignore' });

const grown = g.add('grow', 1);
g.add('upper', grown);
declare const string: JobRef<string>;
// @ts-expect-error references are not interchangeable
is<JobRef<number>>(string);

g.add('opt', {});
g.add('opt', { a: string });
declare const wholeInput: JobRef<{ i: number }>;
g.add('inc', wholeInput);
g.add('tuple', [now, string]);
g.add('all', { parts: [string, 'x', grown], by: { a: now } });
declare const parts: JobRef<string[]>;
g.add('all', { parts, by: {} });
g.add('json', { a: [string, { b: now }] });
g.add('json', string);
// @ts-expect-error no output is no string
g.add('upper', g.add('nothing', { i: 1 }));
g.add('union', { kind: 'a', a: now });
// @ts-expect-error wrong arm
g.add('union', { kind: 'b', b: now });
g.add('brand', { id: 'x' as Id });
// @ts-expect-error unbranded
g.add('brand', { id: 'x' });
g.add('anyIn', { x: string });
g.add('anyIn');

// A handle is an edge too.
declare const handle: TaskHandle<boolean>;
g.add('gate', { ok: handle }, { after: [handle] });
// @ts-expect-error boolean where number is wanted
g.add('inc', { i: handle });
g.add('opt', {}, { after: [grown, handle] });

// What a run gives has the types of its jobs.
declare const queue: TaskQueueProxy<H>;
const run: GraphRun = queue.runGraph(g);
is<string>(await run.output(grown));
// @ts-expect-error a boolean
is<string>(await run.output(odd));
is<Record<string, unknown>>(await run.result({ timeout: 5 }));
for await (const { done, total } of run.progress()) is<number[]>([done, total]);

// Without a type argument every name and input goes; with one, graphs are not interchangeable.
const loose = new JobGraph();
loose.add('whatever', 1);
loose.add('whatever');
const back: JobGraph<H> = JobGraph.fromJSON<H>({});
queue.runGraph(back);
// @ts-expect-error handlers of another module
queue.runGraph(new JobGraph<{ other: (input: string) => number }>());
