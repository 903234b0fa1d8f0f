/** `context.log`: what handlers say reaches whoever started the worker, with its task, whole, bounded, and harmless. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import type { Handlers, StartWorkersOptions, WorkerLog } from 'quartermaster';
import { run } from '../kit/run.ts';
import { aGroup, fresh, sharedRig, working } from '../kit/tasks-rig.ts';
import { until } from '../kit/until.ts';

const rig = sharedRig('process');
const module = new URL('../fixtures/log-tasks.mjs', import.meta.url);

async function aLoggedGroup(options: StartWorkersOptions = {}) {
  const { client } = rig();
  const name = fresh('queue');
  const lines: WorkerLog[] = [];
  const group = await aGroup(
    client,
    { queue: name, count: 1, logs: (line) => void lines.push(line), ...options },
    module,
  );
  /** What has been said so far, at its end. */
  const all = async (): Promise<WorkerLog[]> => {
    await group.drain();
    return lines;
  };
  return { queue: client.tasks(name), group, lines, all };
}

describe('what a handler says', () => {
  test('comes with its worker, its task, its level and its fields, in its order', async () => {
    const { queue, group, all } = await aLoggedGroup();
    const [worker] = group.workers();
    const before = Date.now();
    const handle = await queue.put('say', [
      ['debug', 'one'],
      ['info', 'two', { page: 7, ok: true, of: 'a book', list: [1, 2], nothing: null }],
      ['warn', 'three', {}],
      ['error', 'four', { path: 'x' }],
    ]);
    await handle.result();
    const task = { id: handle.id, name: 'say', attempt: 1 };
    const lines = await all();
    const said = { worker: 'worker-1', pid: worker?.pid, stream: 'log' };
    const at = expect.any(Number) as number;
    const of = `${handle.id} (say):`;
    const fields = { page: 7, ok: true, of: 'a book', list: '[ 1, 2 ]', nothing: null };
    expect(lines).toEqual([
      { ...said, text: `debug ${of} one`, entry: { level: 'debug', message: 'one', task, at } },
      {
        ...said,
        text: `info ${of} two page=7 ok=true of="a book" list="[ 1, 2 ]" nothing=null`,
        entry: { level: 'info', message: 'two', fields, task, at },
      },
      { ...said, text: `warn ${of} three`, entry: { level: 'warn', message: 'three', task, at } },
      {
        ...said,
        text: `error ${of} four path=x`,
        entry: { level: 'error', message: 'four', fields: { path: 'x' }, task, at },
      },
    ]);
    for (const { entry } of lines) {
      expect(entry?.at).toBeGreaterThanOrEqual(before);
      expect(entry?.at).toBeLessThanOrEqual(Date.now());
    }
  });

  test('an error comes with its stack and its cause, in several lines, of each attempt', async () => {
    const { queue, all } = await aLoggedGroup();
    expect(await queue.run('fails', undefined, { retries: 1, backoff: { base: 1 } })).toBe(2);
    const lines = await all();
    const entries = lines.flatMap(({ entry }) => entry ?? []);
    expect(entries.map(({ task, fields }) => [task.attempt, fields])).toEqual([
      [1, { attempt: 1 }],
      [2, { attempt: 2 }],
    ]);
    expect(entries[0]?.message).toMatch(/^TypeError: no such page\n +at .*log-tasks\.mjs/);
    expect(entries[0]?.message).toContain('[cause]: Error: the disk is full');
    expect(lines.length).toBeGreaterThan(4);
    for (const { text } of lines) expect(text).not.toContain('\n');
  });

  test('of each input of a map it is that one', async () => {
    const { queue, all } = await aLoggedGroup();
    expect(await queue.map('double', [1, 2, 3, 4]).toArray()).toEqual([2, 4, 6, 8]);
    const entries = (await all()).flatMap(({ entry }) => entry ?? []);
    expect(entries.map(({ fields }) => fields)).toEqual([1, 2, 3, 4].map((input) => ({ input })));
    expect(new Set(entries.map(({ task }) => task.id)).size).toBe(4);
  });

  test('after the task has ended it still comes, as that task’s', async () => {
    const { client } = rig();
    const { queue, all } = await aLoggedGroup();
    const go = client.queue<string>();
    const done = client.queue<string>();
    const handle = await queue.put('later', { go, done });
    await handle.result();
    await go.put('now');
    await done.get();
    expect((await all()).map(({ text }) => text)).toEqual([`info ${handle.id} (later): later`]);
  });

  test('comes although the process is gone the next moment', async () => {
    const { queue, lines } = await aLoggedGroup();
    await expect(queue.run('dies', undefined, { atMostOnce: true })).rejects.toMatchObject({ code: 'QM_WORKER_LOST' });
    await until(
      async () => (await queue.dict.size()) > 0 && lines.some(({ entry }) => entry?.message === 'last words'),
    );
  });
});

