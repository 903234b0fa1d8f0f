/** Options that users give a manager. */
import type { TaskQueueOptions } from './tasks.ts';

/** 'unix:/path' or 'pipe:name'. */
export type Address = string;

/** How much a manager takes before it refuses. */
export interface ManagerLimits {
  /** Longest message (bytes). Default 64 MiB. */
  frameBytes?: number | undefined;
  /** Most connections at once; one more is refused with `TooManyConnectionsError`. Default 10,000. */
  connections?: number | undefined;
  /** Most shared objects. Default 1,000,000. */
  objects?: number | undefined;
  /**
   * Most bytes that may wait to be sent to one client: above it nothing more is read from that client, and outcomes wait
   * too, until it has read what is on its way. The one large value that is being sent does not count. At least 64 KiB;
   * default 8 MiB.
   */
  pendingBytes?: number | undefined;
}

/** What a manager is made with, embedded or in a process of its own. */
export interface ManagerOptions {
  /** Where to listen. Default: a fresh Unix socket (a named pipe on Windows) in a private directory. */
  address?: Address | undefined;
  /** What clients must prove that they hold. Default: a fresh random key. */
  authKey?: string | Uint8Array | undefined;
  /** Files that register custom types: each default-exports a function that is given the manager. */
  modules?: readonly (string | URL)[] | undefined;
  /** Defaults of every task queue. */
  queue?: TaskQueueOptions | undefined;
  /** Amounts of this host, by name, that all tasks of all queues hold from while they run. */
  resources?: Readonly<Record<string, number>> | undefined;
  limits?: ManagerLimits | undefined;
}
