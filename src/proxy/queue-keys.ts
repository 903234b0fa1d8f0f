/** How the parts of this library reach into a queue's proxy, and what its client gives it. */
import type { Client } from './client.ts';
import type { Helper } from './helper.ts';
import type { TaskCalls } from './task-calls.ts';

/** How the worker loop reaches the taking side. */
export const taker = Symbol('taker');
export const takerFor = Symbol('taker for an offer');
export const home = Symbol('home');
/** How a task's context puts its children. */
export const child = Symbol('child');

/** How a queue gets what its client has once: the helper thread, and calls that outlive single proxies. */
export interface HelperSource {
  readonly client: Client;
  start(): Helper | undefined;
  readonly needed: boolean;
  callsOf(queue: string): TaskCalls;
}
