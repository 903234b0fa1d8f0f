/**
 * `context.client` of a task: the worker's client, but locks that are taken through it end with the attempt, and whoever
 * waits for a task by it lends the attempt's slot.
 */
import type { Client } from './client.ts';
import { type ConditionOptions, ConditionProxy } from './condition-proxy.ts';
import type { GrantorProxy } from './grantor-proxy.ts';
import { LockProxy } from './lock-proxy.ts';
import type { Attempt, ObjectHandle } from './object-proxy.ts';
import { RLockProxy } from './rlock-proxy.ts';
import { RwLockProxy } from './rw-lock-proxy.ts';
import { type SemaphoreOptions, SemaphoreProxy } from './semaphore-proxy.ts';

/** Opens an object whose grants end with the attempt. */
type Open = (typeId: string, name: string | undefined, options?: object) => ObjectHandle;

/** The client itself in all but task queues and what grants; proxies of what grants, too, are for the attempt alone. */
export function attemptClient(client: Client, attempt: Attempt, open: Open, tasks: Client['tasks']): Client {
  const forAttempt = <P extends GrantorProxy>(proxy: P): P => {
    // A turn later: who asks once more is told by the manager why not.
    attempt.bind(() => setImmediate(() => void proxy.dispose()));
    return proxy;
  };
  const own: Partial<Client> = {
    tasks,
    lock: (name) => forAttempt(new LockProxy(open('lock', name))),
    rlock: (name) => forAttempt(new RLockProxy(open('rlock', name))),
    rwLock: (name) => forAttempt(new RwLockProxy(open('rwlock', name))),
    semaphore: (name, options?: SemaphoreOptions) => forAttempt(new SemaphoreProxy(open('semaphore', name, options))),
    condition: (name, options?: ConditionOptions) => forAttempt(new ConditionProxy(open('condition', name, options))),
  };
  return new Proxy(client, {
    get(target, key) {
      if (Object.hasOwn(own, key)) return Reflect.get(own, key) as unknown;
      const value: unknown = Reflect.get(target, key, target);
      // Methods see the client itself, whose private fields they read.
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
