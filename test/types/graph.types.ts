/** What the types of job graphs infer and refuse. Compiled, never run. */
import {
  type GraphRun,
  JobGraph,
  type JobOptions,
  type JobRef,
  type TaskHandle,
  type TaskQueueProxy,
} from 'quartermaster';
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

// What may fail and be ignored may be undefined where it is consumed.
const ignored: JobRef<string | undefined> = g.add('upper', 'x', { onFailure: 'ignore' });
// @ts-expect-error it may be undefined
g.add('upper', ignored);
g.add('opt', { a: ignored }, { after: [ignored] });
g.add('upper', g.add('upper', 'x', { onFailure: 'skip' }));
g.add('upper', g.add('upper', 'x', { onFailure: 'fail', retries: 1 }));
declare const options: JobOptions;
// @ts-expect-error whatever these are, it may be undefined
g.add('upper', g.add('upper', 'x', options));
// @ts-expect-error a string is wanted, whatever becomes of failures
g.add('upper', 3, { onFailure: 'ignore' });
// @ts-expect-error the input is missing
g.add('inc', undefined, { onFailure: 'ignore' });
// @ts-expect-error deep inside, a boolean where a number is wanted
g.add('all', { parts: [], by: { a: odd } });
// @ts-expect-error deep inside, a list of numbers where strings are wanted
g.add('all', { parts: [now], by: {} });
// @ts-expect-error the second of the two is a string
g.add('tuple', [now, now]);
// @ts-expect-error no function is an input
g.add('upper', () => 'x');
// @ts-expect-error not a job of this type
g.add('inc', { i: 1 }, { after: [3] });

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
is<string | undefined>(await run.output(ignored));
is<number>(await run.retryFailed());
queue.runGraph(g, { id: 'run', onFailure: 'stop', concurrency: 2, durations: 'file', signal: AbortSignal.timeout(1) });
// @ts-expect-error of a run it is stop or keep-going
queue.runGraph(g, { onFailure: 'ignore' });
for await (const { done, total } of run.progress()) is<number[]>([done, total]);

// Without a type argument every name and input goes; with one, graphs are not interchangeable.
const loose = new JobGraph();
loose.add('whatever', 1);
loose.add('whatever');
const back: JobGraph<H> = JobGraph.fromJSON<H>({});
queue.runGraph(back);
// @ts-expect-error handlers of another module
queue.runGraph(new JobGraph<{ other: (input: string) => number }>());
