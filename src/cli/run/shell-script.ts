/**
 * The command of a job as a script for its shell. What other jobs have output never becomes a part of the script, where
 * it could be taken for commands: it stands in environment variables, and the script names those.
 */
import { textOf, type SentTemplate, valueOf } from './job-input.ts';

export interface Script {
  readonly text: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Longest text in one environment variable (bytes): Linux has 128 KiB for it with its name. */
const LONGEST = 128 * 1024 - 100;

/** @throws Error where an output is too long for an environment variable */
export function scriptOf(command: SentTemplate): Script {
  const env: Record<string, string> = {};
  const text = command.map((piece, at) => {
    if (typeof piece === 'string') return piece;
    const value = textOf(valueOf(piece));
    const bytes = Buffer.byteLength(value);
    if (bytes > LONGEST) {
      throw new Error(
        `\${{ ${piece.expression} }} has ${bytes} bytes, more than a command can be given: let that job write a file, and name the file here`,
      );
    }
    if (value.includes('\0')) {
      throw new Error(
        `\${{ ${piece.expression} }} has a NUL in it, which no command can be given: let that job write a file`,
      );
    }
    const name = `QM_OUTPUT_${at}`;
    env[name] = value;
    return `\${${name}}`;
  });
  return { text: text.join(''), env };
}
