/** What is loaded lazily is loaded by whoever needs it, and is all there at once where nothing can be loaded lazily. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as quartermaster from 'quartermaster';
import * as byNeed from '#qm/start/by-need.js';
import * as atOnce from '#qm/index.js';
import { walk } from '../../scripts/freshness.mjs';

const root = path.dirname(path.dirname(import.meta.dirname));
const src = path.join(root, 'src');
const run = promisify(execFile);

/** The files that a source names by `call(new URL('…', import.meta.url)`, from src/ on. */
function named(file: string, call: RegExp): string[] {
  const found = readFileSync(file, 'utf8').matchAll(call);
  return Array.from(found, ([, to]) => path.relative(src, path.resolve(path.dirname(file), to as string)));
}

test('every part is there from the start where nothing can be loaded lazily', () => {
  const lazy = walk(src)
    .files.filter((file) => file.endsWith('.ts') && !file.endsWith('by-need.ts'))
    .flatMap((file) => named(file, /lazily<[^;]*?>\(\s*new URL\('([^']+)', import\.meta\.url\)/g));
  const provided = named(path.join(src, 'start', 'at-once.ts'), /provide\(new URL\('([^']+)', import\.meta\.url\)/g);
  expect(lazy.length).toBeGreaterThan(8);
  expect([...new Set(provided)].toSorted()).toEqual([...new Set(lazy)].toSorted());
});

test('nobody imports a lazy part but lazily, and whoever is lazy himself', () => {
  const heavy = [
    'manager/objects/custom',
    'manager/tasks/tasks',
    'manager/objects/built-in',
    'proxy/kinds',
    'codec/lone',
    'codec/whole',
  ];
  const importers = walk(src)
    .files.filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      Array.from(
        readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type)[^;]*? from '([^']+)\.ts'/gm),
        ([, to]) => ({
          file: path.relative(src, file),
          to: path.relative(src, path.resolve(path.dirname(file), to as string)),
        }),
      ),
    )
    .filter(({ to }) => heavy.some((part) => to.endsWith(part)))
    .map(({ file }) => file);
  expect(new Set(importers)).toEqual(new Set(['start/at-once.ts']));
});

describe("what `import 'quartermaster'` gives", () => {
  test('has the same names', () => {
    expect(Object.keys(byNeed).toSorted()).toEqual(Object.keys(atOnce).toSorted());
    expect(Object.keys(quartermaster).toSorted()).toEqual(Object.keys(atOnce).toSorted());
  });

  test('classes that are loaded later are the classes', async () => {
    class Mine extends byNeed.Manager {
      greeting = 'hello';
    }
    const mine = new Mine();
    onTestFinished(() => mine.close());
    expect(mine.greeting).toBe('hello');
    expect(mine).toBeInstanceOf(Mine);
    expect(mine).toBeInstanceOf(byNeed.Manager);
    expect(mine).toBeInstanceOf(atOnce.Manager);
    expect(byNeed.Manager.name).toBe('Manager');
    expect(new byNeed.JobGraph()).toBeInstanceOf(atOnce.JobGraph);
    const dict = mine.client().dict<string, number>('d');
    await dict.set('k', 1);
    expect(await dict.get('k')).toBe(1);
  });

  test('does what it does elsewhere: managers, pools, graphs, values of every kind', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'by-need-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'tasks.mjs');
    const index = import.meta.resolve('quartermaster');
    writeFileSync(
      file,
      `import * as qm from ${JSON.stringify(index.replace('index.js', 'start/by-need.js'))};
       export default qm.defineTasks({
         double: (n) => 2 * n,
         all: async (_, context) => {
           const own = await qm.startManager();
           const workers = await qm.startWorkers(own, import.meta.url, { count: 1 });
           const graph = new qm.JobGraph();
           graph.add('double', 4, { id: 'a', keep: true });
           const outputs = await own.tasks().runGraph(graph).result();
           const set = await own.tasks().run('double', 21);
           await workers.close();
           await own.shutdown();
           const dict = context.client.dict('shared');
           await dict.set('map', new Map([[1, new Date(0)]]));
           const pool = await qm.startPool({ tasks: import.meta.url, workers: 1 });
           const four = await pool.run('double', 2);
           await pool.close();
           return [outputs, set, await dict.get('map'), four];
         },
       });`,
    );
    const client = await quartermaster.startManager();
    onTestFinished(() => client.shutdown());
    const workers = await quartermaster.startWorkers(client, pathToFileURL(file), { count: 1 });
    onTestFinished(() => workers.close());
    expect(await client.tasks().run('all')).toEqual([{ a: 8 }, 42, new Map([[1, new Date(0)]]), 4]);
  });

  test.each([
    ['is loaded by need', [], 'start/by-need.js'],
    ['is all there where Node.js does not require() modules', ['--no-experimental-require-module'], 'dist/index.js'],
  ])('%s', async (_, options, file) => {
    const code = `import { defineTasks, Manager } from 'quartermaster';
      const manager = new Manager();
      await manager.client().dict('d').set('k', new Map([[1, 2]]));
      await manager.close();
      console.log(import.meta.resolve('quartermaster'), typeof defineTasks);`;
    const { stdout } = await run(process.execPath, [...options, '--input-type=module', '--eval', code], { cwd: root });
    expect(stdout).toMatch(new RegExp(`/${file} function\n$`));
  });

  test('loads nothing of a manager, nor what is not used, in a program that starts one and its workers', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'by-need-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const tasks = path.join(folder, 'tasks.mjs');
    writeFileSync(tasks, `export default { double: (n) => 2 * n, echo: (bytes) => bytes };`);
    const code = `import { startManager, startWorkers, connect } from 'quartermaster';
      const manager = await startManager();
      const workers = await startWorkers(manager, ${JSON.stringify(tasks)}, { count: 1 });
      const client = await connect(manager.connectionFile);
      const four = await client.tasks().run('double', 2);
      const { length } = await client.tasks().run('echo', Buffer.alloc(1 << 20));
      await client.close();
      await workers.close();
      await manager.shutdown();
      console.log(process.pid, four, length);`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: root,
      env: { ...process.env, NODE_V8_COVERAGE: folder },
    });
    const [pid, ...results] = stdout.trim().split(' ').map(Number);
    expect(results).toEqual([4, 1 << 20]);
    const rooms = scriptsOf(folder, pid as number).map((file) => path.relative(path.join(root, 'dist'), file));
    expect(rooms).toContain('proxy/connect.js');
    expect(rooms).toContain('protocol/codec/lone.js');
    expect(rooms.filter((file) => file.startsWith('manager/'))).toEqual([]);
    // Of queue/ only the data structures that a client has, too.
    expect(rooms.filter((file) => file.startsWith('queue/')).toSorted()).toEqual([
      'queue/deque.js',
      'queue/numbered.js',
      'queue/task.js',
    ]);
    const unused = [
      'proxy/kinds.js',
      'proxy/job-graph.js',
      'protocol/codec/whole.js',
      'worker/work.js',
      'worker/pool.js',
    ];
    expect(rooms.filter((file) => unused.includes(file))).toEqual([]);
  });
});

/** The compiled files that a process has loaded, by what the engine says it covered. */
function scriptsOf(folder: string, pid: number): string[] {
  const report = readdirSync(folder).find((file) => file.startsWith(`coverage-${pid}-`)) as string;
  const { result } = JSON.parse(readFileSync(path.join(folder, report), 'utf8')) as { result: { url: string }[] };
  return result
    .filter(({ url }) => url.startsWith(pathToFileURL(path.join(root, 'dist')).href))
    .map(({ url }) => fileURLToPath(url));
}
