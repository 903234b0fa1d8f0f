/** Changes of watched objects. */
import type { Item } from '../protocol/wire.ts';

/** One change of a watched object. */
export interface Change<V> {
  /** The new value; there is no such property where it was deleted. */
  value?: V;
  /** Grows by one with every change of the object, whatever its key. */
  version: number;
  /** The session that made the change, as `client.session` says it. */
  session: number;
  /** So many changes before this one were dropped, because they were not read in time. There is no such property where none was. */
  missed?: number;
}

/** One change of a watched dictionary. */
export interface DictChange<K, V> extends Change<V> {
  /** Where it changed. */
  key: K;
}

/** The change that an item stands for: [version, session, key, value], without a value where that was deleted. */
export function changeOf<V>(item: Item, missed: number, unpack: (item: Item) => unknown): Change<V> & { key: Item } {
  const [version, session, key, value] = item as readonly [number, number, Item, Item];
  const change: Change<V> & { key: Item } = { key, version, session };
  if ((item as readonly Item[]).length > 3) change.value = unpack(value) as V;
  if (missed > 0) change.missed = missed;
  return change;
}
