/**
 * Errors: a kind from a closed table, and properties. What crosses is name, message, stack, cause, errors and every
 * enumerable own property; what comes out is an instance of the nearest class of the table. Nothing on the wire names
 * a constructor that is not in it.
 */
import { isErrorCode, NonRetryableError, ProtocolError, QuartermasterError, rebuildError } from '../../errors.ts';

const classes: Readonly<Record<string, new (message?: string) => Error>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  NonRetryableError,
};
const AGGREGATE = 'AggregateError';
const DOM_EXCEPTION = 'DOMException';

const kindByPrototype = new Map<unknown, string>([
  [AggregateError.prototype, AGGREGATE],
  [DOMException.prototype, DOM_EXCEPTION],
]);
for (const [kind, Class] of Object.entries(classes)) kindByPrototype.set(Class.prototype, kind);

/** Own properties that built-in errors have and do not enumerate. */
const hidden: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause', 'errors']);

export interface ErrorParts {
  readonly kind: string;
  /** Of `hidden`, those that are there. */
  readonly hidden: readonly (readonly [string, unknown])[];
  readonly fields: readonly (readonly [string, unknown])[];
}

/**
 * An error in parts. Its getters are read (Node's own system errors have `errno` and `path` as such) and its symbols
 * left behind (marks of the library that made it): a failure has to get through.
 */
export function errorParts(error: Error, withStack: boolean): ErrorParts {
  const kind = kindOf(error);
  const fields = Object.keys(error).map((key) => [key, error[key as keyof Error]] as const);
  const parts: (readonly [string, unknown])[] = [];
  for (const key of hidden) {
    if (Object.prototype.propertyIsEnumerable.call(error, key) || (key === 'stack' && !withStack)) continue;
    const value: unknown = (error as Error & Readonly<Record<string, unknown>>)[key];
    // `name` and a DOMException's `message` are inherited getters, as a rule.
    const own = Object.hasOwn(error, key) || (kind === DOM_EXCEPTION && key === 'message');
    if (key === 'name' ? typeof value === 'string' && value !== kind : own) parts.push([key, value]);
  }
  return { kind, hidden: parts, fields };
}

function kindOf(error: Error): string {
  if (error instanceof QuartermasterError && isErrorCode(error.code)) return error.code;
  for (let at: unknown = Object.getPrototypeOf(error); at !== null; at = Object.getPrototypeOf(at)) {
    const kind = kindByPrototype.get(at);
    if (kind !== undefined) return kind;
  }
  return 'Error';
}

/** An error of that kind without properties yet; undefined where there is no such kind. */
export function blankError(kind: unknown, message: unknown, name: unknown): Error | undefined {
  if (typeof kind !== 'string') return undefined;
  const text = typeof message === 'string' ? message : '';
  if (isErrorCode(kind)) return rebuildError(kind, text);
  if (kind === AGGREGATE) return new AggregateError([]);
  if (kind === DOM_EXCEPTION) return new DOMException(text, typeof name === 'string' ? name : 'Error');
  const Class = Object.hasOwn(classes, kind) ? classes[kind] : undefined;
  return Class === undefined ? undefined : new Class();
}

/** Takes off what an error has from being made here: the local stack, and properties that the other side's has not. */
export function strip(error: Error): void {
  for (const key of hidden) Reflect.deleteProperty(error, key);
}

/** Whether the class says as much by itself, so that no own property is needed. Throws for a name not in `hidden`. */
export function isSaid(error: Error, key: string, value: unknown): boolean {
  if (!hidden.has(key)) throw new ProtocolError(`a payload has an error with a hidden property ${JSON.stringify(key)}`);
  return (key === 'name' || key === 'message') && error[key] === value;
}
