/** A graph file as it is written, checked by its schema; and the plan that it comes to, with every job that will run. */
import type { Template, Tree } from './template.ts';

export type Scalar = string | number | boolean;
export type Amounts = Readonly<Record<string, number>>;

/** What a job may say for itself and `defaults` for all. */
export interface JobDefaults {
  readonly shell?: 'sh' | 'bash';
  readonly env?: Readonly<Record<string, Scalar>>;
  readonly cwd?: string;
  readonly tags?: string | readonly string[];
  readonly resources?: Amounts;
  readonly key?: string;
  readonly retries?: number;
  readonly backoff?: number | string;
  readonly runTimeout?: number | string;
  readonly priority?: number;
}

export type OutputText = 'text' | 'json' | { readonly file: string; readonly as?: 'text' | 'json' };

export interface JobText extends JobDefaults {
  readonly run?: string;
  readonly task?: string;
  readonly with?: unknown;
  readonly after?: string | readonly string[];
  readonly matrix?: Readonly<Record<string, unknown>>;
  readonly output?: OutputText;
  readonly inputs?: string | readonly string[];
}

export interface WorkersText {
  readonly count?: number;
  readonly tags?: string | readonly string[];
  readonly resources?: Amounts;
}

/** A graph file as it is written. */
export interface GraphFileText {
  readonly tasks?: string;
  readonly workers?: number | readonly WorkersText[];
  readonly resources?: Amounts;
  readonly keyConcurrency?: number;
  readonly defaults?: JobDefaults;
  readonly jobs: Readonly<Record<string, JobText>>;
}

/** A group of worker processes. */
export interface PlannedWorkers {
  /** Undefined: one a core. */
  readonly count: number | undefined;
  readonly tags: readonly string[];
  readonly resources: Amounts;
}

/** How a job is queued: the words of `JobOptions`. */
export interface JobSettings {
  readonly tags: readonly string[];
  readonly resources: Amounts;
  readonly key?: string;
  readonly retries?: number;
  /** ms */
  readonly backoff?: number;
  /** ms */
  readonly runTimeout?: number;
  readonly priority?: number;
}

export interface ShellCommand {
  readonly kind: 'run';
  readonly shell: 'sh' | 'bash';
  readonly command: Template;
  readonly env: Readonly<Record<string, Template>>;
  /** Relative to the graph file. */
  readonly cwd: Template;
  readonly output: { readonly file?: Template; readonly as: 'text' | 'json' };
}

export interface HandlerCall {
  readonly kind: 'task';
  readonly handler: string;
  readonly input: Tree;
}

/** One job that will run: of a job with a matrix, one of its combinations. */
export interface PlannedJob {
  /** The job's name, and the values of its combination: 'test:20:linux'. */
  readonly id: string;
  /** Its name in the file. */
  readonly name: string;
  readonly work: ShellCommand | HandlerCall;
  /** Ids of the jobs before it; each once. */
  readonly before: readonly string[];
  /** Those among them whose outputs it uses. */
  readonly uses: readonly string[];
  /** Paths that it says it reads, relative to its `cwd`. */
  readonly inputs: readonly Template[];
  readonly settings: JobSettings;
}

export interface Plan {
  /** As it was named on the command line. */
  readonly file: string;
  /** The directory of the file; absolute. */
  readonly directory: string;
  /** Absolute path of the tasks module. */
  readonly tasks: string | undefined;
  readonly workers: readonly PlannedWorkers[];
  readonly resources: Amounts;
  readonly keyConcurrency: number;
  /** In the order of the file. */
  readonly jobs: readonly PlannedJob[];
}
