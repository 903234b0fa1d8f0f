/** The shared objects of every manager, but for task queues: loaded together, with the first of them. */
export { Barrier } from './barrier.ts';
export { Condition } from './condition.ts';
export { Counter } from './counter.ts';
export { Dict } from './dict.ts';
export { SharedEvent } from './event.ts';
export { List } from './list.ts';
export { Lock } from './lock.ts';
export { Namespace } from './namespace.ts';
export { Queue } from './queue.ts';
export { RwLock } from './rw-lock.ts';
export { Semaphore } from './semaphore.ts';
export { SharedSet } from './set.ts';
export { Topic } from './topic.ts';
export { Value } from './value.ts';
