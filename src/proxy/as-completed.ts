import type { TaskHandle } from '../tasks.ts';
import { checkTimeout, type WaitOptions, watchWait } from '../waiting.ts';

/** When `wait` is over: all have ended, one has, or one has not succeeded (or all have ended). */
export interface WaitForOptions extends WaitOptions {
  until?: 'all' | 'first' | 'first-error' | undefined;
}

/** What has ended and what has not, each in the order in which the handles were given. */
export interface Waited<H extends TaskHandle> {
  readonly done: H[];
  readonly pending: H[];
}

/**
 * The handles in the order in which their tasks end, however they end: `result()` of each tells at once. Begins with the
 * call, and ends when a reader leaves. `timeout` and `signal` are for all of them together, and cancel nothing.
 * @throws TimeoutError, or the signal's reason, at the next read
 */
export function asCompleted<H extends TaskHandle>(
  handles: Iterable<H>,
  options: WaitOptions = {},
): AsyncIterable<H> & { toArray(): Promise<H[]> } {
  checkTimeout(options.timeout);
  options.signal?.throwIfAborted();
  const ended: H[] = [];
  const wakers = new Set<() => void>();
  const wake = (): void => {
    for (const each of wakers) each();
    wakers.clear();
  };
  let left = false;
  let failure: { readonly reason: unknown } | undefined;
  const watch = watchAll(handles, (handle) => {
    ended.push(handle);
    if (watch.open.size === 0) endWatch();
    wake();
  });
  const endWatch = watchWait(options, 'waiting for the next task to end', (reason) => {
    failure = { reason };
    watch.leave();
    wake();
  });
  if (watch.open.size === 0) endWatch();
  const read = async function* (): AsyncGenerator<H, void> {
    try {
      for (;;) {
        const next = ended.shift();
        if (next !== undefined) yield next;
        else if (failure !== undefined) throw failure.reason;
        else if (left || watch.open.size === 0) return;
        else await new Promise<void>((resolve) => wakers.add(resolve));
      }
    } finally {
      left = true;
      endWatch();
      watch.leave();
      wake();
    }
  };
  return {
    [Symbol.asyncIterator]: read,
    async toArray() {
      const all: H[] = [];
      for await (const handle of this) all.push(handle);
      return all;
    },
  };
}

/**
 * Waits until tasks have ended. Cancels nothing.
 * @throws TimeoutError, or the signal's reason
 */
export function wait<H extends TaskHandle>(handles: Iterable<H>, options: WaitForOptions = {}): Promise<Waited<H>> {
  const { until = 'all' } = options;
  if (!['all', 'first', 'first-error'].includes(until)) {
    return Promise.reject(new TypeError(`until must be 'all', 'first' or 'first-error', not ${String(until)}`));
  }
  return new Promise((resolve, reject) => {
    checkTimeout(options.timeout);
    options.signal?.throwIfAborted();
    const all = [...new Set(handles)];
    const end = (): void => {
      endWatch();
      // What has ended as well by now is told after this: it counts.
      setImmediate(() => {
        watch.leave();
        resolve({
          done: all.filter((handle) => !watch.open.has(handle)),
          pending: all.filter((handle) => watch.open.has(handle)),
        });
      });
    };
    const watch = watchAll(all, (_, failed) => {
      if (watch.open.size === 0 || until === 'first' || (until === 'first-error' && failed)) end();
    });
    const endWatch = watchWait(options, 'waiting for tasks to end', (reason) => {
      watch.leave();
      reject(reason);
    });
    if (all.length === 0) end();
  });
}

interface Watch<H> {
  /** What has not ended, and how to stop waiting for it. */
  readonly open: ReadonlyMap<H, AbortController>;
  leave(): void;
}

/** Calls `ended` for each handle once its task has ended, until it is left. */
function watchAll<H extends TaskHandle>(handles: Iterable<H>, ended: (handle: H, failed: boolean) => void): Watch<H> {
  const open = new Map<H, AbortController>();
  let left = false;
  const told = (handle: H, failed: boolean): void => {
    if (!left && open.delete(handle)) ended(handle, failed);
  };
  for (const handle of new Set(handles)) {
    // One each: thousands of listeners on one signal would look like a leak.
    const waiting = new AbortController();
    open.set(handle, waiting);
    handle.result({ signal: waiting.signal }).then(
      () => told(handle, false),
      () => told(handle, true),
    );
  }
  return {
    open,
    leave() {
      left = true;
      for (const waiting of open.values()) waiting.abort();
    },
  };
}
