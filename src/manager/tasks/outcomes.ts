/** Who hears of a task's end: whoever put it, without asking; whoever asks; and whoever follows its progress. */
import { FrameTooLargeError } from '../../errors.ts';
import { Outcome, ToClient } from '../../protocol/messages.ts';
import { type Item, Packed } from '../../protocol/wire.ts';
import type { Records } from '../../queue/records.ts';
import { type Failure, State, type Task } from '../../queue/task.ts';
import type { Call } from '../call.ts';
import type { Session } from '../session.ts';
import { WaitList } from '../wait-list.ts';
import { failureItem, unsent, writePayload } from './payload.ts';

type Watcher = (task: Task) => void;

export class Outcomes {
  readonly #records: Records;
  readonly #watchers = new Map<Task, WaitList<Watcher>>();
  readonly #followers = new Map<Task, WaitList<Call>>();
  #held: (() => void)[] | undefined;

  constructor(records: Records) {
    this.#records = records;
  }

  /** Tells its putter and all watchers. */
  settled(task: Task): void {
    const session = task.origin as Session | undefined;
    if (session !== undefined) {
      task.origin = undefined;
      if (this.#held !== undefined) this.#held.push(() => this.#tell(task, session));
      else this.#tell(task, session);
    }
    const watchers = this.#watchers.get(task);
    if (watchers === undefined) return;
    this.#watchers.delete(task);
    for (let tell = watchers.shift(); tell; tell = watchers.shift()) tell(task);
  }

  /** A put, told of before any outcome that comes of it: a task may end with its put. */
  before<T>(put: () => T): T {
    const held: (() => void)[] = (this.#held = []);
    try {
      return put();
    } finally {
      this.#held = undefined;
      for (const tell of held) tell();
    }
  }

  #tell(task: Task, session: Session): void {
    if (session.congested) session.whenWritable(() => this.#deliver(task, session));
    else this.#deliver(task, session);
  }

  /** Calls `tell` once the task has ended; its record stays until then. The function returned stops watching. */
  watch(task: Task, tell: Watcher): () => void {
    if (task.finished) {
      tell(task);
      return () => {};
    }
    const list = this.#watchers.get(task) ?? new WaitList<Watcher>();
    this.#watchers.set(task, list);
    this.#records.pin(task);
    const leave = list.add((ended) => {
      tell(ended);
      this.#records.unpin(ended);
    });
    return () => {
      if (!leave()) return;
      this.#records.unpin(task);
      if (list.size === 0) this.#watchers.delete(task);
    };
  }

  /** Sends the outcome, once there is one, as the answer to the put `call`, whose task was there already. */
  sendWhenEnded(task: Task, session: Session, call: number): void {
    let leave = (): void => {};
    leave = this.watch(task, (ended) => {
      session.holdings.delete(leave);
      this.send(ended, session, call);
    });
    if (!task.finished) session.holdings.add(leave);
  }

  /** `call` hears of the task's progress until it ends. */
  follow(task: Task, call: Call): () => void {
    const list = this.#followers.get(task) ?? new WaitList<Call>();
    this.#followers.set(task, list);
    const leave = list.add(call);
    const unwatch = this.watch(task, () => {
      leave();
      this.#followers.delete(task);
      call.answer();
    });
    return () => {
      leave();
      if (list.size === 0) this.#followers.delete(task);
      unwatch();
    };
  }

  progressed(task: Task, value: Item): void {
    const calls = this.#followers.get(task);
    if (calls === undefined) return;
    for (const call of calls) if (!call.session.congested) call.report(value);
  }

  /** Sends the outcome as the answer to the put `call`; of one that is over the limit on messages, what happened. */
  send(task: Task, session: Session, call: number): void {
    if (session.ended) return;
    try {
      this.#write(task, session, call);
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error;
      const { link } = session;
      link.beginEntry(ToClient.OUTCOME, 0);
      link.writer.u32(call);
      link.writer.u8(Outcome.failed);
      link.writer.item(unsent(task, error));
      link.endEntry();
    }
  }

  #write(task: Task, session: Session, call: number): void {
    const { link } = session;
    const { writer } = link;
    link.beginEntry(ToClient.OUTCOME, 0);
    const succeeded = task.state === State.succeeded;
    const at = writer.claim(5);
    writer.data.setUint32(at, call, true);
    writer.data.setUint8(at + 4, succeeded ? Outcome.succeeded : Outcome.failed);
    if (succeeded) {
      if (task.output instanceof Packed) session.lendNamed(task.output);
      writePayload(session, task.output);
    } else {
      const failure = failureItem(task.failure as Failure);
      session.lendNamed(failure);
      writer.item(failure);
    }
    link.endEntry();
  }

  #deliver(task: Task, session: Session): void {
    this.send(task, session, task.call);
    this.#records.unpin(task);
  }
}
