/** A task dict and queue, shared with everybody: what can be asked of it, and done to it, by calls. */
import { DeadlockError, UnknownTaskError } from '../../errors.ts';
import { encode } from '../../protocol/codec.ts';
import { type Item, Packed } from '../../protocol/wire.ts';
import { weightOf } from '../../queue/ranges.ts';
import { State, stateNames, type Task } from '../../queue/task.ts';
import type { TaskFilter, TaskRecord, TaskState } from '../../tasks.ts';
import { numberOf, textOf } from '../arguments.ts';
import { type Answer, answerNow, type Call } from '../call.ts';
import type { Made } from '../shared-object.ts';
import { TaskBoard } from './board.ts';
import { cancelled, outcomeItem, payloadFrom } from './payload.ts';
import { filterFrom, matching, recordOf } from './record.ts';

export class Tasks extends TaskBoard {
  constructor(made: Made, options: ReadonlyMap<string, Item>) {
    super(made, options);
    made.manager.addBoard(this);
  }

  override dropped(reason: Error): void {
    this.core.removeBoard(this);
    super.dropped(reason);
  }

  // --- the task dict ---

  record(_call: Call, [id]: readonly Item[]): Answer {
    const task = this.lookUp(textOf(id, 'an id'));
    return task === undefined ? undefined : encode(recordOf(task, this.core));
  }

  has(_call: Call, [id]: readonly Item[]): Answer {
    return this.lookUp(textOf(id, 'an id')) !== undefined;
  }

  size(): Answer {
    this.queue.records.prune(this.now());
    return this.queue.records.size;
  }

  entries(_call: Call, [filter]: readonly Item[]): Answer {
    return encode(this.recordsFor(filterFrom(filter)).map((record) => [record.id, record]));
  }

  counts(): Answer {
    return encode(this.countsByState());
  }

  snapshot(): Answer {
    return this.counts();
  }

  countsByState(): Record<TaskState, number> {
    this.queue.records.prune(this.now());
    const counts = stateNames.map((name, state) => [name, this.queue.count(state as State)]);
    return Object.fromEntries(counts) as Record<TaskState, number>;
  }

  recordsFor(filter: TaskFilter): TaskRecord[] {
    const limit = filter.limit ?? 1000;
    const records: TaskRecord[] = [];
    for (const task of this.#matching(filter)) {
      if (records.length >= limit) break;
      records.push(recordOf(task, this.core));
    }
    return records;
  }

  // --- one task ---

  /** Answers [outcome, output | error] once the task has one. */
  outcome(call: Call, [id]: readonly Item[]): Answer {
    const task = this.find(textOf(id, 'an id'));
    if (task.finished) return outcomeOf(task);
    return call.park(this.outcomes.watch(task, (ended) => answerNow(call, () => outcomeOf(ended))));
  }

  /** Sends the task's progress from now on; answers when the task has ended. */
  progress(call: Call, [id]: readonly Item[]): Answer {
    const task = this.find(textOf(id, 'an id'));
    return task.finished ? undefined : call.park(this.outcomes.follow(task, call));
  }

