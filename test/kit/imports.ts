/** What a TypeScript file imports, read from its syntax tree: comments and strings that look like imports do not count. */
import { parseAst } from 'vitest/node';

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /**
   * `value` runs the other file, `type` vanishes at compile time, `entry` is `new URL('./file', import.meta.url)`:
   * a file that is started as a process or thread of its own.
   */
  readonly kind: 'value' | 'type' | 'entry';
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

/** Every import, re-export, `import()` and entry of a file, in order. */
export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  visit(parseAst(text, { lang: 'ts' }) as unknown as Node, (node) => {
    const { kind, source } = importIn(node) ?? {};
    if (kind === undefined || source?.type !== 'Literal' || typeof source['value'] !== 'string') return;
    found.push({ specifier: source['value'], kind, line: text.slice(0, node.start).split('\n').length });
  });
  return found;
}

function importIn(node: Node): { kind: Import['kind']; source: Node | null } | undefined {
  switch (node.type) {
    case 'ImportDeclaration':
      return { kind: onlyTypes(node, 'importKind') ? 'type' : 'value', source: node['source'] as Node };
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
      return { kind: onlyTypes(node, 'exportKind') ? 'type' : 'value', source: node['source'] as Node | null };
    case 'ImportExpression':
      return { kind: 'value', source: node['source'] as Node };
    case 'TSImportType':
      return { kind: 'type', source: node['source'] as Node };
    case 'NewExpression': {
      const [source, base] = node['arguments'] as Node[];
      if ((node['callee'] as Node)['name'] !== 'URL' || source === undefined || !isImportMetaUrl(base))
        return undefined;
      return { kind: 'entry', source };
    }
    default:
      return undefined;
  }
}

/** `import type { A }` vanishes whole; `import { type A }` still runs the file (verbatimModuleSyntax). */
function onlyTypes(node: Node, key: 'importKind' | 'exportKind'): boolean {
  return node[key] === 'type';
}

function isImportMetaUrl(node: Node | undefined): boolean {
  return (
    node?.type === 'MemberExpression' &&
    (node['object'] as Node).type === 'MetaProperty' &&
    (node['property'] as Node)['name'] === 'url'
  );
}

function visit(node: Node, look: (node: Node) => void): void {
  look(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, look);
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}
