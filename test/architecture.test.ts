/**
 * Holds the layer table of the design: who in src/ may import whom, and what a file may be called and how long it may
 * be. A violation says in a sentence what the import should have been.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { walk } from '../scripts/freshness.mjs';
import { importsOf } from './kit/imports.ts';

/** A room imports only from rooms in a row above its own. `vocabulary` are the files directly in src/, but index.ts. */
const layers: readonly (readonly string[])[] = [
  ['vocabulary'],
  ['graph', 'protocol'],
  ['queue', 'transport', 'sources'],
  ['proxy'],
  ['manager', 'worker', 'store', 'observe', 'dashboard'],
  ['start'],
  ['index'],
  ['cli'],
];

/** Refused although the table would allow it, or worth a word of its own. */
const never: readonly { from: string; to: readonly string[]; instead: string }[] = [
  { from: 'proxy', to: ['manager'], instead: 'the two meet only in protocol/' },
  {
    from: 'worker',
    to: ['manager', 'queue'],
    instead: 'it reaches tasks through proxy/, and the three meet in protocol/',
  },
  {
    from: 'cli',
    to: layers.flat().filter((room) => room !== 'index' && room !== 'cli'),
    instead: 'import ../index.ts',
  },
];

/** Rooms that decide and do nothing: time, processes and sockets are handed to them. */
const pure: readonly string[] = ['vocabulary', 'graph', 'queue'];

/** What protocol/ must not touch, because bytes travel in transport/. */
const notInProtocol = /^node:(net|tls|dgram|http|https|http2|child_process|worker_threads|cluster|fs|timers)(\/|$)/;

/** Packages that live in one file. */
const homes: Readonly<Record<string, string>> = { 'node-ipc': 'transport/node-ipc.ts' };

const longest = 450;

/** Files that were looked at twice and are better in one piece. */
const longOnPurpose: Readonly<Record<string, string>> = {
  'protocol/wire.ts': 'the writer and the reader of one plain form, side by side',
};

const root = path.dirname(import.meta.dirname);

test('src/ keeps the layer table', () => {
  expect(badImports(path.join(root, 'src'), declaredPackages())).toEqual([]);
});

test('no import cycle in src/', () => {
  expect(cycles(path.join(root, 'src'))).toEqual([]);
});

test('files in src/ are named for what they hold and short enough to read', () => {
  expect(badFiles(path.join(root, 'src'), longOnPurpose)).toEqual([]);
});

