/** The calls by which a taker asks the manager for a task, when its window has none. */
import { ToManager } from '../protocol/messages.ts';
import type { Deque } from '../queue/deque.ts';
import type { WaitOptions } from '../waiting.ts';
import type { Connection } from './connection.ts';
import { Pending } from './pending.ts';
import type { Taken } from './task-arrival.ts';

/** What they need of their taker. */
interface Asker {
  /** How many leased tasks it wants. */
  readonly size: () => number;
  /** The next task of the window, now the caller's. */
  readonly next: (ranges: boolean) => Taken | undefined;
  /** To whoever asked. */
  readonly hand: (taken: Taken) => Taken | Promise<Taken>;
  /** Somebody has left, and the window may wait for nobody. */
  readonly watchIdle: () => void;
  /** A call is over: it may have been the last. */
  readonly checkDone: () => void;
}

/** Whom a call is for. */
interface Asking {
  readonly resolve: (task: Taken | Promise<Taken>) => void;
  /** A worker loop, which runs ranges. */
  readonly ranges: boolean;
}

export class Asks {
  readonly #connection: Connection;
  readonly #window: Deque<Taken>;
  readonly #asker: Asker;
  readonly #asking = new Map<number, Asking>();
  #serving = false;
  /** The last task came by itself to one who waited: so will the next. */
  oneByOne = false;

  constructor(connection: Connection, window: Deque<Taken>, asker: Asker) {
    this.#connection = connection;
    this.#window = window;
    this.#asker = asker;
  }

  /** Some are not answered. */
  get any(): boolean {
    return this.#asking.size > 0;
  }

  /** `nowait`: undefined where the manager has none to give. `through`: the queue's handle, or that of a hold on it. */
  ask(through: number, nowait: boolean, wait: WaitOptions | undefined, ranges: boolean): Promise<Taken | undefined> {
    // A worker loop that gets none waits for one: to ask first is two messages for each task, and here for nothing.
    if (nowait && ranges && this.oneByOne) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#connection.handles.check(through);
      let id = 0;
      const ask = (): void => {
        id = this.#connection.begin(new PendingTake(answered, failed));
        this.#asking.set(id, { resolve, ranges });
        const { link } = this.#connection;
        const start = link.beginCall(ToManager.TAKE, id, through);
        link.writer.u8((nowait ? 1 : 0) | (ranges ? 0 : 2));
        link.writer.u16(this.#asker.size());
        this.#connection.finish(start, id);
        if (wait !== undefined) this.#connection.watch(id, wait, failed, 'waiting for a task');
      };
      const failed = (error: unknown): void => {
        this.#asking.delete(id);
        if (this.#window.size > 0) this.#asker.watchIdle();
        this.#asker.checkDone();
        reject(error);
      };
      const answered = (count: number): void => {
        this.#asking.delete(id);
        const task = this.#asker.next(ranges);
        this.oneByOne = !nowait && this.#window.size === 0;
        this.#asker.checkDone();
        if (task !== undefined) resolve(this.#asker.hand(task));
        else if (count === 0) resolve(undefined);
        // Another flow of this client, or the helper, was faster; whoever has left meanwhile is not heard of again.
        else if (wait?.signal?.aborted === true) failed(wait.signal.reason);
        else ask();
      };
      ask();
    });
  }

  /**
   * A task for the window may cross with a call that asks for one, which the manager then parks: whoever still waits
   * when the chunk has been read is served from here.
   */
  serveSoon(): void {
    if (this.#serving) return;
    this.#serving = true;
    process.nextTick(() => {
      this.#serving = false;
      for (const [id, { resolve, ranges }] of this.#asking) {
        const task = this.#window.size === 0 ? undefined : this.#asker.next(ranges);
        if (task === undefined) return;
        this.#asking.delete(id);
        this.oneByOne = false;
        this.#connection.cancel(id);
        resolve(this.#asker.hand(task));
      }
    });
  }
}

/** A call that asks for a task. */
class PendingTake extends Pending {
  readonly #taken: (count: number) => void;
  readonly #failed: (error: unknown) => void;

  constructor(taken: (count: number) => void, failed: (error: unknown) => void) {
    super();
    this.#taken = taken;
    this.#failed = failed;
  }

  override taken(count: number): boolean {
    this.#taken(count);
    return true;
  }

  override failed(error: Error): void {
    this.#failed(error);
  }
}
