/** A put with options, as the queue's core takes it. */
import { UnknownTaskError } from '../../errors.ts';
import { Packed } from '../../protocol/wire.ts';
import type { TaskSpec } from '../../queue/queue.ts';
import type { Job } from '../../queue/run.ts';
import type { Task } from '../../queue/task.ts';
import type { SubmittedGraph } from './graph-frame.ts';
import type { TaskDefaults } from './options.ts';
import type { PutOptionItems } from './put-options.ts';

/** The queue in which the task will be, and all that it comes after. */
interface Home {
  readonly name: string | undefined;
  readonly title: string;
  /** @throws UnknownTaskError */
  find(id: string): Task;
}

/** A task of which only its name and input are said. All specs have the same fields in the same order: one shape. */
export function plainSpec(
  name: string,
  input: unknown,
  bytesIn: number,
  retries: number,
  poisonAfter: number,
): TaskSpec {
  return {
    id: undefined,
    name,
    priority: 0,
    input,
    bytesIn,
    retries,
    poisonAfter,
    after: undefined,
    rules: undefined,
    parent: undefined,
    job: undefined,
    part: undefined,
  };
}

/**
 * What `options` say, or else the queue's `defaults`. The task comes after those that its options name, and those whose
 * outputs its input names. @throws UnknownTaskError where one of them is not in this queue
 */
export function taskSpec(
  queue: Home,
  defaults: TaskDefaults,
  name: string,
  input: unknown,
  bytesIn: number,
  options: PutOptionItems,
): TaskSpec {
  const { id, priority = 0, retries = defaults.retries } = options;
  const after = options.after?.map((before) => queue.find(before)) ?? [];
  if (input instanceof Packed) {
    for (const ref of input.jobs) {
      if (ref.queue !== (queue.name ?? '')) {
        throw new UnknownTaskError(`task '${ref.id}' is in queue '${ref.queue}', not in ${queue.title}`);
      }
      after.push(queue.find(ref.id));
    }
  }
  const poisonAfter = options.atMostOnce === true ? 1 : defaults.poisonAfter;
  const each = after.length === 0 ? undefined : [...new Set(after)];
  return {
    id,
    name,
    priority,
    input,
    bytesIn,
    retries,
    poisonAfter,
    after: each,
    rules: options.rules,
    parent: undefined,
    job: undefined,
    part: undefined,
  };
}

/** The same of the job at that place of a graph, which comes after `after` and nothing else. */
export function jobSpec(
  defaults: TaskDefaults,
  { names, inputs, bytesIn, options }: SubmittedGraph,
  place: number,
  after: readonly Task[] | undefined,
  job: Job,
): TaskSpec {
  const { priority = 0, retries = defaults.retries, atMostOnce, rules } = options[place] as PutOptionItems;
  return {
    id: undefined,
    name: names[place] as string,
    priority,
    input: inputs[place],
    bytesIn: bytesIn[place] as number,
    retries,
    poisonAfter: atMostOnce === true ? 1 : defaults.poisonAfter,
    after,
    rules,
    parent: undefined,
    job,
    part: undefined,
  };
}
