/** What is given on a command line, checked: for commander, which tells what is thrown here. */
import { InvalidArgumentError } from 'commander';

/** Reads a whole number between bounds. */
export function wholeNumber(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`${option} must be a whole number from ${least} to ${most}.`);
  };
}

/** Collects names: an option that may be given several times, each with names that commas part. */
export function names(text: string, before: readonly string[] = []): readonly string[] {
  const given = text.split(',').map((name) => name.trim());
  if (given.includes('')) throw new InvalidArgumentError('Write names parted by commas.');
  return [...before, ...given];
}