describe('bounds', () => {
  test.each([
    ['at once', false],
    ['that is read as it comes', true],
  ])('W10 a flood %s is bounded: what was dropped is counted, and other tasks go on', async (_how, turns) => {
    const { queue, all } = await aLoggedGroup({ count: 2 });
    const flooded = queue.run('flood', { megabytes: 8, turns });
    for (let i = 0; i < 50; i++) expect(await queue.run('double', i)).toBe(2 * i);
    await flooded;
    await Promise.all(Array.from({ length: 50 }, (_, i) => queue.run('double', i)));
    const said = await all();
    const dropped = said.reduce((sum, line) => sum + (line.dropped ?? 0), 0);
    const kept = said.filter((line) => line.dropped === undefined);
    // What the other tasks say is dropped too where it is said by the worker that has just said too much.
    expect(kept.length + dropped).toBe(8_000 + 100);
    const lines = said.filter(({ text }) => !text.includes('doubling'));
    const shown = lines.filter((line) => line.dropped === undefined);
    // A megabyte at once, with what each says of its task; the rest of what is shown is what time allows.
    expect(shown.length).toBeGreaterThan(200);
    expect(shown.length).toBeLessThan(6_000);
    for (const { text, stream } of lines) {
      expect(stream).toBe('log');
      expect(text).toMatch(/^debug t\d+ \(flood\): x+$|^\(\d+ lines, \d+ bytes, were dropped/);
    }
  });

  test('S9 long ones are cut, and nothing in it is what a terminal obeys', async () => {
    const { queue, all } = await aLoggedGroup();
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, i]));
    await queue.run('say', [
      ['info', `\u001b[31mred\rover`, { 'k\u001b': 'v\u202e' }],
      ['info', 'x'.repeat(100_000), { a: 1 }],
      ['info', 'long field', { text: 'y'.repeat(5_000) }],
      ['info', 'many', many],
      ['info', 'l\n'.repeat(500)],
    ]);
    const lines = await all();
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    for (const { text } of lines) expect(text).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/);
    const texts = lines.map(({ text }) => text.slice(text.indexOf(': ') + 2));
    expect(texts[0]).toBe(String.raw`\x1b[31mred\x0dover k\x1b=v\u202e`);
    expect(texts[1]).toBe(`${'x'.repeat(8192)} … (100000 characters) …="1 more"`);
    expect(texts[2]).toBe(`long field text="${'y'.repeat(1000)} … (5000 characters)"`);
    expect(texts[3]).toMatch(/^many f0=0 .* f31=31 …="18 more"$/);
    expect(lines).toHaveLength(4 + 101);
    expect(lines.at(-1)?.text).toBe('… (501 lines)');
  });

  test('whatever it is given, a handler does not fail for it', async () => {
    const { queue, all } = await aLoggedGroup();
    expect(await queue.run('strange')).toEqual([]);
    const entries = (await all()).flatMap(({ entry }) => entry ?? []);
    expect(entries.map(({ message }) => message)).toEqual([
      'cyclic',
      'bigint',
      'unreadable',
      'value',
      'undefined',
      'proxy',
    ]);
    expect(entries[0]?.fields?.['cyclic']).toContain('[Circular *1]');
    expect(entries[1]?.fields).toEqual({ big: `${2n ** 70n}n`, nan: 'NaN', no: null });
    expect(entries[2]?.fields?.['…']).toContain('not for you');
    expect(entries[5]?.fields?.['…']).toContain('no keys');
  });
});

describe('where it goes', () => {
  test('in work(): to the process’s own stderr, behind the worker’s name', async () => {
    const { client } = rig();
    const name = fresh('queue');
    const queue = client.tasks(name);
    const written: string[] = [];
    const spy = vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    try {
      const handlers: Handlers = { hello: (_input, { log }) => log.info('hello', { a: 1 }) };
      const loop = working(client, name, handlers, { name: 'here' });
      const handle = await queue.put('hello');
      await handle.result();
      await loop.stop();
      expect(written).toEqual([`[here] info ${handle.id} (hello): hello a=1\n`]);
    } finally {
      spy.mockRestore();
    }
  });

  test.each([
    ['tagged', /^\[worker-1\] info t\d+ \(say\): hello a=1\n$/],
    ['inherit', /^\[worker-1\] info t\d+ \(say\): hello a=1\n$/],
    ['ignore', /^$/],
  ] as const)('logs: %o', async (logs, expected) => {
    const program = fileURLToPath(new URL('../fixtures/logs-program.mjs', import.meta.url));
    const { code, stdout, stderr } = await run(process.execPath, [program, logs]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'said\n' });
    expect(stderr).toMatch(expected);
  });
});
