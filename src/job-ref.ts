/**
 * How a reference to a task's output is recognised at run time: by what it carries under one symbol, not by its class,
 * so that job graphs, task handles and a second copy of this package in the same process understand each other.
 */
import type { JobRef } from './tasks.ts';

/** The property under which every job reference and task handle says which task it stands for. */
export const jobRef: unique symbol = Symbol.for('quartermaster.jobRef') as never;

/** The task that a reference stands for. */
export interface JobRefTarget {
  /** The queue of a task that was put; undefined for a job of a graph, which is in no queue yet. */
  readonly queue?: string | undefined;
  readonly id: string;
}

export type BrandedJobRef<Out = unknown> = JobRef<Out> & { readonly [jobRef]: JobRefTarget };

export function isJobRef(value: unknown): value is BrandedJobRef {
  if (typeof value !== 'object' || value === null || !(jobRef in value)) return false;
  const target = value[jobRef];
  return typeof target === 'object' && target !== null && 'id' in target && typeof target.id === 'string';
}
