/** Where in a value the walk is, and the refusal that says so. */
import { UnserializableError } from '../../errors.ts';

/** A property or an index; or a member of a Map or Set, which only a call reaches. */
export type Step = string | number | symbol | { readonly via: 'get' | 'keys' | 'values'; readonly key: unknown };

const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;

/** `input`, `['list', 3, 'fn']` → `input.list[3].fn`: an expression that reaches the place, wherever one exists. */
export function pathText(root: string, steps: readonly Step[]): string {
  let text = root;
  for (const step of steps) text += stepText(step);
  return text;
}

function stepText(step: Step): string {
  switch (typeof step) {
    case 'number':
      return `[${step}]`;
    case 'symbol':
      return `[${String(step)}]`;
    case 'string':
      return identifier.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
    default:
      return step.via === 'get' ? `.get(${keyText(step.key)})` : `.${step.via}()[${String(step.key)}]`;
  }
}

function keyText(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key);
  if (typeof key === 'bigint') return `${key}n`;
  return String(key);
}

export function refusal(root: string, steps: readonly Step[], what: string, cause?: unknown): UnserializableError {
  const path = pathText(root, steps);
  const options = cause === undefined ? undefined : { cause };
  return new UnserializableError(`${path} is ${what}: it cannot be sent to another process`, path, options);
}

/** The head of a path that is as long as the limit on depth. */
export function tooDeep(root: string, steps: readonly Step[], limit: number): UnserializableError {
  const path = `${pathText(root, steps.slice(0, 8))}…`;
  const most = limit.toLocaleString('en-US');
  return new UnserializableError(
    `${path} goes on for more than ${most} levels: it cannot be sent to another process`,
    path,
  );
}

/** What a value is, for the refusal. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'function':
      return /^class\b/.test(Function.prototype.toString.call(value)) ? 'a class' : 'a function';
    case 'symbol':
      return 'a symbol';
    default:
      return `an instance of ${className(value as object)}`;
  }
}

function className(value: object): string {
  // Read without getters: what is being refused must not run code of its own.
  for (let at: unknown = Object.getPrototypeOf(value); at !== null; at = Object.getPrototypeOf(at)) {
    const made: unknown = Object.getOwnPropertyDescriptor(at, 'constructor')?.value;
    if (typeof made !== 'function') continue;
    const name: unknown = Object.getOwnPropertyDescriptor(made, 'name')?.value;
    return typeof name === 'string' && name !== '' ? name : 'an unnamed class';
  }
  return 'a class';
}
