/** Times as people write them. */

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** ms of '30s', '1.5m', 200; undefined for anything else. */
export function durationOf(text: string | number): number | undefined {
  if (typeof text === 'number') return text;
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  return found === null ? undefined : Number(found[1]) * (units[found[2] as string] as number);
}
