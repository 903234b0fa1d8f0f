/**
 * Failures as they cross. One that the manager raises travels in plain form, [class, message, fields, cause], so that
 * the manager needs no codec for it; one of user code travels as the packed bytes that its own side made of it.
 */
import { isErrorCode, ProtocolError, QuartermasterError, rebuildError } from '../errors.ts';
import { decode, type CodecContext } from './codec.ts';
import { type Item, Packed, type Writer } from './wire.ts';

/** The built-in classes that the manager itself throws at callers. */
const builtIn: Readonly<Record<string, new (message: string) => Error>> = { TypeError, RangeError, Error };

/** A failure that is in plain form already. */
export class WireError extends Error {
  readonly item: Item;
  /** What goes instead where the item is over the limit on messages, and why. */
  readonly inShort: ((tooLarge: Error) => Item) | undefined;
  constructor(item: Item, inShort?: (tooLarge: Error) => Item) {
    super('an error on its way to a client');
    this.item = item;
    this.inShort = inShort;
  }
}

/** An error of code `code` in plain form. `cause` is an item: packed bytes of user code, or another plain error. */
export function errorItem(code: string, message: string, fields: readonly Item[] = [], cause?: Item): Item {
  return [code, message, [...fields], cause];
}

export function writeError(writer: Writer, error: unknown): void {
  writer.item(toItem(error));
}

function toItem(error: unknown): Item {
  if (error instanceof WireError) return error.item;
  if (error instanceof QuartermasterError) return errorItem(error.code, error.message, ownFields(error));
  if (error instanceof TypeError) return errorItem('TypeError', error.message);
  if (error instanceof RangeError) return errorItem('RangeError', error.message);
  return errorItem('Error', error instanceof Error ? error.message : String(error));
}

function ownFields(error: QuartermasterError): Item[] {
  const fields: Item[] = [];
  for (const [key, value] of Object.entries(error)) {
    if (key === 'code') continue;
    if (typeof value === 'string' || typeof value === 'number') fields.push(key, value);
    else if (Array.isArray(value)) fields.push(key, value.map(String));
  }
  return fields;
}

/** The error that an item stands for. Never throws: where the bytes are none, that is the error. */
export function errorFrom(item: Item, context?: CodecContext): Error {
  if (item instanceof Packed) {
    const error = decoded(item, context);
    // No String(error): an object need not have a toString().
    return error instanceof Error ? error : new Error('what was thrown is no error', { cause: error });
  }
  if (!Array.isArray(item)) return new ProtocolError('the peer sent a failure in a form that is none');
  const [code, message, pairs, cause] = item as [Item, Item, Item, Item];
  const fields: Record<string, unknown> = {};
  if (Array.isArray(pairs)) for (let i = 0; i + 1 < pairs.length; i += 2) fields[String(pairs[i])] = pairs[i + 1];
  const text = typeof message === 'string' ? message : 'a failure without a message';
  const options = cause === undefined ? undefined : { cause: causeFrom(cause, context) };
  if (isErrorCode(code)) return rebuildError(code, text, fields, options);
  const Class = typeof code === 'string' && Object.hasOwn(builtIn, code) ? builtIn[code] : undefined;
  return new (Class ?? Error)(text);
}

function causeFrom(cause: Item, context: CodecContext | undefined): unknown {
  return Array.isArray(cause) && cause.length === 4 ? errorFrom(cause, context) : decoded(cause, context);
}

function decoded(item: Item, context: CodecContext | undefined): unknown {
  try {
    return decode(item, context);
  } catch (error) {
    return error;
  }
}
