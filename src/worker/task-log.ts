/**
 * What handlers say by `context.log`: entries that know their task, made into lines, bounded as what a worker writes to
 * its standard streams. Nothing here throws: a handler must not fail for what it says of itself.
 *
 *     context.log ──▶ TaskLog: an entry and its lines ──▶ LogOutput: within the budget ──▶ the group's pipe, or stderr
 */
import { inspect } from 'node:util';
import type { Logger, LogLevel } from '../proxy/task-context.ts';
import { LogBudget, LONGEST_LINE } from './log-budget.ts';
import { escaped, shortened } from './log-text.ts';

/** What a handler said by `context.log`. */
export interface TaskLogEntry {
  readonly level: LogLevel;
  /** Of an error: with its stack and causes. */
  readonly message: string;
  /** Scalars as they were; other values as text, as `util.inspect` shows them. */
  readonly fields?: Readonly<Record<string, string | number | boolean | null>>;
  readonly task: { readonly id: string; readonly name: string; readonly attempt: number };
  /** When: ms since 1970. */
  readonly at: number;
}

/** A line of an entry. */
export interface TaskLogLine {
  readonly text: string;
  /** With the first line of each. */
  readonly entry?: TaskLogEntry;
  readonly dropped?: number;
}

/** Where lines go that handlers say. */
export interface LogSink {
  write(line: TaskLogLine): void;
  /** It takes more. */
  hasRoom(): boolean;
}

/** Most lines of one entry, and most of its fields. */
const LINES = 100;
const FIELDS = 32;
const SHOWN = { depth: 3, breakLength: Infinity, maxArrayLength: 20, maxStringLength: 1_000, customInspect: false };

/** Where the entries of one worker go, and how many of them. */
export class LogOutput {
  readonly #sink: LogSink;
  readonly #budget: LogBudget;

  constructor(sink: LogSink) {
    this.#sink = sink;
    this.#budget = new LogBudget((text, dropped) => sink.write({ text, dropped }));
  }

  add(entry: TaskLogEntry): void {
    const budget = this.#budget;
    const lines = linesOf(entry);
    budget.refill();
    lines.forEach((text, i) => {
      const bytes = Buffer.byteLength(text);
      if (!this.#sink.hasRoom() || !budget.mayWrite(bytes)) return budget.drop(bytes);
      budget.spend(bytes);
      this.#sink.write(i === 0 ? { text, entry } : { text });
    });
  }

  /** Nobody says anything any more: tells what was dropped. */
  end(): void {
    this.#budget.tell();
  }
}

/** Whose log it is. */
interface Author {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
}

/** What `context.log` is. */
export class TaskLog implements Logger {
  readonly #author: Author;
  readonly #output: LogOutput;

  constructor(author: Author, output: LogOutput) {
    this.#author = author;
    this.#output = output;
  }

  debug(message: string | Error, fields?: Readonly<Record<string, unknown>>): void {
    this.#add('debug', message, fields);
  }

  info(message: string | Error, fields?: Readonly<Record<string, unknown>>): void {
    this.#add('info', message, fields);
  }

  warn(message: string | Error, fields?: Readonly<Record<string, unknown>>): void {
    this.#add('warn', message, fields);
  }

  error(message: string | Error, fields?: Readonly<Record<string, unknown>>): void {
    this.#add('error', message, fields);
  }

  #add(level: LogLevel, said: unknown, given: unknown): void {
    const { id, name, attempt } = this.#author;
    const message = shortened(typeof said === 'string' ? said : shown(said), LONGEST_LINE);
    const fields = fieldsOf(given, LONGEST_LINE - Math.min(message.length, LONGEST_LINE));
    const task = { id, name, attempt };
    this.#output.add({ level, message, ...(fields === undefined ? {} : { fields }), task, at: Date.now() });
  }
}

/** Fields of together at most so many characters; where there are more, how many is one of them. */
function fieldsOf(given: unknown, room: number): TaskLogEntry['fields'] {
  if (typeof given !== 'object' || given === null) return undefined;
  const fields: Record<string, string | number | boolean | null> = {};
  let left = room;
  let kept = 0;
  try {
    const all = Object.entries(given).filter(([, value]) => value !== undefined);
    for (const [key, value] of all) {
      const field = fieldOf(value);
      left -= key.length + String(field).length;
      if (left < 0 || kept === FIELDS) {
        fields['…'] = `${all.length - kept} more`;
        break;
      }
      fields[key] = field;
      kept++;
    }
  } catch (error) {
    fields['…'] = `cannot be shown: ${shown(error)}`;
  }
  return Object.keys(fields).length === 0 ? undefined : fields;
}

function fieldOf(value: unknown): string | number | boolean | null {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return shortened(typeof value === 'string' ? value : shown(value), SHOWN.maxStringLength);
}

function shown(value: unknown): string {
  try {
    return inspect(value, SHOWN);
  } catch {
    return '(cannot be shown)';
  }
}

/** As it is shown, without anything that a terminal would obey. */
function linesOf({ level, message, fields, task }: TaskLogEntry): string[] {
  const [first = '', ...rest] = message.split('\n');
  const told = Object.entries(fields ?? {}).map(([key, value]) => ` ${key}=${quoted(value)}`);
  const lines = [`${level} ${task.id} (${task.name}): ${first}${told.join('')}`, ...rest];
  const most = lines.length > LINES ? [...lines.slice(0, LINES), `… (${lines.length} lines)`] : lines;
  return most.map(escaped);
}

/** In quotes where one could not tell where it ends. */
function quoted(value: string | number | boolean | null): string {
  return typeof value === 'string' && /[\s="]|^$/.test(value) ? JSON.stringify(value) : String(value);
}
