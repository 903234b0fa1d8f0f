/**
 * What a task queue must do, written as plainly as possible: lists that are searched and sorted at every step. The
 * model test runs it beside the real one.
 */

export type ModelState = 'blocked' | 'ready' | 'leased' | 'succeeded' | 'failed' | 'cancelled' | 'skipped';

export interface ModelTask {
  readonly number: number;
  readonly key: string;
  readonly priority: number;
  /** Of the input. */
  readonly bytes: number;
  /** Its id is of the user's choice, so that its input stays with its record. */
  readonly chosen: boolean;
  readonly retries: number;
  readonly poisonAfter: number;
  readonly after: readonly ModelTask[];
  state: ModelState;
  attempt: number;
  failures: number;
  deaths: number;
  /** Of the outcome. */
  bytesOut: number;
  lease: number;
  holder: number;
  endedBy: number;
  endedAt: number;
  /** Pins of others than dependents. */
  pins: number;
  /** Retention has let it go as soon as nobody needs it. */
  due: boolean;
  forgotten: boolean;
  /** The key of the task whose end made it skipped. */
  ancestor: string | undefined;
}

export type ModelSpec = Pick<ModelTask, 'priority' | 'bytes' | 'retries' | 'poisonAfter' | 'after' | 'pins'> & {
  readonly id: string | undefined;
};

const final: readonly ModelState[] = ['succeeded', 'failed', 'cancelled', 'skipped'];

export class Model {
  readonly tasks: ModelTask[] = [];
  /** Every end of a task, in their order. */
  readonly ended: ModelTask[] = [];
  readonly #count: number;
  readonly #age: number;
  readonly #bytes: number;
  /** Tasks that have ended, in the order of their last ends. */
  #finished: ModelTask[] = [];
  #leases = 0;

  /** `age` in tenths of a millisecond, like every time here. */
  constructor(count: number, age: number, bytes: number) {
    this.#count = count;
    this.#age = age;
    this.#bytes = bytes;
  }

  put({ id, ...spec }: ModelSpec, now: number): ModelTask {
    const number = this.tasks.length + 1;
    const task: ModelTask = {
      ...spec,
      number,
      key: id ?? `t${number}`,
      chosen: id !== undefined,
      state: 'blocked',
      attempt: 0,
      failures: 0,
      deaths: 0,
      bytesOut: 0,
      lease: 0,
      holder: -1,
      endedBy: 0,
      endedAt: -1,
      due: false,
      forgotten: false,
      ancestor: undefined,
    };
    this.tasks.push(task);
    const failed = task.after.find((before) => final.includes(before.state) && before.state !== 'succeeded');
    if (failed === undefined) this.#release(task);
    else this.#skip(task, failed, now);
    return task;
  }

  next(): ModelTask | undefined {
    return this.inState('ready').toSorted((a, b) => b.priority - a.priority || a.number - b.number)[0];
  }

