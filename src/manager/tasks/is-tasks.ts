import type { SharedObject } from '../shared-object.ts';
import type { Tasks } from './tasks.ts';

/** Whether an object is a task queue; without the class, which is loaded with the first of them. */
export function isTasks(object: SharedObject | undefined): object is Tasks {
  return object?.type.typeId === 'tasks';
}
