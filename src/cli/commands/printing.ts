/** What commands print: tables for people, JSON for programs. */
import { inspect } from 'node:util';
import { printable } from '../run/job-log.ts';

/** Columns as wide as what stands in them; no table at all where there are no rows. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return `${none}\n`;
  const lines = [headings, ...rows].map((row) => row.map((cell) => printable(cell).replaceAll('\n', ' ')));
  const widths = headings.map((_, at) => Math.max(...lines.map((row) => (row[at] ?? '').length)));
  return lines
    .map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

/** One line. Tokens are larger than JSON's numbers: they are texts. */
export function json(value: unknown): string {
  return `${JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part))}\n`;
}

/** An output, as JSON where that carries it, else as Node.js shows it. */
export function shown(value: unknown): string {
  if (value === undefined) return '';
  try {
    const text = JSON.stringify(value);
    if (text !== undefined && isPlain(value)) return `${text}\n`;
  } catch {
    // A cycle, or a bigint.
  }
  return `${inspect(value, { depth: 10 })}\n`;
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'bigint';
  const prototype: unknown = Object.getPrototypeOf(value);
  const plain = Array.isArray(value) || prototype === Object.prototype || prototype === null;
  return plain && Object.values(value).every(isPlain);
}

/** When something was, as a person reads it. */
export function time(at: number | undefined): string {
  return at === undefined ? '' : new Date(at).toISOString().replace('T', ' ').slice(0, 19);
}
