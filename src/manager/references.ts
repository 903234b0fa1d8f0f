/** The proxies inside values, as the manager keeps them: by the object itself, so that nothing has to be looked up. */
import { type Item, Packed, type ProxyRef } from '../protocol/wire.ts';
import type { SharedObject } from './shared-object.ts';

/** One proxy inside a value that the manager has accepted. Every one that it stores or sends is of this class. */
export class ObjectRef implements ProxyRef {
  readonly object: SharedObject;
  readonly id: number;
  readonly local = false;
  readonly typeId: string;
  readonly name: string | undefined;

  constructor(object: SharedObject) {
    this.object = object;
    this.id = object.id;
    this.typeId = object.type.typeId;
    this.name = object.name;
  }
}

/** Calls `each` for every proxy in the value: an object that is named twice comes twice. */
export function eachNamed(item: Item, each: (object: SharedObject) => void): void {
  if (item instanceof Packed) {
    for (const ref of item.proxies) if (ref instanceof ObjectRef) each(ref.object);
  } else if (Array.isArray(item)) {
    for (const part of item as readonly Item[]) if (typeof part === 'object' && part !== null) eachNamed(part, each);
  }
}

/** Whether it may name objects: a list is looked into by whoever needs to know. */
export function mayName(item: unknown): item is Packed | readonly Item[] {
  return item instanceof Packed ? item.proxies.length > 0 : Array.isArray(item);
}
