import { setMaxListeners } from 'node:events';
import type { PutOptions, TaskHandle } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import { Stream, type StreamOptions } from './stream.ts';

/** How `map` runs its tasks, and what it makes of those that fail. */
export interface MapOptions extends StreamOptions, Omit<PutOptions, 'id'> {
  /** 'throw' (default): the first failure ends the stream and cancels the rest. 'yield': each input has its outcome. */
  onError?: 'throw' | 'yield' | undefined;
  /** Ends the stream with `signal.reason`, and cancels what has not ended. */
  signal?: AbortSignal | undefined;
}

/** One task for each input; leaving the stream cancels those that have not ended. */
export function mapStream(
  inputs: Iterable<unknown> | AsyncIterable<unknown>,
  put: (input: unknown, wait: WaitOptions) => Promise<TaskHandle>,
  { ordered, inFlight, onError = 'throw', signal }: MapOptions,
): Stream<unknown> {
  if (onError !== 'throw' && onError !== 'yield') {
    throw new TypeError(`onError must be 'throw' or 'yield', not ${String(onError)}`);
  }
  signal?.throwIfAborted();
  const left = new AbortController();
  const ended = signal === undefined ? left.signal : AbortSignal.any([left.signal, signal]);
  // One listener for each task that is under way: `inFlight` bounds them.
  setMaxListeners(0, ended);
  const run = async (input: unknown): Promise<unknown> => {
    const handle = await put(input, { signal: ended });
    try {
      return await handle.result({ signal: ended });
    } catch (error) {
      if (ended.aborted) handle.cancel('nobody reads its outcome').catch(() => {});
      throw error;
    }
  };
  const settle = async (input: unknown): Promise<PromiseSettledResult<unknown>> => {
    try {
      return { status: 'fulfilled', value: await run(input) };
    } catch (reason) {
      ended.throwIfAborted();
      return { status: 'rejected', reason };
    }
  };
  const leave = (): void => left.abort(new Error('the stream was left'));
  return new Stream<unknown>(inputs, { ordered, inFlight, signal }, onError === 'throw' ? run : settle, leave);
}
