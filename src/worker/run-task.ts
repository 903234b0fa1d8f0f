/** Tasks, run: their handlers called, their outcomes reported. */
import {
  ConnectionLostError,
  FrameTooLargeError,
  LeaseLostError,
  ManagerGoneError,
  NonRetryableError,
} from '../errors.ts';
import { type Client, during, putChild } from '../proxy/client.ts';
import type { Leased } from '../proxy/leased-task.ts';
import { RunningAttempt, type Slots } from '../proxy/running-attempt.ts';
import type { Handlers, TaskContext } from '../proxy/task-context.ts';
import { Handle } from '../proxy/task-handle.ts';
import type { TaskTaker } from '../proxy/task-taker.ts';
import type { LeasedTask, PutOptions, TaskHandle } from '../tasks.ts';
import { isPromise, type WaitOptions } from '../waiting.ts';
import { enterHandler, leaveHandler } from './attribution.ts';
import type { Flows } from './flows.ts';

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

  constructor(
    handlers: Handlers,
    name: string,
    client: Client,
    slots: Slots,
    onRefused: (task: LeasedTask, error: unknown) => void,
  ) {
    this.slots = slots;
    this.handlers = handlers;
    this.name = name;
    this.client = client;
    this.onRefused = onRefused;
  }

  /** An output that cannot be sent is the handler's failure: the lease is still there. */
  readonly refused = (task: Leased, error: unknown): void => {
    if (!isLost(error)) fail(task, error, this, true);
  };
}

/** What a flow does next: it ends; it asks for more; it goes on. */
export type Ran = 'retired' | 'none left' | undefined;

/**
 * Runs `first`, and what lies ready in the window after it, until a handler goes on by itself: the promise resolves when
 * that has ended. Neither throws nor rejects.
 *
 * In one piece on purpose: this is what a worker does for every task, and what is called from a loop that awaits would
 * be compiled into it a second time.
 */
export function runReady(
  source: TaskTaker,
  first: Leased | undefined,
  runner: Runner,
  flows: Flows,
): Promise<Ran> | Ran {
  for (let task = first; task !== undefined;) {
    if (task.unheard) {
      source.keep(task);
      return runHeard(source, task, runner, flows);
    }
    let running: Promise<undefined> | undefined;
    const handler = Object.hasOwn(runner.handlers, task.name) ? runner.handlers[task.name] : undefined;
    try {
      if (handler === undefined) throw unknownTask(task.name, runner.handlers);
      enterHandler(task);
      const result: unknown = handler(task.input, new Context(task, runner));
      leaveHandler();
      if (isPromise(result)) running = settle(task, result, runner);
      else if (result instanceof Handle) running = settle(task, result.result(), runner);
      else complete(task, result, runner);
    } catch (error) {
      leaveHandler();
      fail(task, error, runner);
    }
    if (running !== undefined) {
      source.keep(task);
      return running;
    }
    if (flows.retires()) return 'retired';
    // Where one task follows another in the same turn, its start is the other's end.
    task = source.start(source.endOf(task));
  }
  return 'none left';
}

async function runHeard(source: TaskTaker, task: Leased, runner: Runner, flows: Flows): Promise<Ran> {
  return (await source.heard(task)) ? runReady(source, task, runner, flows) : undefined;
}

/** Resolves when the handler has ended. Never rejects. */
async function settle(task: Leased, result: PromiseLike<unknown>, runner: Runner): Promise<undefined> {
  try {
    const output = await result;
    // A task in the place of an output: what that outputs.
    complete(task, output instanceof Handle ? await output.result() : output, runner);
  } catch (error) {
    fail(task, error, runner);
  }
}

function complete(task: Leased, output: unknown, runner: Runner): void {
  try {
    task.finish(output, runner.refused);
  } catch (error) {
    runner.refused(task, error);
  }
}

function fail(task: Leased, error: unknown, runner: Runner, final = error instanceof NonRetryableError): void {
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

/** What the handler is given; made for each task, so cheap: everything else is asked of the task. */
class Context implements TaskContext {
  readonly #task: Leased;
  readonly #runner: Runner;
  #client: Client | undefined;
  #attempt: RunningAttempt | undefined;

  constructor(task: Leased, runner: Runner) {
    this.#task = task;
    this.#runner = runner;
  }

  get worker(): string {
    return this.#runner.name;
  }

  get client(): Client {
    return (this.#client ??= this.#runner.client[during](this.#running));
  }

  get #running(): RunningAttempt {
    return (this.#attempt ??= new RunningAttempt(this.#task, this.#runner.slots));
  }

  put<Out = unknown>(name: string, input?: unknown, options: PutOptions & WaitOptions = {}): Promise<TaskHandle<Out>> {
    return this.#runner.client[putChild](this.#running, name, input, options) as Promise<TaskHandle<Out>>;
  }

  get id(): string {
    return this.#task.id;
  }

  get name(): string {
    return this.#task.name;
  }

  get attempt(): number {
    return this.#task.attempt;
  }

  get token(): bigint {
    return this.#task.token;
  }

  get signal(): AbortSignal {
    return this.#task.signal;
  }

  get pid(): number {
    return process.pid;
  }

  progress(value: unknown): void {
    this.#task.progress(value);
  }
}
