/** What ends a command: a message for the user, one line for each thing that is wrong, and the exit code. */

/** Exit codes: what went wrong is a matter of its user (2), of what was run (1), or of a signal (128 + its number). */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** Its lines are all that is printed: no stack, which would be of no use to the user. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** Each says what is wrong and what to do about it. */
  readonly lines: readonly string[];
  readonly exitCode: number;

  constructor(lines: string | readonly string[], exitCode: number = EXIT.usage) {
    const all = typeof lines === 'string' ? [lines] : lines;
    super(all.join('\n'));
    this.lines = all;
    this.exitCode = exitCode;
  }
}

/** The message of whatever was thrown, on one line. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ').trim();
}
