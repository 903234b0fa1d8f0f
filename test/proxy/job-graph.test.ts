import { expect, test } from 'vitest';
import { CycleError, DuplicateJobError, UnknownJobError, UnserializableError } from '#qm/errors.js';
import { isJobRef, jobRef } from '#qm/job-ref.js';
import { JobGraph, submittedGraph } from '#qm/proxy/job-graph.js';
import type { JobRef } from '#qm/tasks.js';

/** A handle as the client makes them for tasks that were put. */
function handle(id: string, queue = 'default'): JobRef {
  return { id, [jobRef]: { queue, id } } as unknown as JobRef;
}

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** As they are submitted, with ids in the place of places. */
function jobsOf(graph: JobGraph) {
  const { jobs } = submittedGraph(graph);
  return jobs.map((job) => ({ ...job, after: Array.from(job.after, (place) => jobs[place]!.id) }));
}

const edgesOf = (graph: JobGraph): Record<string, readonly string[]> =>
  Object.fromEntries(jobsOf(graph).map(({ id, after }) => [id, after]));

test('jobs are named by their task and a number, or as they like', () => {
  const graph = new JobGraph();
  const ids = [
    graph.add('inc').id,
    graph.add('inc').id,
    graph.add('inc', 1, { id: 'inc-3' }).id,
    graph.add('inc').id,
    graph.add('img/resize').id,
    graph.add('x'.repeat(600)).id,
  ];
  expect(ids).toEqual(['inc-1', 'inc-2', 'inc-3', 'inc-4', 'img:resize-1', `${'x'.repeat(480)}-1`]);
  graph.validate();
});

test('references anywhere in plain objects and arrays are edges, each once, in front of those of `after`', () => {
  const graph = new JobGraph();
  const [a, b, c, d] = [graph.add('a'), graph.add('b'), graph.add('c'), graph.add('d')];
  graph.add(
    'join',
    { deep: [{ b }, [null, [a, a]]], bare: Object.assign(Object.create(null), { a }) },
    { after: [c, a, 'd-1'] },
  );
  graph.add('whole', d);
  expect(edgesOf(graph)).toMatchObject({ 'join-1': ['a-1', 'b-1', 'c-1', 'd-1'], 'whole-1': ['d-1'], 'a-1': [] });
  expect(jobsOf(graph).map(({ id, consumed }) => [id, consumed])).toEqual([
    ['a-1', true],
    ['b-1', true],
    ['c-1', false],
    ['d-1', true],
    ['join-1', false],
    ['whole-1', false],
  ]);
});

test('members of maps and sets are edges too: they cross with the input', () => {
  const graph = new JobGraph();
  const [a, b, c] = [graph.add('a'), graph.add('b'), graph.add('c')];
  graph.add('join', [new Map([['a', a]]), new Set([{ b }]), new Map([[c, 1]])]);
  expect([...(edgesOf(graph)['join-1'] ?? [])].toSorted()).toEqual(['a-1', 'b-1', 'c-1']);
});

test('an input may contain itself, be 100,000 deep, or hold things that are no data', () => {
  const graph = new JobGraph();
  const a = graph.add('a');
  const circular: Record<string, unknown> = { a };
  circular['self'] = [circular];
  let deep: unknown = a;
  for (let level = 0; level < 100_000; level++) deep = [deep];
  const trap = new Proxy({}, { getPrototypeOf: () => expect.unreachable(), has: () => expect.unreachable() });
  const holes: unknown[] = [];
  holes[2 ** 32 - 2] = a;
  for (const input of [circular, deep, holes]) graph.add('user', input);
  graph.add('none', [trap, new Date(), new Uint8Array(8), null, undefined, () => a]);
  expect(edgesOf(graph)).toMatchObject({ 'user-1': ['a-1'], 'user-2': ['a-1'], 'user-3': ['a-1'], 'none-1': [] });
});

test('the handle of a task that was put is an edge to the outside', () => {
  const graph = new JobGraph();
  const [one, two] = [handle('t1'), handle('t1', 'other')];
  graph.add('use', { one, again: handle('t1') }, { after: [one, two] });
  const [job] = jobsOf(graph);
  expect(job?.after).toEqual([]);
  expect(job?.outside.map((ref) => isJobRef(ref) && ref[jobRef])).toEqual([
    { queue: 'default', id: 't1' },
    { queue: 'other', id: 't1' },
  ]);
});

