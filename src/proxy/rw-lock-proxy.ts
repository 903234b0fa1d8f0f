import type { Item } from '../protocol/wire.ts';
import { type AcquireOptions, GrantorProxy } from './grantor-proxy.ts';
import type { LockGuard } from './lock-guard.ts';

/** What a read-write lock is at one moment. */
export interface RwLockState {
  readonly readers: number;
  readonly writing: boolean;
  /** Calls that wait. */
  readonly waiting: number;
}

type Body<R> = (guard: LockGuard) => R | Promise<R>;

/** Many readers or one writer. First come, first served: a reader does not pass a writer who waits. */
export class RwLockProxy extends GrantorProxy {
  /**
   * Waits until nobody writes; others may read meanwhile. With `fn`, runs it and releases the lock after it. Reading
   * inside a body that reads may have to wait for a writer in between, which waits for the body: `DeadlockError`.
   * @throws DeadlockError, TimeoutError, or the signal's reason
   */
  read(options?: AcquireOptions): Promise<LockGuard>;
  read<R>(fn: Body<R>, options?: AcquireOptions): Promise<R>;
  read<R>(first?: AcquireOptions | Body<R>, options?: AcquireOptions): Promise<LockGuard | R> {
    return this.#take('read', first, options);
  }

  /**
   * Waits until nobody reads or writes. With `fn`, runs it and releases the lock after it. A reader cannot become a
   * writer: `DeadlockError`.
   * @throws DeadlockError, TimeoutError, or the signal's reason
   */
  write(options?: AcquireOptions): Promise<LockGuard>;
  write<R>(fn: Body<R>, options?: AcquireOptions): Promise<R>;
  write<R>(first?: AcquireOptions | Body<R>, options?: AcquireOptions): Promise<LockGuard | R> {
    return this.#take('write', first, options);
  }

  /** What it is at one moment. */
  override async snapshot(): Promise<RwLockState> {
    const [readers, writing, waiting] = (await this.call('snapshot', [])) as Item[] as [number, boolean, number];
    return { readers, writing, waiting };
  }

  #take<R>(
    method: 'read' | 'write',
    first: AcquireOptions | Body<R> | undefined,
    options: AcquireOptions | undefined,
  ): Promise<LockGuard | R> {
    const acquire = (wait?: AcquireOptions): Promise<LockGuard> => this.ask(method, [], wait) as Promise<LockGuard>;
    if (typeof first !== 'function') return acquire(first);
    return this.inBody(() => acquire(options), first);
  }
}
