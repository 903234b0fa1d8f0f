/** What `quartermaster run` tells its worker processes. */

/** The environment variable with a `WorkerRun` as JSON. */
export const RUN = 'QUARTERMASTER_RUN';

/** The name of the handler that runs shell commands. */
export const RUN_COMMAND = 'shell:run';

export interface WorkerRun {
  /** Where handlers run: the directory of the graph file; absolute. */
  readonly directory: string;
  /** Absolute path of the tasks module. */
  readonly tasks?: string | undefined;
  /** Handlers that the tasks module must have. */
  readonly handlers: readonly string[];
}

/** The key under which a handler's task has its input and the log of its job; a task put by a handler has none. */
export const JOB = '$quartermasterJob';