test('what is submitted has the options, in the order of insertion', () => {
  const graph = new JobGraph();
  graph.add('late', 1, { after: ['early'], retries: 2, priority: -1.5, atMostOnce: true, keep: true });
  graph.add('early', undefined, { id: 'early' });
  expect(jobsOf(graph)).toEqual([
    {
      id: 'late-1',
      name: 'late',
      input: 1,
      after: ['early'],
      outside: [],
      options: { retries: 2, priority: -1.5, atMostOnce: true },
      keep: true,
      onFailure: undefined,
      consumed: false,
    },
    {
      id: 'early',
      name: 'early',
      input: undefined,
      after: [],
      outside: [],
      options: {},
      keep: false,
      onFailure: undefined,
      consumed: false,
    },
  ]);
  expect(graph.order()).toEqual(['early', 'late-1']);
});

test('an input is read when the graph is', () => {
  const graph = new JobGraph();
  const input: unknown[] = [];
  graph.add('first', input);
  input.push(graph.add('second'));
  expect(graph.order()).toEqual(['second-1', 'first-1']);
});

test('G1 a cycle is refused with its path', () => {
  const graph = new JobGraph();
  const before = graph.add('before');
  const a = graph.add('a', before, { after: ['c-1'] });
  const b = graph.add('b', a);
  graph.add('c', { b });
  for (const check of [
    () => graph.validate(),
    () => graph.order(),
    () => graph.criticalPath(),
    () => graph.toJSON(),
    () => jobsOf(graph),
  ]) {
    const error = thrown(check);
    expect(error).toBeInstanceOf(CycleError);
    expect(error).toMatchObject({
      code: 'QM_CYCLE',
      path: ['a-1', 'b-1', 'c-1', 'a-1'],
      message: 'jobs wait for each other in a circle: a-1 → b-1 → c-1 → a-1',
    });
  }
});

test('G1 a job that waits for itself, by its id or by an input that was changed later', () => {
  const named = new JobGraph();
  named.add('a', undefined, { id: 'me', after: ['me'] });
  expect(thrown(() => named.validate())).toMatchObject({ path: ['me', 'me'], message: "job 'me' waits for itself" });
  const changed = new JobGraph();
  const input: unknown[] = [];
  input.push(changed.add('a', input));
  expect(thrown(() => changed.validate())).toMatchObject({ path: ['a-1', 'a-1'] });
});

test('G1 all cycles are listed; a long one is shown by its ends', () => {
  const graph = new JobGraph();
  graph.add('self', undefined, { after: ['self-1'] });
  graph.add('step', undefined, { after: ['step-1000'] });
  for (let at = 1; at < 1000; at++) graph.add('step', undefined, { after: [`step-${at}`] });
  const error = thrown(() => graph.validate()) as CycleError;
  expect(error.path).toEqual(['self-1', 'self-1']);
  const [head, ...problems] = error.message.split('\n  - ');
  expect(head).toBe('the job graph has 2 problems:');
  expect(problems[0]).toBe("job 'self-1' waits for itself");
  expect(problems[1]).toMatch(/^jobs wait .*: step-1 → step-2 → .* → \(989 more\) → .* → step-1000 → step-1$/);
});

test('G2 ids that are not there, and jobs of another graph, are all listed', () => {
  const other = new JobGraph();
  const [foreign, foreignToo] = [other.add('a'), other.add('b')];
  const graph = new JobGraph();
  graph.add('a', { foreign }, { after: ['nowhere', 'nobody'] });
  graph.add('b', undefined, { after: [foreignToo, 'nowhere'] });
  const error = thrown(() => graph.validate());
  expect(error).toBeInstanceOf(UnknownJobError);
  expect(error).toMatchObject({ code: 'QM_UNKNOWN_JOB', ids: ['a-1', 'nowhere', 'nobody', 'b-1'] });
  expect((error as Error).message.split('\n')).toEqual([
    'the job graph has 5 problems:',
    "  - job 'a-1' leads out of the graph: its input refers to 'a-1' of another graph",
    "  - job 'a-1' leads out of the graph: it comes after 'nowhere', which is not in this graph",
    "  - job 'a-1' leads out of the graph: it comes after 'nobody', which is not in this graph",
    "  - job 'b-1' leads out of the graph: it comes after 'b-1' of another graph",
    "  - job 'b-1' leads out of the graph: it comes after 'nowhere', which is not in this graph",
  ]);
});