describe('what the table refuses', () => {
  const files = {
    'errors.ts': '',
    'events.ts': '',
    'index.ts': '',
    'graph/graph.ts': '',
    'queue/queue.ts': '',
    'protocol/messages.ts': '',
    'transport/node-ipc.ts': `import ipc from 'node-ipc';`,
    'proxy/connection.ts': '',
    'manager/session.ts': '',
    'manager/entry.ts': '',
    'store/journal.ts': '',
  };

  const refused: readonly [sentence: string, file: string, text: string][] = [
    [
      'src/proxy/a.ts:1 imports src/manager/session.ts: proxy never imports manager; the two meet only in protocol/.',
      'proxy/a.ts',
      `import { Session } from '../manager/session.ts';`,
    ],
    [
      'src/worker/a.ts:2 imports src/queue/queue.ts: worker never imports queue; it reaches tasks through proxy/, and the three meet in protocol/.',
      'worker/a.ts',
      `\nexport type { Queue } from '../queue/queue.ts';`,
    ],
    [
      'src/queue/a.ts:1 imports src/proxy/connection.ts: queue may import only its own files and vocabulary, graph, protocol.',
      'queue/a.ts',
      `const { x } = await import('../proxy/connection.ts');`,
    ],
    [
      'src/manager/a.ts:1 imports src/store/journal.ts: manager may import only its own files and vocabulary, graph, protocol, queue, transport, sources, proxy.',
      'manager/a.ts',
      `let x: import('../store/journal.ts').Journal;`,
    ],
    [
      'src/cli/a.ts:1 imports src/manager/entry.ts: cli never imports manager; import ../index.ts.',
      'cli/a.ts',
      `import '../manager/entry.ts';`,
    ],
    [
      'src/words.ts:1 imports src/events.ts: vocabulary takes only types from its own kind (and values from errors.ts); write `import type`.',
      'words.ts',
      `import { Event } from './events.ts';`,
    ],
    [
      'src/words.ts:1 imports src/graph/graph.ts: vocabulary may import only its own files.',
      'words.ts',
      `import type { Graph } from './graph/graph.ts';`,
    ],
    [
      'src/queue/a.ts:1 imports node:timers: queue is pure; let its caller hand in time and events.',
      'queue/a.ts',
      `import { setTimeout } from 'node:timers';`,
    ],
    [
      'src/protocol/a.ts:1 imports node:net: protocol knows messages only; bytes travel in transport/.',
      'protocol/a.ts',
      `import { Socket } from 'node:net';`,
    ],
    [
      'src/transport/a.ts:1 imports node-ipc: only src/transport/node-ipc.ts may; use what that file exports.',
      'transport/a.ts',
      `import ipc from 'node-ipc';`,
    ],
    [
      'src/proxy/a.ts:1 imports left-pad, which package.json does not name as a dependency.',
      'proxy/a.ts',
      `import pad from 'left-pad';`,
    ],
    [
      'src/proxy/a.ts:1 imports quartermaster: inside src/ import the file itself, by its relative path.',
      'proxy/a.ts',
      `import { connect } from 'quartermaster';`,
    ],
    [
      'src/proxy/a.ts:1 imports ./connection.js: source files are imported by their own name, ending in .ts.',
      'proxy/a.ts',
      `import './connection.js';`,
    ],
    ['src/cli/a.ts:1 imports src/start/start.ts, which does not exist.', 'cli/a.ts', `import '../start/start.ts';`],
    ["src/proxy/a.ts:1 imports net: a built-in module is written 'node:net'.", 'proxy/a.ts', `import net from 'net';`],
    [
      'src/proxy/a.ts:1 imports ./connection.ts: an entry is named as it is compiled, ending in .js.',
      'proxy/a.ts',
      `new Worker(new URL('./connection.ts', import.meta.url));`,
    ],
    ['src/attic/a.ts is in a room that the layer table does not know; give attic a row.', 'attic/a.ts', ''],
  ];

  test.each(refused)('%s', (sentence, file, text) => {
    expect(badImports(tree({ ...files, [file]: text }), ['node-ipc'])).toEqual([sentence]);
  });

  test('a worker entry by URL is no import, but it must exist', () => {
    const text = (entry: string): string => `new Worker(new URL('${entry}', import.meta.url));`;
    const good = { ...files, 'proxy/a.ts': text('../manager/entry.js') };
    expect(badImports(tree(good), ['node-ipc'])).toEqual([]);
    const bad = { ...files, 'proxy/a.ts': text('../manager/other.js') };
    expect(badImports(tree(bad), ['node-ipc'])).toEqual([
      'src/proxy/a.ts:1 imports src/manager/other.js, which does not exist.',
    ]);
  });

  test('comments and strings are no imports', () => {
    const text = `// import x from '../manager/session.ts'\nexport const y = "import '../manager/session.ts'";`;
    expect(badImports(tree({ ...files, 'proxy/a.ts': text }), ['node-ipc'])).toEqual([]);
  });

  test('a cycle is named along its way; a type import, which vanishes, closes none', () => {
    const files = { 'queue/a.ts': `import './b.ts';`, 'queue/b.ts': `import { type C } from './c.ts';` };
    const cycle = tree({ ...files, 'queue/c.ts': `export * from './a.ts';` });
    expect(cycles(cycle)).toEqual(['src/queue/a.ts -> src/queue/b.ts -> src/queue/c.ts -> src/queue/a.ts']);
    const typesOnly = tree({ ...files, 'queue/c.ts': `import type { A } from './a.ts';` });
    expect(cycles(typesOnly)).toEqual([]);
  });

  test('names without meaning and files too long to read', () => {
    const src = tree({
      'proxy/utils.ts': '',
      'proxy/string-helpers.ts': '',
      'queue/long.ts': '\n'.repeat(longest + 1),
      'queue/right.ts': '\n'.repeat(longest),
    });
    expect(badFiles(src, { 'queue/right.ts': 'once' })).toEqual([
      'src/proxy/string-helpers.ts says nothing by its name: give the helper a home and the name of what it does.',
      'src/proxy/utils.ts says nothing by its name: give the helper a home and the name of what it does.',
      `src/queue/long.ts has 451 lines: part it, or list it in longOnPurpose with a reason.`,
      `src/queue/right.ts has 450 lines: take it out of longOnPurpose.`,
    ]);
  });
});

function badImports(src: string, packages: readonly string[]): string[] {
  const known = new Set(layers.flat());
  const all = sources(src);
  return all.flatMap((file) => {
    const name = relative(src, file);
    const room = roomOf(name);
    if (!known.has(room)) return [`src/${name} is in a room that the layer table does not know; give ${room} a row.`];
    return importsOf(readFileSync(file, 'utf8')).flatMap(({ specifier, kind, line }) => {
      const here = `src/${name}:${line} imports`;
      if (!specifier.startsWith('.')) return badPackage(name, room, specifier, packages).map((why) => `${here} ${why}`);
      if (kind === 'entry' && specifier.endsWith('.ts'))
        return [`${here} ${specifier}: an entry is named as it is compiled, ending in .js.`];
      if (kind === 'entry' && !specifier.endsWith('.js')) return [];
      if (kind !== 'entry' && !specifier.endsWith('.ts'))
        return [`${here} ${specifier}: source files are imported by their own name, ending in .ts.`];
      const target = relative(src, path.resolve(path.dirname(file), specifier));
      if (!all.includes(path.join(src, target.replace(/\.js$/, '.ts')))) {
        return [`${here} src/${target}, which does not exist.`];
      }
      if (kind === 'entry') return [];
      return badRoom(room, target, kind).map((why) => `${here} src/${target}: ${why}`);
    });
  });
}

