/** What every operation that can wait takes, for its own waiting. */
import { TimeoutError } from './errors.ts';

/** For the caller's own waiting: giving it up takes nothing back that has happened, unless a method says so. */
export interface WaitOptions {
  /** Ends the waiting with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Ends the waiting with `TimeoutError` after so many ms; 0: at once unless nothing has to be waited for. */
  timeout?: number | undefined;
}

/** Longest delay that Node's timers take (ms); a longer timeout never comes. */
const LONGEST_DELAY = 0x7fff_ffff;

/** Refuses a timeout that is no time. */
export function checkTimeout(timeout: number | undefined, name = 'timeout'): void {
  if (timeout === undefined) return;
  if (typeof timeout !== 'number')
    throw new TypeError(`${name} must be a number of milliseconds, not ${typeof timeout}`);
  if (Number.isNaN(timeout) || timeout < 0)
    throw new RangeError(`${name} must be 0 or more milliseconds, not ${timeout}`);
}

/**
 * Watches over one wait: calls `stop` once with the reason when its signal aborts or its time is up. The function
 * returned ends the watch; call it when the wait settles otherwise.
 */
export function watchWait(options: WaitOptions | undefined, what: string, stop: (reason: unknown) => void): () => void {
  const { signal, timeout } = options ?? {};
  let timer: NodeJS.Timeout | undefined;
  const aborted = (): void => {
    end();
    stop(signal?.reason);
  };
  const end = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', aborted);
  };
  if (timeout !== undefined && timeout <= LONGEST_DELAY) {
    timer = setTimeout(() => {
      end();
      stop(new TimeoutError(`${what} took longer than ${timeout} ms`));
    }, timeout);
  }
  signal?.addEventListener('abort', aborted, { once: true });
  return end;
}

/** Something that will have a value, of whatever kind. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