test('G2 ids that were given twice are all listed', () => {
  const graph = new JobGraph();
  for (const id of ['x', 'y', 'x', 'x', 'y', 'z']) graph.add('a', undefined, { id });
  graph.add('a');
  graph.add('b', undefined, { id: 'a-1' });
  const error = thrown(() => graph.validate());
  expect(error).toBeInstanceOf(DuplicateJobError);
  expect(error).toMatchObject({ code: 'QM_DUPLICATE_JOB', ids: ['x', 'y', 'a-1'] });
  expect((error as Error).message).toContain("3 jobs have the id 'x'\n  - 2 jobs have the id 'y'\n  - 2 jobs have");
});

test('G1 G2 problems of every kind are told at once, by the error of the most basic kind', () => {
  const graph = new JobGraph();
  graph.add('a', undefined, { id: 'a', after: ['b'] });
  graph.add('b', undefined, { id: 'b', after: ['a', 'nowhere'] });
  const unknown = thrown(() => graph.validate());
  expect(unknown).toBeInstanceOf(UnknownJobError);
  expect((unknown as Error).message).toContain('the job graph has 2 problems');
  graph.add('b', undefined, { id: 'b' });
  const duplicate = thrown(() => graph.validate());
  expect(duplicate).toBeInstanceOf(DuplicateJobError);
  for (const part of ['3 problems', "2 jobs have the id 'b'", "after 'nowhere'", 'circle: a → b → a']) {
    expect((duplicate as Error).message).toContain(part);
  }
});

test('G2 a hundred thousand problems are counted; the error has their ids, the message the first hundred', () => {
  const graph = new JobGraph();
  for (let at = 0; at < 100_000; at++) graph.add('a', undefined, { after: [`no-${at}`] });
  const error = thrown(() => graph.validate()) as UnknownJobError;
  expect(error.ids).toHaveLength(100_000);
  expect(error.message).toMatch(/^the job graph has 100,000 problems:\n/);
  expect(error.message).toMatch(/\n {2}- 99,900 more of that kind$/);
});

test('G5 chains, hubs and joins of 100,000 jobs', () => {
  const size = 100_000;
  const graph = new JobGraph();
  const root = graph.add('root');
  let last: JobRef = root;
  for (let at = 0; at < size; at++) last = graph.add('chain', last);
  const spokes = Array.from({ length: size }, (_, i) => graph.add('spoke', { root, i }));
  graph.add('join', { spokes });
  expect(graph.criticalPath().length).toBe(size + 1);
  expect(graph.order()).toHaveLength(2 * size + 2);
  expect(jobsOf(graph).at(-1)?.after).toHaveLength(size);
});

test('the critical path goes by weights where they are given', () => {
  const graph = new JobGraph();
  const slow = graph.add('slow');
  graph.add('end', graph.add('quick', graph.add('quick')));
  graph.add('end', slow);
  expect(graph.criticalPath()).toEqual({ path: ['quick-1', 'quick-2', 'end-1'], length: 3 });
  const path = { path: ['slow-1', 'end-2'], length: 11 };
  expect(graph.criticalPath((id, name) => (name === 'slow' && id === 'slow-1' ? 10 : 1))).toEqual(path);
  expect(() => graph.criticalPath(() => -1)).toThrow(RangeError);
  expect(new JobGraph().criticalPath()).toEqual({ path: [], length: 0 });
});

test('a graph is submitted with an order in which each job stands after those that it comes after', () => {
  const graph = new JobGraph();
  graph.add('a', undefined, { after: ['c-1'] });
  graph.add('b');
  graph.add('c', undefined, { after: ['b-1', 'd-1'] });
  graph.add('d');
  const { order } = submittedGraph(graph);
  expect(order).toEqual([1, 3, 2, 0]);
  expect(order.map((place) => jobsOf(graph)[place]!.id)).toEqual(graph.order());
});

test('an empty graph is a graph', () => {
  const graph = new JobGraph();
  graph.validate();
  expect([graph.order(), jobsOf(graph)]).toEqual([[], []]);
});

