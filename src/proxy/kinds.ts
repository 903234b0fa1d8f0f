/** Every kind of proxy, and what else of a client is loaded with the first of them. */
import { BarrierProxy } from './barrier-proxy.ts';
import { ConditionProxy } from './condition-proxy.ts';
import { CounterProxy } from './counter-proxy.ts';
import { customProxy, type ProxyBase } from './custom-proxy.ts';
import { DictProxy } from './dict-proxy.ts';
import { EventProxy } from './event-proxy.ts';
import { ListProxy } from './list-proxy.ts';
import { LockProxy } from './lock-proxy.ts';
import { NamespaceProxy } from './namespace-proxy.ts';
import type { BaseProxy, ObjectHandle } from './object-proxy.ts';
import type { HelperSource } from './queue-keys.ts';
import { QueueProxy } from './queue-proxy.ts';
import { RLockProxy } from './rlock-proxy.ts';
import { RwLockProxy } from './rw-lock-proxy.ts';
import { SemaphoreProxy } from './semaphore-proxy.ts';
import { SetProxy } from './set-proxy.ts';
import { TaskQueueProxy } from './task-queue-proxy.ts';
import { TopicProxy } from './topic-proxy.ts';
import { ValueProxy } from './value-proxy.ts';

export { attemptClient } from './attempt-client.ts';
export { Inspector } from './inspector.ts';
export {
  BarrierProxy,
  ConditionProxy,
  CounterProxy,
  customProxy,
  DictProxy,
  EventProxy,
  ListProxy,
  LockProxy,
  NamespaceProxy,
  QueueProxy,
  RLockProxy,
  RwLockProxy,
  SemaphoreProxy,
  SetProxy,
  TopicProxy,
  ValueProxy,
};

/** The proxy of an object that came inside a value. */
export function proxyOf(handle: ObjectHandle, helper: HelperSource): BaseProxy | ProxyBase {
  switch (handle.typeId) {
    case 'dict':
      return new DictProxy(handle);
    case 'queue':
      return new QueueProxy(handle);
    case 'lock':
      return new LockProxy(handle);
    case 'rlock':
      return new RLockProxy(handle);
    case 'counter':
      return new CounterProxy(handle);
    case 'value':
      return new ValueProxy(handle);
    case 'tasks':
      return new TaskQueueProxy(handle, helper);
    case 'list':
      return new ListProxy(handle);
    case 'set':
      return new SetProxy(handle);
    case 'namespace':
      return new NamespaceProxy(handle);
    case 'barrier':
      return new BarrierProxy(handle);
    case 'event':
      return new EventProxy(handle);
    case 'rwlock':
      return new RwLockProxy(handle);
    case 'semaphore':
      return new SemaphoreProxy(handle);
    case 'condition':
      return new ConditionProxy(handle);
    case 'topic':
      return new TopicProxy(handle);
    default:
      return customProxy(handle);
  }
}
