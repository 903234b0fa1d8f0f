/** What a manager makes of job graphs that no client of ours would send: frames made by hand. */
import { expect, test } from 'vitest';
import type { Client } from 'quartermaster';
import { JobFlags, ToClient, ToManager } from '#qm/protocol/messages.js';
import { errorFrom } from '#qm/protocol/errors.js';
import { type Item, Packed } from '#qm/protocol/wire.js';
import { KEY, listening } from '../kit/listening.ts';
import { entry, RawClient } from '../kit/raw-client.ts';

interface RawJob {
  readonly id: Item;
  readonly name?: number;
  readonly after?: readonly number[];
  readonly options?: Item;
  readonly outside?: Item;
  readonly input?: Item;
}

interface RawGraph {
  readonly run?: string;
  readonly names?: Item;
  readonly jobs: readonly RawJob[];
  /** What the frame claims; default: what is there. */
  readonly count?: number;
  readonly edges?: number;
}

const CALL = 7;

async function aRawClient(): Promise<{ raw: RawClient; client: Client }> {
  const { address, manager } = await listening();
  const raw = await RawClient.enter(address, { key: KEY });
  raw.open(1, 'tasks', 'q');
  return { raw, client: manager.client() };
}

function sendGraph(raw: RawClient, { run = 'run', names = ['x'], jobs, count = jobs.length, edges }: RawGraph): void {
  raw.send(ToManager.GRAPH, (writer) => {
    writer.u32(CALL);
    writer.u32(1);
    for (const item of [run, [], names]) writer.item(item);
    writer.u32(count);
    writer.u32(edges ?? jobs.reduce((sum, { after = [] }) => sum + after.length, 0));
    for (const { id, name = 0, after = [], options, outside, input } of jobs) {
      entry(writer, () => {
        writer.item(id);
        writer.u32(name);
        const refs = input instanceof Packed && input.jobs.length > 0 ? JobFlags.refs : 0;
        const given = (options === undefined ? 0 : JobFlags.options) | (outside === undefined ? 0 : JobFlags.outside);
        writer.u8(given | refs);
        writer.u32(after.length);
        for (const place of after) writer.u32(place);
        if (options !== undefined) writer.item(options);
        if (outside !== undefined) writer.item(outside);
        writer.item(input);
      });
    }
  });
}

/** The error that answers; undefined where the graph was accepted. */
async function answerTo(raw: RawClient): Promise<unknown> {
  for (;;) {
    const { kind, reader } = await raw.next();
    if (kind === ToClient.DONE && reader.u32() === CALL) return undefined;
    if (kind === ToClient.FAILED && reader.u32() === CALL) return errorFrom(reader.item(), {});
  }
}

const named = (queue: string, id: string): Packed => new Packed(new Uint8Array(1), [], [{ queue, id }]);

test('a graph becomes tasks, each edge counted once, however often it is said', async () => {
  const { raw, client } = await aRawClient();
  sendGraph(raw, { jobs: [{ id: 'a' }, { id: 'b', after: [0, 0, 0] }] });
  expect(await answerTo(raw)).toBeUndefined();
  const { dict } = client.tasks('q');
  expect((await dict.get('run/b'))?.state).toBe('blocked');
  raw.take(1, 1);
  raw.complete(9, await raw.task());
  await raw.next(ToClient.DONE);
  expect((await dict.get('run/b'))?.state).toBe('ready');
});

test.each<[why: string, graph: RawGraph, error: string]>([
  ['two jobs of one id', { jobs: [{ id: 'a' }, { id: 'b' }, { id: 'a' }] }, 'QM_DUPLICATE_JOB'],
  ['the id of a task that is there', { jobs: [{ id: 'new' }, { id: 'taken' }] }, 'QM_DUPLICATE_TASK'],
  ['a task outside that is not there', { jobs: [{ id: 'a' }, { id: 'b', outside: ['gone'] }] }, 'QM_UNKNOWN_TASK'],
  [
    'an output of a job that it does not come after',
    { jobs: [{ id: 'a' }, { id: 'b', input: named('q', 'run/a') }] },
    'QM_UNKNOWN_JOB',
  ],
  [
    'an output in another queue',
    { jobs: [{ id: 'a' }, { id: 'b', after: [0], input: named('p', 'run/a') }] },
    'QM_UNKNOWN_JOB',
  ],
  [
    'an output of a task outside that it does not come after',
    { jobs: [{ id: 'a', input: named('q', 'run/taken') }] },
    'QM_UNKNOWN_JOB',
  ],
])('of a graph with %s nothing is put, and its ids are free', async (_, graph, code) => {
  const { raw, client } = await aRawClient();
  const queue = client.tasks('q');
  await queue.put('x', 1, { id: 'run/taken' });
  sendGraph(raw, graph);
  expect(await answerTo(raw)).toMatchObject({ code });
  expect(await queue.dict.size()).toBe(1);
  sendGraph(raw, { run: 'another', jobs: [{ id: 'a' }] });
  expect(await answerTo(raw)).toBeUndefined();
  for (const id of ['a', 'b', 'new']) await queue.put('x', 1, { id: `run/${id}` });
});

test.each<[why: string, graph: RawGraph, message: string]>([
  ['without an id', { jobs: [{ id: '' }] }, "the id of a job must be a string of 1 to 1,000 characters without '/'"],
  [
    'whose id is that of another run',
    { jobs: [{ id: 'a/b' }] },
    "the id of a job must be a string of 1 to 1,000 characters without '/'",
  ],
  [
    'of a run whose id has a slash',
    { run: 'a/b', jobs: [] },
    "the id of a run must be a string of 1 to 1,000 characters without '/'",
  ],
  ['with options that are wrong', { jobs: [{ id: 'a', options: [2, NaN] }] }, 'priority must be a number'],
  ['with a name that is none', { names: [5], jobs: [{ id: 'a' }] }, 'the name of a job must be a string'],
])('a job %s is refused', async (_, graph, message) => {
  const { raw, client } = await aRawClient();
  sendGraph(raw, { ...graph, jobs: [{ id: 'first' }, ...graph.jobs] });
  expect(await answerTo(raw)).toMatchObject({ message });
  expect(await client.tasks('q').dict.size()).toBe(0);
});

test.each<[why: string, graph: RawGraph]>([
  ['a job that comes after itself', { jobs: [{ id: 'a', after: [0] }] }],
  ['a job that comes after a later one', { jobs: [{ id: 'a', after: [1] }, { id: 'b' }] }],
  ['a job that comes after one that is not there', { jobs: [{ id: 'a' }, { id: 'b', after: [2] }] }],
  ['more edges than it claims', { jobs: [{ id: 'a' }, { id: 'b', after: [0] }], edges: 0 }],
  ['more edges than its frame has room for', { jobs: [{ id: 'a' }], edges: 2 ** 32 - 1 }],
  ['more jobs than its frame has room for', { jobs: [{ id: 'a' }], count: 2 ** 32 - 1 }],
  ['fewer jobs than are there', { jobs: [{ id: 'a' }, { id: 'b' }], count: 1 }],
  ['a name that it does not have', { jobs: [{ id: 'a', name: 1 }] }],
])('%s breaks the protocol', async (_, graph) => {
  const { raw, client } = await aRawClient();
  sendGraph(raw, graph);
  await raw.ended;
  expect(await client.tasks('q').dict.size()).toBe(0);
});