test.each<[options: unknown, error: new () => Error, message: string]>([
  [null, TypeError, "the options of job 'a' must be an object such as { priority: 1 }, not null"],
  [{ onFailure: 'retry' }, TypeError, "onFailure of job 'a' must be 'skip', 'fail' or 'ignore', not 'retry'"],
  [{ onFailure: 1 }, TypeError, "onFailure of job 'a' must be 'skip', 'fail' or 'ignore', not a number"],
  [
    { timeout: 5 },
    TypeError,
    "job 'a' has no option timeout: adding a job waits for nothing; give it to the run of the graph",
  ],
  [{ id: 7 }, TypeError, "id of job 'a' must be a string, not a number"],
  [{ id: '' }, RangeError, "id of job 'a' must not be empty; leave it out to have one chosen"],
  [
    { id: 'a/b' },
    RangeError,
    "id of job 'a' must not contain '/', which parts the run's id from the job's; write ':' or '-'",
  ],
  [{ id: 'x'.repeat(501) }, RangeError, "id of job 'a' has 501 characters; at most 500 are allowed"],
  [{ id: 'me', priority: '1' }, TypeError, "priority of job 'me' must be a number (higher runs sooner), not a string"],
  [{ priority: NaN }, RangeError, "priority of job 'a' must be a number, not NaN"],
  [{ retries: true }, TypeError, "retries of job 'a' must be a whole number of 0 or more, not a boolean"],
  [{ retries: -1 }, RangeError, "retries of job 'a' must be a whole number of 0 or more, not -1"],
  [{ retries: 0.5 }, RangeError, "retries of job 'a' must be a whole number of 0 or more, not 0.5"],
  [{ atMostOnce: 1 }, TypeError, "atMostOnce of job 'a' must be true or false, not a number"],
  [{ keep: null }, TypeError, "keep of job 'a' must be true or false, not null"],
  [{ tags: 'gpu' }, TypeError, "job 'a': tags must be a list of strings"],
  [{ delay: -1 }, RangeError, "job 'a': delay must be a number of at least 0, not -1"],
  [
    { after: 'b' },
    TypeError,
    "after of job 'a' must be a list, each the JobRef that add() returned, a TaskHandle, or the id of a job of this graph, not a string",
  ],
  [
    { after: ['b', {}] },
    TypeError,
    "after[1] of job 'a' must be the JobRef that add() returned, a TaskHandle, or the id of a job of this graph, not an object",
  ],
  [
    { after: [''] },
    TypeError,
    "after[0] of job 'a' must be the JobRef that add() returned, a TaskHandle, or the id of a job of this graph, not an empty string",
  ],
  [
    { after: [Promise.resolve()] },
    TypeError,
    "after[0] of job 'a' must be the JobRef that add() returned, a TaskHandle, or the id of a job of this graph, not a promise: await it first",
  ],
])('options %j are refused', (options, error, message) => {
  const graph = new JobGraph();
  const refusal = thrown(() => graph.add('a', undefined, options as object));
  expect(refusal).toBeInstanceOf(error);
  expect((refusal as Error).message).toBe(message);
  expect(graph.order()).toEqual([]);
});

test('options that are undefined are left out, and a list of others is copied', () => {
  const graph = new JobGraph();
  const after = [graph.add('a')];
  graph.add('b', undefined, { id: undefined, priority: undefined, retries: undefined, keep: undefined, after });
  after.pop();
  expect(jobsOf(graph)[1]).toMatchObject({ id: 'b-1', after: ['a-1'], options: {}, keep: false });
});

test('a job without the name of a task is refused', () => {
  const graph = new JobGraph();
  expect(() => graph.add('')).toThrow(new TypeError('a job needs the name of its task, a string, not an empty string'));
  expect(() => graph.add(3 as never)).toThrow('a job needs the name of its task, a string, not a number');
});

/** One of everything that a drawing shows. */
function drawable(): JobGraph {
  const graph = new JobGraph();
  const a = graph.add('a', { task: handle('t7') });
  graph.add('b', { a }, { id: 'say "hi" <b>\\n&\n%%{#}`', after: ['no "where"'] });
  graph.add('c', undefined, { after: [a] });
  return graph;
}

test('Mermaid: labels are escaped, order alone is dotted, the outside is round', () => {
  expect(drawable().toMermaid()).toBe(`flowchart LR
  job0["a-1"]
  job1["say #34;hi#34; #60;b#62;#92;n#38;#10;#37;#37;#123;#35;#125;#96; (b)"]
  job2["c-1"]
  outside0(["task t7"])
  outside1(["unknown job no #34;where#34;"])
  job0 --> job1
  job0 -.-> job2
  outside0 --> job0
  outside1 --> job1
`);
});

