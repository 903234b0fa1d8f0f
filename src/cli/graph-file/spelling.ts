/** What somebody may have meant. */

/** The known name that is nearest, if one is near: as the end of a message. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = known
    .map((other) => ({ other, distance: distance(name.toLowerCase(), other.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  if (near !== undefined && near.distance <= Math.ceil(name.length * 0.4) && near.distance < name.length) {
    return `did you mean '${near.other}'?`;
  }
  const shown = known.slice(0, 20).join(', ');
  return known.length === 0 ? 'there is none' : `known: ${shown}${known.length > 20 ? ', …' : ''}`;
}

/** How many letters must be added, taken away or changed (Levenshtein 1965). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
