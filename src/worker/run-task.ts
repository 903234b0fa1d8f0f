/** Tasks, run: their handlers called, their outcomes reported. */
import {
  ConnectionLostError,
  FrameTooLargeError,
  LeaseLostError,
  ManagerGoneError,
  NonRetryableError,
} from '../errors.ts';
import { lazily } from '../protocol/lazily.ts';
import { type Client, during, putChild } from '../proxy/client.ts';
import type { Leased } from '../proxy/leased-task.ts';
import { RunningAttempt, type Slots } from '../proxy/running-attempt.ts';
import type { Handlers, Logger, TaskContext } from '../proxy/task-context.ts';
import { Handle } from '../proxy/task-handle.ts';
import type { ChildOptions, LeasedTask, TaskHandle } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import type { LogOutput, LogSink } from './task-log.ts';

/** For handlers that say something. */
const taskLog = lazily<typeof import('./task-log.ts')>(new URL('./task-log.js', import.meta.url));

/** What a worker loop runs tasks with. */
export class Runner {
  readonly handlers: Handlers;
  /** Name of the worker. */
  readonly name: string;
  readonly client: Client;
  /** What its tasks lend while they wait for others. */
  readonly slots: Slots;
  /** An outcome could not be reported, although the lease was not lost. */
  readonly onRefused: (task: LeasedTask, error: unknown) => void;
  readonly #sink: LogSink;
  #log: LogOutput | undefined;

  constructor(
    handlers: Handlers,
    name: string,
    client: Client,
    slots: Slots,
    onRefused: (task: LeasedTask, error: unknown) => void,
    sink: LogSink,
  ) {
    this.#sink = sink;
    this.slots = slots;
    this.handlers = handlers;
    this.name = name;
    this.client = client;
    this.onRefused = onRefused;
  }

  /** What handlers say. */
  get log(): LogOutput {
    return (this.#log ??= new (taskLog().LogOutput)(this.#sink));
  }

  /** They say nothing any more. */
  endLog(): void {
    this.#log?.end();
  }

  /** An output that cannot be sent is the handler's failure: the lease is still there. */
  readonly refused = (task: Leased, error: unknown): void => {
    if (!isLost(error)) fail(task, error, this, true);
  };
}

/** @throws where there is none */
export function handlerOf(name: string, { handlers }: Runner): Handlers[string] {
  const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
  if (handler === undefined) throw unknownTask(name, handlers);
  return handler;
}

/** A task in the place of an output: what that outputs. */
export function isHandle(result: unknown): result is Handle {
  return result instanceof Handle;
}

/** Resolves when the handler has ended. Never rejects. */
export async function settle(task: Leased, result: PromiseLike<unknown>, runner: Runner): Promise<void> {
  try {
    const output = await result;
    // A task in the place of an output: what that outputs.
    complete(task, output instanceof Handle ? await output.result() : output, runner);
  } catch (error) {
    fail(task, error, runner);
  }
}

export function complete(task: Leased, output: unknown, runner: Runner): void {
  try {
    task.finish(output, runner.refused);
  } catch (error) {
    runner.refused(task, error);
  }
}

export function fail(task: Leased, error: unknown, runner: Runner, final = error instanceof NonRetryableError): void {
  const refused = (why: unknown): void => {
    if (!isLost(why)) runner.onRefused(task, why);
  };
  try {
    task.finishWith(error, final, undefined, refused);
  } catch (why) {
    if (why instanceof FrameTooLargeError) failInShort(task, error, why, final, refused);
    else refused(why);
  }
}

function failInShort(
  task: Leased,
  error: unknown,
  why: FrameTooLargeError,
  final: boolean,
  refused: (why: unknown) => void,
): void {
  try {
    task.finishWith(error, final, undefined, refused, why);
  } catch {
    // Under a limit of a few kilobytes only the reason itself fits.
    try {
      task.finishWith(why, final, undefined, refused);
    } catch (refusal) {
      refused(refusal);
    }
  }
}

/** A lease that was lost is the manager's decision, and told to the handler by its signal. */
function isLost(error: unknown): boolean {
  return error instanceof LeaseLostError || error instanceof ConnectionLostError || error instanceof ManagerGoneError;
}

function unknownTask(name: string, handlers: Handlers): Error {
  const known = Object.keys(handlers);
  return new NonRetryableError(
    `this worker has no handler '${name}'; its tasks module has ${known.length === 0 ? 'none' : known.join(', ')}`,
  );
}

/** A task, or what makes one when it is asked for. */
interface Source {
  readonly leased: Leased;
  apart(): Leased;
}

/** What the handler is given; made for each task, so cheap: everything else is asked of the task. */
export class Context implements TaskContext {
  readonly #source: Source;
  readonly #runner: Runner;
  #client: Client | undefined;
  #attempt: RunningAttempt | undefined;

  constructor(source: Source, runner: Runner) {
    this.#source = source;
    this.#runner = runner;
  }

  get worker(): string {
    return this.#runner.name;
  }

  get client(): Client {
    return (this.#client ??= this.#runner.client[during](this.#running));
  }

  get #running(): RunningAttempt {
    return (this.#attempt ??= new RunningAttempt(this.#source.apart(), this.#runner.slots));
  }

  put<Out = unknown>(
    name: string,
    input?: unknown,
    options: ChildOptions & WaitOptions = {},
  ): Promise<TaskHandle<Out>> {
    return this.#runner.client[putChild](this.#running, name, input, options) as Promise<TaskHandle<Out>>;
  }

  get id(): string {
    return this.#source.leased.id;
  }

  get name(): string {
    return this.#source.leased.name;
  }

  get attempt(): number {
    return this.#source.leased.attempt;
  }

  get token(): bigint {
    return this.#source.leased.token;
  }

  get signal(): AbortSignal {
    return this.#source.leased.signal;
  }

  get pid(): number {
    return process.pid;
  }

  get log(): Logger {
    return new (taskLog().TaskLog)(this, this.#runner.log);
  }

  progress(value: unknown): void {
    this.#source.apart().progress(value);
  }
}
