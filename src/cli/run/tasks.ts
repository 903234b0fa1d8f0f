/**
 * The tasks module of `quartermaster run`: shell commands, and the handlers of the graph file's own tasks module, each
 * with what it prints in the log of its job. Worker processes load it, and are told by the environment variable RUN what
 * to load in turn.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type Client, defineTasks, type Handler, type Handlers, type TaskContext } from '../../index.ts';
import { suggestion } from '../graph-file/spelling.ts';
import { type JobInput, readInputs, writeTree } from './job-input.ts';
import { JobLog } from './job-log.ts';
import { digestOf } from './input-files.ts';
import { JOB, RUN, RUN_COMMAND, type WorkerRun } from './orders.ts';
import { runShell, type ShellInput } from './shell.ts';

interface UserModule {
  readonly default?: unknown;
  readonly setup?: (client: Client) => unknown;
  readonly teardown?: () => unknown;
}

const run = JSON.parse(process.env[RUN] ?? '{"handlers":[]}') as Partial<WorkerRun> & { handlers: readonly string[] };
// Not for what the jobs start.
delete process.env[RUN];
if (run.directory !== undefined) process.chdir(run.directory);

const printing = new AsyncLocalStorage<JobLog>();
printToLogs(process.stdout);
printToLogs(process.stderr);

const user: UserModule = run.tasks === undefined ? {} : ((await import(pathToFileURL(run.tasks).href)) as UserModule);

export const setup = user.setup;
export const teardown = user.teardown;
export default defineTasks({
  ...handlersOf(user),
  [RUN_COMMAND]: (input: ShellInput, { attempt, signal }: TaskContext) => {
    noteInputs(input);
    return runShell(input, attempt, signal);
  },
});

function handlersOf({ default: handlers = {} }: UserModule): Handlers {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new TypeError(
      `${run.tasks} must default-export its handlers: export default defineTasks({ name: (input) => output })`,
    );
  }
  const names = Object.keys(handlers);
  const missing = run.handlers.find((name) => !names.includes(name));
  if (missing !== undefined) {
    throw new TypeError(`${run.tasks} has no handler '${missing}'; ${suggestion(missing, names)}`);
  }
  return Object.fromEntries(
    Object.entries(handlers as Handlers).map(([name, handler]) => [name, asJob(handler)] as const),
  );
}

/** What a handler prints while it runs is its job's log. A task that a handler put by itself is no job of the file. */
function asJob(handler: Handler): Handler {
  return async (given: unknown, context) => {
    const job = (given as Record<typeof JOB, JobInput> | undefined)?.[JOB];
    if (job === undefined) return handler(given, context);
    noteInputs(job);
    const log = new JobLog(job.log, context.attempt);
    try {
      return await printing.run(log, () => handler(writeTree(job.input), context));
    } catch (error) {
      log.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      throw error;
    } finally {
      log.close();
    }
  };
}

/** What the files are that the job is going to read, for a later run that resumes this one. */
function noteInputs({ files, inputsNote }: Pick<JobInput, 'files' | 'inputsNote'>): void {
  if (files !== undefined) writeFileSync(inputsNote, digestOf(readInputs(files)));
}

/** Of a stream that handlers print to. */
function printToLogs(stream: NodeJS.WriteStream): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (...args: unknown[]): boolean => {
    const log = printing.getStore();
    if (log?.open !== true) return write(...args);
    const [chunk, encoding] = args as [string | Uint8Array, unknown];
    const isText = typeof chunk === 'string' && typeof encoding === 'string';
    log.write(isText ? Buffer.from(chunk, encoding as BufferEncoding) : chunk);
    const done = args.find((argument) => typeof argument === 'function') as (() => void) | undefined;
    if (done !== undefined) process.nextTick(done);
    return true;
  };
}
