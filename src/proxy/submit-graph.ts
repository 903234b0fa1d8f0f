/** How a job graph gets to the manager: checked whole, in one piece. */
import { randomUUID } from 'node:crypto';
import { UnknownJobError } from '../errors.ts';
import { isJobRef, jobRef } from '../job-ref.ts';
import { type CodecContext, encodeTo } from '../protocol/codec.ts';
import { JobFlags, PutKey, ToManager } from '../protocol/messages.ts';
import type { Item, Writer } from '../protocol/wire.ts';
import type { JobRef } from '../tasks.ts';
import { DurationsFile } from './durations-file.ts';
import { GraphRun } from './graph-run.ts';
import { type JobGraph, type SubmittedGraph, submittedGraph, type SubmittedJob } from './job-graph.ts';
import { PendingCall } from './pending.ts';
import { settingItems } from './put-options.ts';
import { checkNames } from './scheduling-items.ts';
import type { TaskCalls } from './task-calls.ts';

/** How a graph is run. */
export interface RunGraphOptions {
  /** Your own id of the run: submitting the same graph under it again gives the run that is there. */
  id?: string | undefined;
  /**
   * What the failure of a job means that does not say so by its own `onFailure`: with `'keep-going'`, the default, what
   * comes after it is skipped and everything else goes on; with `'stop'` nothing new begins, and what has not begun is
   * skipped. What runs already goes on to its end.
   */
  onFailure?: 'stop' | 'keep-going' | undefined;
  /** Most of its jobs that run at a time. Default: no limit but the workers. */
  concurrency?: number | undefined;
  /**
   * A small JSON file in which is kept how long the jobs take, from run to run; made where there is none. With it the
   * longest way to the end is known from the start also where the manager is a new one. Read at the submission, written
   * when the run has ended.
   */
  durations?: string | URL | undefined;
  /** Aborting cancels the run. */
  signal?: AbortSignal | undefined;
}

const known = ['id', 'onFailure', 'concurrency', 'durations', 'signal'];

/** What is wrong with the graph or the options is thrown here, before anything is sent. */
export function submitGraph<H>(calls: TaskCalls, graph: JobGraph<H>, options: RunGraphOptions): GraphRun {
  checkNames('runGraph()', options, known);
  const { id = randomUUID(), signal, durations } = options;
  if (typeof id !== 'string' || id === '' || id.includes('/') || id.length > 400) {
    throw new TypeError("the id of a run must be a string of 1 to 400 characters without '/'");
  }
  const rules = ruleItems(options);
  signal?.throwIfAborted();
  const submitted = submittedGraph(graph);
  const { jobs, order } = submitted;
  const file = durations === undefined ? undefined : new DurationsFile(durations);
  if (file !== undefined) {
    const learned = file.read();
    rules.push(order.map((at) => learned.of((jobs[at] as SubmittedJob).name, (jobs[at] as SubmittedJob).id)));
  }
  const ids = new Set(jobs.map((job) => job.id));
  const accepted = send(calls, id, rules, submitted, contextFor(calls, id, ids));
  accepted.catch(() => {});
  const wanted = jobs.filter(({ keep, consumed }) => keep || !consumed).map((job) => job.id);
  return new GraphRun({ calls, id, jobs: ids, wanted, submitted: accepted, signal, file });
}

function ruleItems({ onFailure = 'keep-going', concurrency }: RunGraphOptions): Item[] {
  if (onFailure !== 'stop' && onFailure !== 'keep-going') {
    throw new TypeError(`onFailure of a run must be 'stop' or 'keep-going', not ${JSON.stringify(onFailure)}`);
  }
  if (concurrency !== undefined && !(Number.isSafeInteger(concurrency) && concurrency >= 1)) {
    throw new RangeError(`concurrency of a run must be a whole number of 1 or more, not ${String(concurrency)}`);
  }
  return [onFailure === 'stop' ? 'fail' : 'skip', concurrency];
}

function optionItems({ options, onFailure }: SubmittedJob): Item[] | undefined {
  const list = settingItems(options);
  return onFailure === undefined ? list : [...(list ?? []), PutKey.onFailure, onFailure];
}

/** Jobs of the graph are tasks 'run/job' of the queue from here on. */
function contextFor(calls: TaskCalls, run: string, ids: ReadonlySet<string>): CodecContext {
  return {
    ...calls.connection.codec,
    jobRef: (value) => {
      if (!isJobRef(value)) return undefined;
      const { queue, id } = value[jobRef];
      if (queue !== undefined) return { queue, id };
      return ids.has(id) ? { queue: calls.queue, id: `${run}/${id}` } : undefined;
    },
  };
}

function outsideId(ref: JobRef, queue: string): string {
  if (!isJobRef(ref)) return ref.id;
  const target = ref[jobRef];
  if (target.queue !== undefined && target.queue !== queue) {
    throw new UnknownJobError(`task '${target.id}' is in queue '${target.queue}', and the graph runs in '${queue}'`, [
      target.id,
    ]);
  }
  return target.id;
}

/** An input that cannot be sent is thrown, and nothing has been sent then. */
function send(
  calls: TaskCalls,
  run: string,
  rules: readonly Item[],
  { jobs, order }: SubmittedGraph,
  codec: CodecContext,
): Promise<void> {
  const { connection, handle, queue } = calls;
  const names = new Map<string, number>();
  for (const { name } of jobs) if (!names.has(name)) names.set(name, names.size);
  const places = new Uint32Array(jobs.length);
  order.forEach((job, place) => (places[job] = place));
  const outside = jobs.map((job) => job.outside.map((ref) => outsideId(ref, queue)));
  let refusal: Error | undefined;
  const accepted = new Promise<void>((resolve, reject) => {
    connection.handles.check(handle);
    const id = connection.begin(new PendingCall(() => resolve(), reject));
    const start = connection.link.beginCall(ToManager.GRAPH, id, handle);
    const { writer } = connection.link;
    try {
      writer.item(run);
      writer.item(rules);
      writer.item([...names.keys()]);
      writer.u32(jobs.length);
      writer.u32(jobs.reduce((sum, { after }) => sum + after.length, 0));
      for (const at of order) {
        const job = jobs[at] as SubmittedJob;
        writeJob(writer, job, names.get(job.name) as number, places, outside[at] as string[], codec);
      }
    } catch (error) {
      writer.abandonFrame(start);
      connection.forget(id);
      refusal = error as Error;
      return;
    }
    connection.finish(start, id);
  });
  if (refusal !== undefined) throw refusal;
  return accepted;
}

function writeJob(
  writer: Writer,
  job: SubmittedJob,
  name: number,
  places: Uint32Array,
  outside: readonly string[],
  codec: CodecContext,
): void {
  const start = writer.length;
  const before = start + writer.outside;
  writer.u32(0);
  writer.item(job.id);
  const options = optionItems(job);
  let flags = (options === undefined ? 0 : JobFlags.options) | (outside.length === 0 ? 0 : JobFlags.outside);
  writer.u32(name);
  const flagsAt = writer.length;
  writer.u8(flags);
  const { after } = job;
  writer.u32(after.length);
  for (const one of after) writer.u32(places[one] as number);
  if (options !== undefined) writer.item(options);
  if (outside.length > 0) writer.item(outside);
  if (encodeTo(writer, job.input, codec, `input of job '${job.id}'`)) flags |= JobFlags.refs;
  writer.patchU8(flags, flagsAt);
  writer.patchU32(writer.length + writer.outside - before - 4, start);
}
