/**
 * Quartermaster: everything that users import. Where Node.js loads modules by `require()`, programs and workers get
 * start/by-need.ts for it: the same, with less behind it.
 */
import './start/at-once.ts';
export * from './public-errors.ts';
export type {
  LockHolder,
  LockSummary,
  LockUser,
  LockWaiter,
  ObjectFilter,
  ObjectSummary,
  QueuedTaskRecord,
  WorkerSummary,
} from './inspection.ts';
export { Manager } from './manager/manager.ts';
export type { CustomFactory, RegisterOptions } from './manager/objects/custom.ts';
export type { Address, ManagerLimits, ManagerOptions } from './options.ts';
export { type Client, type ClientEvents } from './proxy/client.ts';
export { connect, type ConnectOptions } from './proxy/connect.ts';
export type { CounterProxy } from './proxy/counter-proxy.ts';
export type { ObjectProxy, ProxyBase, Yields } from './proxy/custom-proxy.ts';
export type { BarrierOptions, BarrierProxy, BarrierState } from './proxy/barrier-proxy.ts';
export type { DictProxy, Key } from './proxy/dict-proxy.ts';
export type { EventProxy } from './proxy/event-proxy.ts';
export type { ListProxy } from './proxy/list-proxy.ts';
export type { NamespaceProxy } from './proxy/namespace-proxy.ts';
export type { RLockOptions, RLockProxy } from './proxy/rlock-proxy.ts';
export type { SetProxy } from './proxy/set-proxy.ts';
export type { GraphRun } from './proxy/graph-run.ts';
export type { Inspector } from './proxy/inspector.ts';
export type { JobOptions } from './proxy/job.ts';
export { type CriticalPath, JobGraph } from './proxy/job-graph.ts';
export type { JobGraphJSON, JobJSON } from './proxy/job-graph-json.ts';
export type { JobEvent, RunProgress } from './proxy/run-events.ts';
export type { RunGraphOptions } from './proxy/submit-graph.ts';
export type { ConditionOptions, ConditionProxy } from './proxy/condition-proxy.ts';
export type { AcquireOptions } from './proxy/grantor-proxy.ts';
export type { LockGuard } from './proxy/lock-guard.ts';
export type { LockOwner, LockProxy } from './proxy/lock-proxy.ts';
export type { RwLockProxy, RwLockState } from './proxy/rw-lock-proxy.ts';
export type {
  SemaphoreBodyOptions,
  SemaphoreOptions,
  SemaphoreProxy,
  SemaphoreState,
} from './proxy/semaphore-proxy.ts';
export type { GuardOptions, HoldOptions } from './proxy/object-proxy.ts';
export type { PutManyOptions } from './proxy/put-options.ts';
export type { QueueOptions, QueueProxy, QueuePutOptions } from './proxy/queue-proxy.ts';
export { asCompleted, wait, type Waited, type WaitForOptions } from './proxy/as-completed.ts';
export type { MapOptions } from './proxy/map/map.ts';
export type { Stream, StreamOptions } from './proxy/stream.ts';
export type { TaskDictProxy } from './proxy/task-dict-proxy.ts';
export type { TaskQueueProxy } from './proxy/task-queue-proxy.ts';
export type { ValueProxy } from './proxy/value-proxy.ts';
export type { Change, DictChange } from './proxy/change.ts';
export type { Feed, FeedOptions } from './proxy/feed.ts';
export type { PublishOptions, TopicProxy, TopicState } from './proxy/topic-proxy.ts';
export { type ManagerProcess, startManager, type StartManagerOptions } from './start/start-manager.ts';
export { startPool, type StartPoolOptions } from './start/start-pool.ts';
export {
  defineTasks,
  type Handler,
  type Handlers,
  type Logger,
  type LogLevel,
  type TaskContext,
} from './proxy/task-context.ts';
export * from './scheduling.ts';
export * from './tasks.ts';
export type { WaitOptions } from './waiting.ts';
export { work, type WorkOptions } from './worker/work.ts';
export type { Pool } from './worker/pool.ts';
export { startWorkers } from './worker/start-workers.ts';
export type { StartWorkersOptions, WorkerCount } from './worker/group-options.ts';
export type { LateError } from './worker/orders.ts';
export type { WorkerGroup, WorkerGroupEvents, WorkerProcess } from './worker/worker-group.ts';
export type { TaskLogEntry } from './worker/task-log.ts';
export type { WorkerLog, WorkerLogs } from './worker/worker-logs.ts';