test('DOT: labels are escaped, order alone is dashed, the outside is round', () => {
  expect(drawable().toDot()).toBe(`digraph jobs {
  rankdir=LR;
  node [shape=box];
  job0 [label="a-1"];
  job1 [label="say \\"hi\\" <b>\\\\n&amp;\\n%%{#}\` (b)"];
  job2 [label="c-1"];
  outside0 [label="task t7", style=rounded];
  outside1 [label="unknown job no \\"where\\"", style=rounded];
  job0 -> job1;
  job0 -> job2 [style=dashed];
  outside0 -> job0;
  outside1 -> job1;
}
`);
});

test('an option that is not there is refused, and those that are named', () => {
  const graph = new JobGraph();
  expect(() => graph.add('a', 1, { prio: 1 } as object)).toThrow(
    /^job 'a' has no option 'prio': known are .*keep, key/,
  );
});

test('JSON and back: every option of a put', () => {
  const graph = new JobGraph();
  const options = {
    ...{ tags: ['gpu'], resources: { memory: 2 }, key: 'k', group: 'g', worker: 'w', expires: 5 },
    ...{ runAt: new Date(1e12), backoff: { base: 1, factor: 2 } },
  };
  graph.add('a', 1, options);
  const json = JSON.parse(JSON.stringify(graph)) as { jobs: { runAt: string }[] };
  expect(json.jobs[0]?.runAt).toBe('2001-09-09T01:46:40.000Z');
  expect(jobsOf(JobGraph.fromJSON(json))[0]?.options).toEqual(options);
  for (const runAt of [5, 'soon']) {
    expect(() => JobGraph.fromJSON({ version: 1, jobs: [{ name: 'a', runAt }] })).toThrow('runAt of jobs[0]');
  }
});

test('JSON and back: what the failure of a job means, where it says so', () => {
  const graph = new JobGraph();
  graph.add('a', 1);
  graph.add('a', 1, { onFailure: 'ignore' });
  const json = JSON.parse(JSON.stringify(graph)) as { jobs: object[] };
  expect(json.jobs).toEqual([
    { id: 'a-1', name: 'a', input: 1 },
    { id: 'a-2', name: 'a', input: 1, onFailure: 'ignore' },
  ]);
  expect(jobsOf(JobGraph.fromJSON(json)).map(({ onFailure }) => onFailure)).toEqual([undefined, 'ignore']);
  const bad = { version: 1, jobs: [{ name: 'a', onFailure: 'stop' }] };
  expect(() => JobGraph.fromJSON(bad)).toThrow("onFailure of job 'a' must be 'skip', 'fail' or 'ignore', not 'stop'");
});

test('JSON and back: the same graph', () => {
  const graph = new JobGraph();
  const input = { n: [1.5, null, true], $job: 'text', $$job: { $job: 1 }, ['__proto__']: { x: 'y' }, gone: undefined };
  graph.add('late', { ref: graph.add('early', input), list: ['x'] }, { after: ['last'], retries: 1, priority: 2 });
  graph.add('last', undefined, { id: 'last', keep: true, atMostOnce: false });
  const json = JSON.parse(JSON.stringify(graph)) as { jobs: unknown[] };
  expect(json).toEqual(graph.toJSON());
  expect(json.jobs[1]).toEqual({
    id: 'late-1',
    name: 'late',
    input: { ref: { $job: 'early-1' }, list: ['x'] },
    after: ['last'],
    retries: 1,
    priority: 2,
  });
  const back = JobGraph.fromJSON(json);
  const { gone: _, ...rest } = input;
  expect(jobsOf(back)[0]?.input).toEqual(rest);
  expect(Object.keys(jobsOf(back)[0]?.input as object)).toContain('__proto__');
  expect(back.toJSON()).toEqual(graph.toJSON());
  expect(jobsOf(back).map(({ input: __, ...job }) => job)).toEqual(jobsOf(graph).map(({ input: __, ...job }) => job));
});

