/** What is given on a command line, checked: for commander, which tells what is thrown here. */
import { InvalidArgumentError } from 'commander';
import { durationOf } from '../graph-file/duration.ts';

/** Reads a whole number between bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^-?\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Reads a number. */
export function anyNumber(text: string): number {
  const number = Number(text);
  if (text.trim() !== '' && Number.isFinite(number)) return number;
  throw new InvalidArgumentError('It must be a number.');
}

/** Collects names: an option that may be given several times, each with names that commas part. */
export function names(text: string, before: readonly string[] = []): readonly string[] {
  const given = text.split(',').map((name) => name.trim());
  if (given.includes('')) throw new InvalidArgumentError('It must be names parted by commas.');
  return [...before, ...given];
}

/** Collects amounts: `memory=4`, several times. */
export function amounts(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const [, name = '', amount] = /^([^=]+)=(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  if (name === '') throw new InvalidArgumentError('It must be a name and an amount, as in memory=4.');
  return { ...before, [name]: Number(amount) };
}

/** Reads a time, in ms. */
export function duration(text: string): number {
  const ms = durationOf(/^\d+$/.test(text) ? Number(text) : text);
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError('It must be a time such as 30s, 5m or 1500 (ms).');
}

/** Collects values of an option that may be given several times. */
export function several(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
