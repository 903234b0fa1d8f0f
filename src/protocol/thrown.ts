/** What user code throws, as it crosses: anything at all, so nothing here throws. */
import { inspect } from 'node:util';
import { type CodecContext, encode } from './codec.ts';
import type { Item } from './wire.ts';

/** Characters that stay of each text of an error that is too long to be sent whole. */
const SHORT_TEXT = 1000;

/** One line that says what was thrown. */
export function describe(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return `${thrown.name}: ${thrown.message}`;
    if (typeof thrown !== 'object' || thrown === null) return String(thrown);
    return inspect(thrown, { depth: 2, breakLength: Infinity, maxArrayLength: 20, maxStringLength: 200 });
  } catch {
    return 'something that cannot be described';
  }
}

/** All of it; or, where it holds what cannot cross, its name, message and stack, and why not the rest. */
export function encodeThrown(thrown: unknown, context: CodecContext = {}): Item {
  try {
    return encode(thrown, context, 'error');
  } catch (unserializable) {
    return encode(likeness(thrown, (unserializable as Error).message, Infinity), context);
  }
}

/** The same for what is over the limit on messages: of name, message and stack the beginnings. `why`: what it was told. */
export function encodeShortened(thrown: unknown, why: unknown): Item {
  return encode(likeness(thrown, why instanceof Error ? why.message : String(why), SHORT_TEXT));
}

const builtIn = [TypeError, RangeError, SyntaxError, ReferenceError, URIError, EvalError] as const;

/** An error of the same built-in class, with texts of at most `length` characters. */
function likeness(thrown: unknown, cause: string, length: number): Error {
  try {
    if (!(thrown instanceof Error)) return new Error(cut(describe(thrown), length), { cause });
    const Class = builtIn.find((each) => thrown instanceof each) ?? Error;
    const error = new Class(cut(thrown.message, length), { cause });
    if (thrown.name !== error.name) error.name = cut(thrown.name, length);
    const { stack } = thrown;
    if (typeof stack === 'string') error.stack = cut(stack, 4 * length);
    return error;
  } catch {
    return new Error('an error that cannot be read', { cause });
  }
}

function cut(text: unknown, length: number): string {
  const whole = String(text);
  return whole.length > length ? `${whole.slice(0, length)}…` : whole;
}