function badRoom(room: string, target: string, kind: 'value' | 'type'): string[] {
  const other = roomOf(target);
  const rule = never.find(({ from, to }) => from === room && to.includes(other));
  if (rule) return [`${room} never imports ${other}; ${rule.instead}.`];
  if (other === room) {
    if (room !== 'vocabulary' || kind === 'type' || target === 'errors.ts') return [];
    return ['vocabulary takes only types from its own kind (and values from errors.ts); write `import type`.'];
  }
  const above = layers.slice(0, rowOf(room)).flat();
  if (above.includes(other)) return [];
  const rooms = above.length > 0 ? ` and ${above.join(', ')}` : '';
  return [`${room} may import only its own files${rooms}.`];
}

function badPackage(name: string, room: string, specifier: string, packages: readonly string[]): string[] {
  if (specifier.startsWith('node:')) {
    if (pure.includes(room)) return [`${specifier}: ${room} is pure; let its caller hand in time and events.`];
    if (room === 'protocol' && notInProtocol.test(specifier))
      return [`${specifier}: protocol knows messages only; bytes travel in transport/.`];
    return [];
  }
  if (specifier.startsWith('#') || specifier === 'quartermaster' || specifier.startsWith('quartermaster/'))
    return [`${specifier}: inside src/ import the file itself, by its relative path.`];
  if (isBuiltin(specifier)) return [`${specifier}: a built-in module is written 'node:${specifier}'.`];
  const packageName = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (!packages.includes(packageName)) return [`${packageName}, which package.json does not name as a dependency.`];
  const home = homes[packageName];
  if (home !== undefined && home !== name) return [`${packageName}: only src/${home} may; use what that file exports.`];
  return [];
}

function cycles(src: string): string[] {
  const edges = new Map<string, string[]>();
  for (const file of sources(src)) {
    const targets = importsOf(readFileSync(file, 'utf8'))
      .filter(({ specifier, kind }) => specifier.startsWith('.') && kind === 'value')
      .map(({ specifier }) => relative(src, path.resolve(path.dirname(file), specifier)));
    edges.set(relative(src, file), targets);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (file: string): void => {
    const at = way.indexOf(file);
    if (at >= 0) found.push([...way.slice(at), file].map((name) => `src/${name}`).join(' -> '));
    if (at >= 0 || done.has(file)) return;
    way.push(file);
    for (const target of edges.get(file) ?? []) visit(target);
    way.pop();
    done.add(file);
  };
  for (const file of edges.keys()) visit(file);
  return found;
}

function badFiles(src: string, allowed: Readonly<Record<string, string>>): string[] {
  return sources(src).flatMap((file) => {
    const name = relative(src, file);
    const found: string[] = [];
    if (/(^|[-/.])(utils?|helpers|misc|common)([-/.]|$)/i.test(name))
      found.push(`src/${name} says nothing by its name: give the helper a home and the name of what it does.`);
    const lines = readFileSync(file, 'utf8').split('\n').length - 1;
    if (lines > longest && !Object.hasOwn(allowed, name))
      found.push(`src/${name} has ${lines} lines: part it, or list it in longOnPurpose with a reason.`);
    if (lines <= longest && Object.hasOwn(allowed, name))
      found.push(`src/${name} has ${lines} lines: take it out of longOnPurpose.`);
    return found;
  });
}

function sources(src: string): string[] {
  return walk(src)
    .files.filter((file) => file.endsWith('.ts'))
    .toSorted();
}

function roomOf(name: string): string {
  if (name.includes('/')) return name.slice(0, name.indexOf('/'));
  return name === 'index.ts' ? 'index' : 'vocabulary';
}

function rowOf(room: string): number {
  return layers.findIndex((row) => row.includes(room));
}

function relative(src: string, file: string): string {
  return path.relative(src, file).replaceAll(path.sep, '/');
}

function declaredPackages(): string[] {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<string, object>;
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {} } = manifest;
  return Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
}

/** A source tree of its own for one test. */
function tree(files: Readonly<Record<string, string>>): string {
  const src = path.join(mkdtempSync(path.join(os.tmpdir(), 'tree-')), 'src');
  onTestFinished(() => rmSync(path.dirname(src), { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(src, name)), { recursive: true });
    writeFileSync(path.join(src, name), text);
  }
  return src;
}