  setPriority(_call: Call, [id, priority]: readonly Item[]): Answer {
    const value = numberOf(priority, 'priority');
    if (Number.isNaN(value)) throw new RangeError('priority must be a number');
    return this.queue.setPriority(this.#single(textOf(id, 'an id')), value, this.now());
  }

  // --- one task by its id, or all that a filter names: how many it was done to ---

  cancel(_call: Call, [which, reason]: readonly Item[]): Answer {
    return this.#each(which, (task) => {
      const [, ...grown] = this.family(task);
      const done = this.queue.cancel(task, cancelled(task, reason), this.now());
      for (const child of grown) this.queue.cancel(child, cancelled(child, reason), this.now());
      return done;
    });
  }

  retry(_call: Call, [which]: readonly Item[]): Answer {
    return this.#each(which, (task) => this.queue.retry(task, this.now()));
  }

  // --- the queue as a whole ---

  pause(): Answer {
    this.queue.pause();
  }

  resume(): Answer {
    this.queue.resume();
  }

  /** Answers once nothing waits or runs. `lease`: of the task that asks. */
  join(call: Call, [lease]: readonly Item[]): Answer {
    this.#notBy(call, lease);
    return this.unfinished === 0 ? undefined : call.park(this.joining.add(call));
  }

  /** A task that waits for the end of all that is in its queue waits for itself. */
  #notBy({ session }: Call, lease: Item): void {
    if (lease === undefined) return;
    const number = numberOf(lease, 'a lease');
    for (const taker of this.takers.values()) {
      const task = taker.session === session ? taker.leases.get(number) : undefined;
      if (task === undefined) continue;
      throw new DeadlockError(
        `task '${task.key}' (${task.name}) waits for all of ${this.title} to end, and is one of them`,
      );
    }
  }

  /** `immediate`: what waits is cancelled. `lease`: of the task that asks, and will join. */
  shutdown(call: Call, [immediate, lease]: readonly Item[]): Answer {
    this.#notBy(call, lease);
    this.shutPuts();
    if (immediate !== true) return;
    for (const task of [...this.#matching({ state: ['blocked', 'delayed', 'ready'] })]) {
      this.queue.cancel(task, cancelled(task, 'its queue was shut down'), this.now());
    }
  }

  /** Runs a task on every worker loop that is there: reports [place, outcome, output | error] of each as it ends. */
  broadcast(call: Call, [name, input]: readonly Item[]): Answer {
    const task = textOf(name, 'the name of a task');
    const workers = [...this.takers.values()].filter(({ loops, session }) => loops && !session.ended);
    if (workers.length === 0) return undefined;
    return call.park(
      this.broadcasts.begin(
        call,
        workers.map((taker) => [taker, this.#putFor(taker.worker.name, task, input)]),
      ),
    );
  }

  /** A task for one worker, which runs it once or not at all. */
  #putFor(worker: string, name: string, item: Item): Task {
    if (this.queue.shut) throw this.shutError();
    const { input, bytesIn } = payloadFrom(item);
    const spec = this.specOf(name, input, bytesIn, { retries: 0, atMostOnce: true, rules: { worker } });
    if (input instanceof Packed) this.keep(input);
    return this.queue.put(spec, this.now());
  }

  // --- runs of job graphs ---

  watchRun(call: Call, [id, events, durations]: readonly Item[]): Answer {
    return this.runs.watch(textOf(id, 'an id'), { call, events: events === true, durations: durations === true });
  }

  closeRun({ session }: Call, [id]: readonly Item[]): Answer {
    this.runs.close(session, textOf(id, 'an id'));
  }

  cancelRun(_call: Call, [id, reason]: readonly Item[]): Answer {
    // Backwards, so that each ends as cancelled, and not as skipped for what it comes after.
    for (const task of this.runs.backwards(textOf(id, 'an id'))) {
      this.queue.cancel(task, cancelled(task, reason), this.now());
    }
  }

  retryRun(_call: Call, [id]: readonly Item[]): Answer {
    return this.runs.retry(textOf(id, 'an id'), this.now());
  }

  #each(which: Item, act: (task: Task) => boolean): number {
    if (typeof which === 'string') return act(this.#single(which)) ? 1 : 0;
    const filter = filterFrom(which);
    const { limit = Infinity } = filter;
    let done = 0;
    for (const task of [...this.#matching(filter)]) {
      if (done >= limit) break;
      const inputs = weightOf(task);
      if (act(task)) done += inputs;
    }
    return done;
  }

  /** The task of that id, to which something is to be done. */
  #single(id: string): Task {
    const task = this.find(id);
    if (weightOf(task) === 1) return task;
    throw new UnknownTaskError(`'${id}' is one of ${weightOf(task)} inputs of a map that are one task for now`);
  }

  #matching(filter: TaskFilter): Iterable<Task> {
    this.queue.records.prune(this.now());
    return matching(filter.unrunnable === true ? this.queue.unrunnable() : this.queue.records.values(), filter);
  }
}

function outcomeOf(task: Task): Item {
  if (task.state === State.succeeded && task.rules?.part !== undefined && task.output === undefined) {
    throw new UnknownTaskError(`what '${task.key}' has output has gone to whoever maps: nobody else can ask for it`);
  }
  return outcomeItem(task);
}
