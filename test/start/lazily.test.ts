/** What is loaded lazily is loaded by whoever needs it, and is all there at once for programs; a worker has it all. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as quartermaster from 'quartermaster';
import * as inWorker from '#qm/start/in-worker.js';
import { walk } from '../../scripts/freshness.mjs';

const root = path.dirname(path.dirname(import.meta.dirname));
const src = path.join(root, 'src');
const run = promisify(execFile);

/** The files that a source names by `call(new URL('…', import.meta.url)`, from src/ on. */
function named(file: string, call: RegExp): string[] {
  const found = readFileSync(file, 'utf8').matchAll(call);
  return Array.from(found, ([, to]) => path.relative(src, path.resolve(path.dirname(file), to as string)));
}

test('a program has every part from the start, but for those of the face that is loaded lazily itself', () => {
  const lazy = walk(src)
    .files.filter((file) => file.endsWith('.ts') && !file.endsWith('in-worker.ts'))
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

describe("what `import 'quartermaster'` gives in a worker", () => {
  test('has the same names', () => {
    expect(Object.keys(inWorker).toSorted()).toEqual(Object.keys(quartermaster).toSorted());
  });

  test('classes that are loaded later are the classes', async () => {
    class Mine extends inWorker.Manager {
      greeting = 'hello';
    }
    const mine = new Mine();
    onTestFinished(() => mine.close());
    expect(mine.greeting).toBe('hello');
    expect(mine).toBeInstanceOf(Mine);
    expect(mine).toBeInstanceOf(inWorker.Manager);
    expect(mine).toBeInstanceOf(quartermaster.Manager);
    expect(inWorker.Manager.name).toBe('Manager');
    expect(new inWorker.JobGraph()).toBeInstanceOf(quartermaster.JobGraph);
    const dict = mine.client().dict<string, number>('d');
    await dict.set('k', 1);
    expect(await dict.get('k')).toBe(1);
  });

  test('does what it does elsewhere: managers, pools, graphs, values of every kind', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'in-worker-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'tasks.mjs');
    const index = import.meta.resolve('quartermaster');
    writeFileSync(
      file,
      `import * as qm from ${JSON.stringify(index.replace('index.js', 'start/in-worker.js'))};
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

  test('is what the condition of package.json names, and nothing that a worker spawns is started with it', async () => {
    const code = `import { defineTasks } from 'quartermaster'; import { execArgv } from 'node:process';
      console.log(import.meta.resolve('quartermaster').endsWith('start/in-worker.js'), typeof defineTasks, execArgv.length);`;
    const args = ['--conditions=quartermaster-worker', '--input-type=module', '--eval', code];
    const { stdout } = await run(process.execPath, args, { cwd: root });
    expect(stdout).toMatch(/^true function/);
  });
});
