/**
 * Every exported symbol, and every public member of an exported class and method of an exported interface, has a doc
 * comment in the declarations that users get: dist/*.d.ts, from index.d.ts on.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseAst } from 'vitest/node';

const root = path.dirname(import.meta.dirname);

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

test('every exported symbol has a doc comment, and so has every public method', () => {
  const { names, missing } = look(path.join(root, 'dist', 'index.d.ts'));
  expect(missing).toEqual([]);
  // What users import first, and bases that are exported by nobody, have been looked at.
  expect(names).toEqual(expect.arrayContaining(['Client', 'Manager', 'JobGraph', 'startManager', 'TimeoutError']));
  expect(names.length).toBeGreaterThan(90);
});

test('what has none is named', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'declarations-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string): void => writeFileSync(path.join(folder, name), text);
  write('index.d.ts', "/** The index. */\nexport * from './a.ts';\nexport { type B, b as c } from './b.ts';\n");
  write('base.d.ts', 'export declare class Base { inherited(): void; protected hidden(): void }');
  write(
    'a.d.ts',
    `import { Base } from './base.ts';
/** Documented. */
export declare class A extends Base {
  #private;
  constructor(x: number);
  /** Documented. */
  first(): void;
  second(): void;
  get third(): number;
  private fourth;
  [Symbol.asyncDispose](): Promise<void>;
}
declare const notExported: number;
export type T = string;`,
  );
  write(
    'b.d.ts',
    '/** Documented. */\nexport interface B { readonly x: number; y(): void }\nexport declare function b(): void;',
  );
  const { missing } = look(path.join(folder, 'index.d.ts'));
  expect(missing).toEqual(['a: A.second', 'a: A.third', 'base: Base.inherited', 'a: T', 'b: B.y', 'b: b']);
});

/** The names that an index exports, and those among them, and among their members, that have no doc comment. */
function look(index: string): { names: string[]; missing: string[] } {
  const names: string[] = [];
  const missing: string[] = [];
  const bases = new Set<string>();

  const judge = (file: Declarations, name: string): void => {
    const found = file.declarations.filter((declaration) => nameOf(declaration.node) === name);
    names.push(name);
    if (!found.some(({ at }) => file.documented(at))) missing.push(`${file.name}: ${name}`);
    for (const { node } of found) judgeMembers(file, name, node);
  };

  const judgeMembers = (file: Declarations, name: string, node: Node): void => {
    const { body } = node as { body?: { body?: Node[] } };
    const documented = new Set<string>();
    const asked = new Set<string>();
    for (const member of body?.body ?? []) {
      const key = memberName(node, member);
      if (key === undefined) continue;
      asked.add(key);
      if (file.documented(member.start)) documented.add(key); // of overloads, one
    }
    for (const key of asked) if (!documented.has(key)) missing.push(`${file.name}: ${name}.${key}`);
    const base = (node['superClass'] as { name?: string } | null | undefined)?.name;
    if (base !== undefined) judgeBase(file, base);
  };

  const judgeBase = (file: Declarations, base: string): void => {
    const home = file.homeOf(base);
    if (home === undefined || bases.has(`${home.path} ${base}`)) return;
    bases.add(`${home.path} ${base}`);
    const found = home.declarations.find(({ node }) => nameOf(node) === base);
    if (found !== undefined) judgeMembers(home, base, found.node);
  };

  const follow = (from: Declarations): void => {
    for (const { source, exported } of from.reExports) {
      const file = from.open(source);
      for (const name of exported ?? file.exported) judge(file, name);
      if (exported === undefined) follow(file);
    }
  };

  follow(read(index));
  return { names, missing };
}

interface Declarations {
  readonly path: string;
  /** For messages. */
  readonly name: string;
  /** `at` is where the statement begins, `export` included. */
  readonly declarations: readonly { readonly node: Node; readonly at: number }[];
  readonly exported: readonly string[];
  /** `exported`: names in the source; undefined for all of them. */
  readonly reExports: readonly { readonly source: string; readonly exported: readonly string[] | undefined }[];
  documented(at: number): boolean;
  open(specifier: string): Declarations;
  /** Where a name that this file uses is declared; undefined outside of the package. */
  homeOf(name: string): Declarations | undefined;
}

function read(file: string): Declarations {
  const text = readFileSync(file, 'utf8');
  const { body } = parseAst(text, { lang: 'dts' }) as unknown as { body: Node[] };
  const declarations: { node: Node; at: number }[] = [];
  const exported: string[] = [];
  const reExports: { source: string; exported: readonly string[] | undefined }[] = [];
  const imported = new Map<string, string>();
  for (const statement of body) {
    const source = (statement['source'] as { value?: string } | null | undefined)?.value;
    const declaration = statement['declaration'] as Node | null | undefined;
    if (statement.type === 'ExportAllDeclaration') {
      reExports.push({ source: source as string, exported: undefined });
    } else if (statement.type === 'ImportDeclaration') {
      for (const { local } of statement['specifiers'] as { local: { name: string } }[])
        imported.set(local.name, source as string);
    } else if (source !== undefined) {
      const specifiers = statement['specifiers'] as { local: { name: string } }[];
      reExports.push({ source, exported: specifiers.map(({ local }) => local.name) });
    } else if (declaration) {
      declarations.push({ node: declaration, at: statement.start });
      exported.push(nameOf(declaration));
    } else {
      declarations.push({ node: statement, at: statement.start });
    }
  }
  const open = (specifier: string): Declarations =>
    read(path.resolve(path.dirname(file), specifier.replace(/\.[jt]s$/, '.d.ts')));
  return {
    path: file,
    name: path.basename(file, '.d.ts'),
    declarations,
    exported: [...new Set(exported)],
    reExports,
    open,
    documented: (at) => /\/\*\*(?:(?!\*\/)[^])*\*\/\s*$/.test(text.slice(0, at)),
    homeOf: (name) => {
      const source = imported.get(name);
      if (source === undefined) return declarations.some(({ node }) => nameOf(node) === name) ? read(file) : undefined;
      return source.startsWith('.') ? open(source) : undefined;
    },
  };
}

function nameOf(node: Node): string {
  const [first] = (node['declarations'] as Node[] | undefined) ?? [];
  return ((first ?? node)['id'] as { name?: string } | null | undefined)?.name ?? '';
}

/** The name of a member that needs a comment: all of a class's that users can reach, the methods of an interface. */
function memberName(parent: Node, member: Node): string | undefined {
  if (parent.type === 'TSInterfaceDeclaration' && member.type !== 'TSMethodSignature') return undefined;
  if (member['kind'] === 'constructor' || member['computed'] === true) return undefined;
  if (member['accessibility'] === 'private' || member['accessibility'] === 'protected') return undefined;
  const { type, name } = (member['key'] as { type: string; name?: string } | undefined) ?? { type: '' };
  return type === 'Identifier' ? name : undefined;
}
