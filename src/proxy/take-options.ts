/** What a taker offers, checked at the caller, as it crosses. */
import type { Item } from '../protocol/wire.ts';
import type { TakeOptions } from '../tasks.ts';
import type { WaitOptions } from '../waiting.ts';
import { amountItems, checkNames, tagItems, word } from './scheduling-items.ts';

/** [name, tags, resources]; undefined where nothing is said. */
export function offerItem(options: (TakeOptions & WaitOptions) | undefined): Item[] | undefined {
  if (options === undefined) return undefined;
  checkNames('taking a task', options, ['name', 'tags', 'resources', 'signal', 'timeout']);
  const { name, tags, resources } = options;
  if (name === undefined && tags === undefined && resources === undefined) return undefined;
  return [
    name === undefined ? undefined : word(name, 'name'),
    tags === undefined ? undefined : tagItems(tags)?.sort(),
    resources === undefined ? undefined : amountItems(resources, 'resources'),
  ];
}
