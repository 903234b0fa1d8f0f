/**
 * What a job's task is given: its texts and values, in which every output of another job stands as a reference. On the
 * worker the outputs are there in their place, and the texts can be written.
 */
import path from 'node:path';
import type { OutputPiece, Template, Tree } from '../graph-file/template.ts';

/** A text in pieces; `value` is a reference where it is sent, and an output where it has arrived. */
export type SentTemplate = readonly (string | SentPiece)[];

export interface SentPiece {
  readonly expression: string;
  readonly value: unknown;
  readonly path: readonly (string | number)[];
}

export type SentTree =
  | { readonly kind: 'plain'; readonly value: unknown }
  | { readonly kind: 'text'; readonly template: SentTemplate }
  | { readonly kind: 'output'; readonly piece: SentPiece }
  | { readonly kind: 'list'; readonly items: readonly SentTree[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, SentTree])[] };

/** What stands for the output of the job of an id. */
export type ReferTo = (id: string) => unknown;

export function sendTemplate(template: Template, refer: ReferTo): SentTemplate {
  return template.map((piece) => (typeof piece === 'string' ? piece : sendPiece(piece, refer)));
}

export function sendTree(tree: Tree, refer: ReferTo): SentTree {
  switch (tree.kind) {
    case 'plain':
      return tree;
    case 'text':
      return { kind: 'text', template: sendTemplate(tree.template, refer) };
    case 'output':
      return { kind: 'output', piece: sendPiece(tree.piece, refer) };
    case 'list':
      return { kind: 'list', items: tree.items.map((item) => sendTree(item, refer)) };
    case 'map':
      return { kind: 'map', entries: tree.entries.map(([key, part]) => [key, sendTree(part, refer)]) };
  }
}

function sendPiece({ expression, jobs, list, path }: OutputPiece, refer: ReferTo): SentPiece {
  const values = jobs.map(refer);
  return { expression, value: list ? values : values[0], path };
}

/** The text, with each output as text in it. */
export function writeText(template: SentTemplate): string {
  return template.map((piece) => (typeof piece === 'string' ? piece : textOf(valueOf(piece)))).join('');
}

export function writeTree(tree: SentTree): unknown {
  switch (tree.kind) {
    case 'plain':
      return tree.value;
    case 'text':
      return writeText(tree.template);
    case 'output':
      return valueOf(tree.piece);
    case 'list':
      return tree.items.map(writeTree);
    case 'map':
      return Object.fromEntries(tree.entries.map(([key, part]) => [key, writeTree(part)]));
  }
}

/** The part of the output that the expression names. @throws Error where the output has no such part */
export function valueOf({ expression, value, path }: SentPiece): unknown {
  let part = value;
  for (const step of path) {
    if (typeof part !== 'object' || part === null || !Object.hasOwn(part, step)) {
      throw new Error(
        `\${{ ${expression} }}: the output has no '${step}': see what that job outputs, or name another part`,
      );
    }
    part = (part as Record<string | number, unknown>)[step];
  }
  return part;
}

/**
 * As a text: of a list, one line for each; of an object, JSON.
 * @throws TypeError for what has no text, such as a Map
 */
export function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (Array.isArray(value)) return value.map(textOf).join('\n');
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'string') return value;
  if (typeof value !== 'object') return `${value as number | bigint | boolean}`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return JSON.stringify(value);
  throw new TypeError(
    `an output that is a ${value.constructor.name} cannot stand in a text: output a text or a plain object, or give it to a handler as it is`,
  );
}

/** Files that a job reads. */
export interface SentFiles {
  /** The directory of the graph file; absolute. */
  readonly directory: string;
  /** Relative to it. */
  readonly cwd: SentTemplate;
  /** Relative to `cwd`. */
  readonly paths: readonly SentTemplate[];
}

/** What every job is given, whatever it runs. */
export interface JobEnvelope {
  /** Undefined where the job does not say what it reads. */
  readonly files: SentFiles | undefined;
  /** The file in which the digest of `files` is noted; absolute. */
  readonly inputsNote: string;
  /** Where its log goes; absolute. */
  readonly log: string;
}

/** What a handler's job is given. */
export interface JobInput extends JobEnvelope {
  readonly input: SentTree;
}

/** The paths, absolute. */
export function readInputs({ directory, cwd, paths }: SentFiles): string[] {
  const from = path.resolve(directory, writeText(cwd));
  return paths.map((one) => path.resolve(from, writeText(one)));
}
