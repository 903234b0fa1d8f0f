/**
 * Texts with `${{ … }}` in them. What stands inside is one of
 *
 *     jobs.NAME.output          the output of a job; of one with a matrix, the list of all its outputs
 *     jobs.NAME[20].output      of one combination: by its values, or by those of this job, as in [matrix.node]
 *     jobs.NAME.output.version  a part of it: names, and places such as [0]
 *     matrix.NAME               a value of this job's combination
 *
 * `$${{` stands for `${{` itself.
 */
import type { Scalar } from './model.ts';

/** Stands for what will be known when the job runs. */
export interface OutputPiece {
  /** As it was written. */
  readonly expression: string;
  /** Ids of the jobs. */
  readonly jobs: readonly string[];
  /** Whether it is the list of their outputs, or the output of the only one. */
  readonly list: boolean;
  readonly path: readonly (string | number)[];
}

/** A text in pieces. */
export type Template = readonly (string | OutputPiece)[];

/** A value in which texts are templates. */
export type Tree =
  | { readonly kind: 'plain'; readonly value: unknown }
  | { readonly kind: 'text'; readonly template: Template }
  | { readonly kind: 'output'; readonly piece: OutputPiece }
  | { readonly kind: 'list'; readonly items: readonly Tree[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, Tree])[] };

/** What a template may refer to. */
export interface TemplateScope {
  /** The values of this job's combination. */
  readonly matrix: Readonly<Record<string, Scalar>>;
  /** @throws TemplateError where there is no such job or combination */
  jobs(name: string, combination: readonly Scalar[] | undefined): { ids: readonly string[]; list: boolean };
}

/** `expression` is what is wrong, as it stands in the text. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  readonly expression: string;

  constructor(message: string, expression: string) {
    super(message);
    this.expression = expression;
  }
}

const expressions = /\$\$\{\{|\$\{\{([^]*?)\}\}|\$\{\{/g;
const output = /^jobs\.([A-Za-z_][\w-]*)(?:\[([^\]]*)\])?\.output((?:\.[A-Za-z_][\w-]*|\[\d+\])*)$/;
const matrix = /^matrix\.([A-Za-z_][\w-]*)$/;

/** @throws TemplateError */
export function parseTemplate(text: string, scope: TemplateScope): Template {
  const pieces: (string | OutputPiece)[] = [];
  const add = (piece: string | OutputPiece): void => {
    const last = pieces.at(-1);
    if (typeof piece === 'string' && typeof last === 'string') pieces[pieces.length - 1] = last + piece;
    else if (piece !== '') pieces.push(piece);
  };
  let from = 0;
  for (const found of text.matchAll(expressions)) {
    add(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[0] === '$${{') add('${{');
    else if (found[1] === undefined) throw new TemplateError("'${{' has no '}}': close it, or write '$${{'", found[0]);
    else add(pieceOf(found[0], found[1].trim(), scope));
  }
  add(text.slice(from));
  return pieces;
}

function pieceOf(whole: string, expression: string, scope: TemplateScope): string | OutputPiece {
  const value = matrix.exec(expression);
  if (value !== null) return String(matrixValue(value[1] as string, whole, scope));
  const found = output.exec(expression);
  if (found === null) {
    throw new TemplateError(
      `${whole} is not known: write \${{ jobs.NAME.output }}, with .part or [0] behind it, or \${{ matrix.NAME }}`,
      whole,
    );
  }
  const [, name = '', combination, path = ''] = found;
  const { ids, list } = scope.jobs(name, combination === undefined ? undefined : values(combination, whole, scope));
  return { expression, jobs: ids, list, path: stepsIn(path) };
}

function matrixValue(name: string, whole: string, { matrix: values }: TemplateScope): Scalar {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value !== undefined) return value;
  const known = Object.keys(values);
  const there = known.length === 0 ? 'this job has no matrix' : `its matrix has ${known.join(', ')}`;
  throw new TemplateError(`${whole}: there is no such value; ${there}`, whole);
}

function values(text: string, whole: string, scope: TemplateScope): Scalar[] {
  return text.split(',').map((part) => {
    const word = part.trim().replace(/^(['"])(.*)\1$/, '$2');
    const found = matrix.exec(word);
    return found === null ? word : matrixValue(found[1] as string, whole, scope);
  });
}

function stepsIn(path: string): (string | number)[] {
  return Array.from(path.matchAll(/\.([A-Za-z_][\w-]*)|\[(\d+)\]/g), ([, name, index]) => name ?? Number(index));
}

/** Every text of a value as a template. @throws TemplateError */
export function parseTree(value: unknown, scope: TemplateScope): Tree {
  if (typeof value === 'string') {
    const template = parseTemplate(value, scope);
    const [first = '', ...more] = template;
    if (more.length > 0) return { kind: 'text', template };
    if (typeof first === 'string') return { kind: 'plain', value: wholeMatrixValue(value, scope) ?? first };
    return { kind: 'output', piece: first };
  }
  if (Array.isArray(value)) return { kind: 'list', items: value.map((item) => parseTree(item, scope)) };
  if (typeof value === 'object' && value !== null) {
    return { kind: 'map', entries: Object.entries(value).map(([key, part]) => [key, parseTree(part, scope)]) };
  }
  return { kind: 'plain', value };
}

/** `${{ matrix.node }}` and nothing else is that value itself: a number stays one. */
function wholeMatrixValue(text: string, { matrix: values }: TemplateScope): Scalar | undefined {
  const name = /^\$\{\{\s*matrix\.([A-Za-z_][\w-]*)\s*\}\}$/.exec(text)?.[1];
  return name === undefined ? undefined : values[name];
}

/** The outputs that a template or tree needs. */
export function piecesIn(part: Template | Tree): readonly OutputPiece[] {
  if (isTemplate(part)) return part.filter((piece) => typeof piece !== 'string');
  switch (part.kind) {
    case 'plain':
      return [];
    case 'text':
      return piecesIn(part.template);
    case 'output':
      return [part.piece];
    case 'list':
      return part.items.flatMap(piecesIn);
    case 'map':
      return part.entries.flatMap(([, entry]) => piecesIn(entry));
  }
}

function isTemplate(part: Template | Tree): part is Template {
  return Array.isArray(part);
}
