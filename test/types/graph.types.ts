/** What the types of job graphs infer and refuse. Compiled, never run. */
import { JobGraph } from '#qm/proxy/job-graph.js';
import { defineTasks, type JobRef, type TaskHandle } from '#qm/tasks.js';

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Id = string & { readonly __id: unique symbol };

const tasks = defineTasks({
  inc: ({ i }: { i: number }) => i + 1,
  now: () => Date.now(),
  isOdd: (n: number) => n % 2 === 1,
  gate: (_x: { ok: boolean }) => 'gated',
  either: (_x: { v: string | number }) => 1,
  bytes: (x: { b: Uint8Array; when: Date; m: Map<string, number> }) => x.b,
  grow: (_x: number): Promise<TaskHandle<string>> => Promise.reject(new Error()),
  upper: (s: string) => s.toUpperCase(),
  opt: (_x: { a?: string }) => 1,
  maybe: (x?: number) => x ?? 0,
  tuple: (_x: readonly [number, string]) => 1,
  all: (_x: { parts: string[]; by: Record<string, number> }) => 1,
  json: (x: Json) => x,
  nothing: (_x: { i: number }) => {},
  union: (_x: { kind: 'a'; a: number } | { kind: 'b'; b: string }) => 1,
  brand: (_x: { id: Id }) => 1,
  anyIn: (x: any) => x as unknown,
});

type H = typeof tasks;
const g = new JobGraph<H>();

const now: JobRef<number> = g.add('now');
g.add('now', undefined, { after: [now] });
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
g.add('inc', { i: 1 }, { after: [odd, 'x'], keep: true, id: 'one', priority: 1 });
// @ts-expect-error boolean where number is wanted
g.add('inc', { i: odd });
// @ts-expect-error not offered yet
g.add('inc', { i: 1 }, { onFailure: 'skip' });

const grown = g.add('grow', 1);
g.add('upper', grown);
declare const string: JobRef<string>;
// @ts-expect-error references are not interchangeable
const _number: JobRef<number> = string;

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

// Without a type argument every name and input goes; with one, graphs are not interchangeable.
const loose = new JobGraph();
loose.add('whatever', 1);
loose.add('whatever');
const back: JobGraph<H> = JobGraph.fromJSON<H>({});
declare function run(graph: JobGraph<H>): void;
run(back);
// @ts-expect-error handlers of another module
run(new JobGraph<{ other: (input: string) => number }>());
