/** One task on every worker: the outcomes come one by one, each in its place. */
import { encode } from '../protocol/codec.ts';
import { errorFrom } from '../protocol/errors.ts';
import { Outcome } from '../protocol/messages.ts';
import type { Item } from '../protocol/wire.ts';
import type { TaskCalls } from './task-calls.ts';

/** Resolves with all outcomes once the last is there. Values are decoded as they come: what they name lives until then. */
export async function broadcast(
  calls: TaskCalls,
  name: string,
  input: unknown,
): Promise<PromiseSettledResult<unknown>[]> {
  const { codec } = calls.connection;
  const outcomes: PromiseSettledResult<unknown>[] = [];
  const following = calls.follow('broadcast', [name, encode(input, codec, 'input')], (item) => {
    const [place, outcome, value] = item as readonly [number, Item, Item];
    outcomes[place] =
      outcome === Outcome.succeeded
        ? { status: 'fulfilled', value: calls.unpack(value) }
        : { status: 'rejected', reason: errorFrom(value, codec) };
  });
  await following.done;
  return outcomes;
}