  take(holder: number): ModelTask | undefined {
    const task = this.next();
    if (task === undefined) return undefined;
    Object.assign(task, { state: 'leased', lease: ++this.#leases, holder });
    return task;
  }

  complete(task: ModelTask, bytes: number, now: number): void {
    task.attempt++;
    task.endedBy = task.lease;
    task.bytesOut = bytes;
    this.#end(task, 'succeeded', now);
  }

  fail(task: ModelTask, isFinal: boolean, bytes: number, now: number): void {
    task.attempt++;
    task.endedBy = task.lease;
    if (isFinal || task.failures === task.retries) {
      task.bytesOut = bytes;
      return this.#end(task, 'failed', now);
    }
    task.failures++;
    this.giveBack(task);
  }

  /** Runs a finished task anew, where its input is there and what it comes after has succeeded or may yet. */
  retry(task: ModelTask): boolean {
    if (!final.includes(task.state) || task.forgotten || !hasInput(task)) return false;
    const mayRun = ({ forgotten, state }: ModelTask): boolean =>
      !forgotten && (state === 'succeeded' || !final.includes(state));
    if (!task.after.every(mayRun)) return false;
    this.#finished = this.#finished.filter((other) => other !== task);
    Object.assign(task, { state: 'blocked', due: false, endedAt: -1, failures: 0, deaths: 0, bytesOut: 0 });
    task.ancestor = undefined;
    this.#release(task);
    return true;
  }

  giveBack(task: ModelTask): void {
    Object.assign(task, { state: 'ready', lease: 0 });
  }

  /** The worker died, or was silent, while it ran the task. */
  lose(task: ModelTask, now: number): void {
    task.attempt++;
    task.deaths++;
    if (task.deaths >= task.poisonAfter) this.#end(task, 'failed', now);
    else this.giveBack(task);
  }

  cancel(task: ModelTask, now: number): boolean {
    if (final.includes(task.state)) return false;
    if (task.state === 'leased') task.attempt++;
    this.#end(task, 'cancelled', now);
    return true;
  }

  /** What is told to somebody who ends a lease that is no longer his. */
  late(task: ModelTask, lease: number): 'repeated' | 'lost' {
    return !task.forgotten && task.endedBy === lease ? 'repeated' : 'lost';
  }

  unpin(task: ModelTask): void {
    task.pins--;
    this.#forget();
  }

  prune(now: number): void {
    // Dead letters are counted apart.
    for (const dead of [false, true]) {
      const waiting = this.#finished.filter((task) => !task.due && (task.state === 'failed') === dead);
      waiting.forEach((task, i) => {
        const tooMany = waiting.length - i > this.#count || bytesOf(waiting.slice(i)) > this.#bytes;
        if (tooMany || now - task.endedAt > this.#age) task.due = true;
      });
    }
    this.#forget();
  }

  inState(state: ModelState): ModelTask[] {
    return this.kept().filter((task) => task.state === state);
  }

  kept(): ModelTask[] {
    return this.tasks.filter((task) => !task.forgotten);
  }

  /** Whose records are kept. */
  get finished(): ModelTask[] {
    return this.#finished.filter((task) => !task.forgotten);
  }

  /** Bytes that count: of finished tasks that pins alone do not keep. */
  get keptBytes(): number {
    return bytesOf(this.#finished.filter((task) => !task.due));
  }

  #end(task: ModelTask, state: ModelState, now: number): void {
    this.#settle(task, state, now);
    const blocked = (): ModelTask[] => this.tasks.filter((other) => other.state === 'blocked');
    if (state === 'succeeded') {
      for (const other of blocked()) this.#release(other);
      return;
    }
    // Whoever comes after it is skipped: its own dependents first, then theirs.
    const list = [task];
    for (const failed of list) {
      for (const other of blocked()) {
        if (!other.after.includes(failed)) continue;
        this.#skip(other, failed, now);
        list.push(other);
      }
    }
  }

  #settle(task: ModelTask, state: ModelState, now: number): void {
    Object.assign(task, { state, lease: 0, endedAt: now });
    this.ended.push(task);
    this.#finished.push(task);
    this.prune(now);
  }

  #skip(task: ModelTask, failed: ModelTask, now: number): void {
    task.ancestor = failed.ancestor ?? failed.key;
    this.#settle(task, 'skipped', now);
  }

  #release(task: ModelTask): void {
    if (task.after.every((before) => before.state === 'succeeded')) task.state = 'ready';
  }

  #forget(): void {
    for (const task of this.#finished) {
      const needed = this.tasks.some((other) => !final.includes(other.state) && other.after.includes(task));
      if (task.due && task.pins === 0 && !needed) task.forgotten = true;
    }
  }
}

/** A finished task's record still has it. */
function hasInput({ state, chosen }: ModelTask): boolean {
  return state !== 'succeeded' || chosen;
}

function bytesOf(tasks: readonly ModelTask[]): number {
  return tasks.reduce((sum, task) => sum + (hasInput(task) ? task.bytes : 0) + task.bytesOut, 0);
}
