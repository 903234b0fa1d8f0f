/** How tasks come: what TASK frames hold. */
import { TaskFlags } from '../protocol/messages.ts';
import { getU48, type Item, type Reader } from '../protocol/wire.ts';
import { LeasedRange } from './leased-range.ts';
import { Leased, type Outputs } from './leased-task.ts';
import type { TaskTaker } from './task-taker.ts';

/** What a worker loop is given. */
export type Taken = Leased | LeasedRange;

/** The next entry of a TASK frame. */
export function readTask(taker: TaskTaker, reader: Reader): Taken {
  const end = reader.entry();
  const at = reader.claim(17);
  const { data } = reader;
  const lease = getU48(data, at);
  const number = getU48(data, at + 6);
  const flags = data.getUint8(at + 12);
  const name = taker.connection.names[data.getUint16(at + 13, true)] ?? '';
  const attempt = data.getUint16(at + 15, true);
  const id = flags & TaskFlags.id ? reader.string() : undefined;
  const outputs = flags & TaskFlags.outputs ? outputsFrom(reader.item()) : undefined;
  if (flags & TaskFlags.items) {
    const range = { lease, number, name, attempt, flags, count: reader.u32() };
    const { buffer, position } = reader;
    reader.skipTo(end);
    return new LeasedRange(taker.ranges, range, buffer, position, end);
  }
  const region = reader.regionUntil(end);
  if (region !== undefined) {
    const item = taker.connection.arenas.copy(region);
    return new Leased(taker, lease, number, id, name, attempt, item, 0, item.length, true, outputs, flags);
  }
  const from = reader.position;
  reader.skipTo(end);
  return new Leased(taker, lease, number, id, name, attempt, reader.buffer, from, end, reader.owns, outputs, flags);
}

function outputsFrom(item: Item): Outputs {
  const outputs = new Map<string, Item>();
  if (Array.isArray(item))
    for (let i = 0; i + 1 < item.length; i += 2) outputs.set(String(item[i]), item[i + 1] as Item);
  return outputs;
}

/** What the event tells of tasks that nobody here can run. */
export function unrunnableFrom(item: Item): object {
  const [queue, tags, worker, amounts] = item as [string, string[], string | undefined, (string | number)[]];
  const resources: Record<string, number> = {};
  for (let i = 0; i + 1 < amounts.length; i += 2) resources[String(amounts[i])] = Number(amounts[i + 1]);
  return { queue, tags, worker, resources };
}