test('JSON by hand: references may lead to jobs further down, and to none', () => {
  const jobs = [
    { id: 'b', name: 'b', input: [{ $job: 'a' }] },
    { id: 'a', name: 'a' },
  ];
  const graph = JobGraph.fromJSON({ version: 1, jobs });
  expect(graph.order()).toEqual(['a', 'b']);
  expect(jobsOf(graph).map(({ consumed }) => consumed)).toEqual([false, true]);
  const loose = JobGraph.fromJSON({ version: 1, jobs: [{ name: 'a', input: { $job: 'x' } }] });
  expect(thrown(() => loose.validate())).toMatchObject({
    ids: ['x'],
    message: "job 'a-1' leads out of the graph: its input refers to 'x', which is not in this graph",
  });
});

test.each<[input: unknown, path: string, what: string]>([
  [{ when: new Date(0) }, 'graph.jobs[0].input.when', 'an instance of Date'],
  [[1n], 'graph.jobs[0].input[0]', 'a bigint'],
  [[NaN], 'graph.jobs[0].input[0]', 'NaN'],
  [-0, 'graph.jobs[0].input', '-0'],
  [[undefined], 'graph.jobs[0].input[0]', 'undefined'],
  [new Array(1), 'graph.jobs[0].input[0]', 'undefined'],
  [{ 'a b': () => 1 }, 'graph.jobs[0].input["a b"]', 'a function'],
  [{ task: handle('t1') }, 'graph.jobs[0].input.task', 'the handle of a task that only its manager knows'],
])('JSON would lose it: input %o is refused with the path', (input, path, what) => {
  const graph = new JobGraph();
  graph.add('a', input);
  const error = thrown(() => graph.toJSON());
  expect(error).toBeInstanceOf(UnserializableError);
  expect(error).toMatchObject({ path, message: `${path} is ${what}: JSON cannot carry it` });
});

test('JSON would lose it: what contains itself, is too deep, or is outside', () => {
  const circular: unknown[] = [];
  circular.push({ circular });
  let deep: unknown = 1;
  for (let level = 0; level < 50_000; level++) deep = [deep];
  for (const [input, message] of [
    [circular, 'graph.jobs[0].input[0].circular is a part of itself: JSON cannot carry it'],
    [deep, /^graph\.jobs\[0]\.input.* is more than 1,000 levels deep/],
  ] as const) {
    const graph = new JobGraph();
    graph.add('a', input);
    expect(() => graph.toJSON()).toThrow(message);
  }
  const after = new JobGraph();
  after.add('a', undefined, { after: [handle('t1')] });
  expect(() => after.toJSON()).toThrow('graph.jobs[0].after[0] is the handle of a task');
  const priority = new JobGraph();
  priority.add('a', undefined, { priority: Infinity });
  expect(() => priority.toJSON()).toThrow('graph.jobs[0].priority is Infinity');
});

test('JSON: the same object twice is no cycle', () => {
  const graph = new JobGraph();
  const twice = { x: 1 };
  graph.add('a', [twice, twice]);
  expect(graph.toJSON().jobs[0]?.input).toEqual([{ x: 1 }, { x: 1 }]);
});

test.each<[json: unknown, message: string]>([
  ['{}', 'a job graph is read from parsed JSON: call JSON.parse() first'],
  [null, 'a job graph must be an object, not null'],
  [[], 'a job graph must be an object, not an array'],
  [{ jobs: [] }, 'version of a job graph must be 1, which this release reads, not undefined'],
  [{ version: 2, jobs: [] }, 'version of a job graph must be 1, which this release reads, not 2'],
  [{ version: 1 }, 'jobs of a job graph must be an array, not undefined'],
  [{ version: 1, jobs: [], more: 1 }, "a job graph has no 'more': known are version, jobs"],
  [{ version: 1, jobs: [3] }, 'jobs[0] must be an object, not a number'],
  [{ version: 1, jobs: [{}] }, 'a job needs the name of its task, a string, not undefined'],
  [
    { version: 1, jobs: [{ name: 'a', retries: 'x' }] },
    "retries of job 'a' must be a whole number of 0 or more, not a string",
  ],
])('JSON that is no graph: %j', (json, message) => {
  expect(() => JobGraph.fromJSON(json)).toThrow(message);
});

test('JSON that is too deep is refused, not a stack overflow', () => {
  let input: unknown = 1;
  for (let level = 0; level < 50_000; level++) input = [input];
  expect(() => JobGraph.fromJSON({ version: 1, jobs: [{ name: 'a', input }] })).toThrow(
    'an input of a job graph is more than 1,000 levels deep',
  );
});
