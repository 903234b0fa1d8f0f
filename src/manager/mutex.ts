/** What excludes: async-mutex. Loaded when somebody first holds an object, or a method awaits. */
import { Mutex, type MutexInterface } from 'async-mutex';

export function newMutex(): MutexInterface {
  return new Mutex();
}
