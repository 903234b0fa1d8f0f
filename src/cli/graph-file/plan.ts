/**
 * From the text of a graph file to the jobs that will run: matrices expanded, defaults merged, references resolved, and
 * everything that can be known to be wrong said before anything runs.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { CycleError, JobGraph } from '../../index.ts';
import { type Place, SourceDocument } from './document.ts';
import { durationOf } from './duration.ts';
import { type Combination, combinationsOf, instanceId, MOST_COMBINATIONS } from './matrix.ts';
import type {
  Amounts,
  GraphFileText,
  HandlerCall,
  JobDefaults,
  JobSettings,
  JobText,
  Plan,
  PlannedJob,
  PlannedWorkers,
  Scalar,
  ShellCommand,
} from './model.ts';
import { checkedBySchema } from './schema.ts';
import { suggestion } from './spelling.ts';
import {
  parseTemplate,
  parseTree,
  piecesIn,
  type Template,
  TemplateError,
  type TemplateScope,
  type Tree,
} from './template.ts';

/** @throws CommandError with everything that is wrong with the file, each with its line and column */
export function readPlan(file: string): Plan {
  return planOf(SourceDocument.read(file));
}

export function planOf(document: SourceDocument): Plan {
  return new Planner(document, checkedBySchema(document)).plan();
}

/** A job in one of its combinations. */
interface Instance {
  readonly id: string;
  readonly name: string;
  readonly combination: Combination;
}

class Planner {
  readonly #document: SourceDocument;
  readonly #text: GraphFileText;
  /** By name of the job. */
  readonly #instances = new Map<string, readonly Instance[]>();
  readonly #workers: readonly PlannedWorkers[];

  constructor(document: SourceDocument, text: GraphFileText) {
    this.#document = document;
    this.#text = text;
    this.#workers = workersOf(text.workers);
    const taken = new Set<string>();
    for (const [name, { matrix }] of Object.entries(text.jobs)) {
      const combinations = combinationsOf(matrix);
      const place = ['jobs', name, 'matrix'];
      if (combinations === undefined) {
        document.problem(place, `the matrix of job '${name}' has more than ${MOST_COMBINATIONS} combinations: part it`);
      } else if (combinations.length === 0) {
        document.problem(place, `the matrix of job '${name}' has no combination left: give it values, or include some`);
      }
      const make = (combination: Combination): Instance => {
        const id = unique(instanceId(name, combination), taken);
        taken.add(id);
        return { id, name, combination };
      };
      this.#instances.set(name, (combinations ?? []).map(make));
    }
  }

  plan(): Plan {
    const jobs = [...this.#instances.values()].flat().map((instance) => this.#job(instance));
    this.#document.throwProblems();
    this.#refuseCycle(jobs);
    const { tasks, resources = {}, keyConcurrency = 1 } = this.#text;
    const { file } = this.#document;
    const directory = path.dirname(path.resolve(file));
    if (tasks !== undefined && !existsSync(path.resolve(directory, tasks))) {
      this.#document.problem(['tasks'], `there is no tasks module ${tasks}: it is looked for relative to this file`);
      this.#document.throwProblems();
    }
    return {
      file,
      directory,
      tasks: tasks === undefined ? undefined : path.resolve(directory, tasks),
      workers: this.#workers,
      resources,
      keyConcurrency,
      jobs,
    };
  }

  #job(instance: Instance): PlannedJob {
    const { id, name } = instance;
    const text = this.#text.jobs[name] as JobText;
    const reader = new JobReader(this.#document, name, {
      matrix: instance.combination,
      jobs: (other, combination) => this.#find(other, combination),
    });
    const work = text.run === undefined ? this.#handler(reader, text) : this.#shell(reader, text, text.run);
    const after = listOf(text.after).flatMap((entry, at) =>
      this.#after(reader, entry, Array.isArray(text.after) ? ['after', at] : ['after']),
    );
    const uses = [...new Set(reader.templates.flatMap(piecesIn).flatMap(({ jobs }) => jobs))];
    const inputs = listOf(text.inputs).map((entry, at) =>
      reader.template(entry, Array.isArray(text.inputs) ? ['inputs', at] : ['inputs']),
    );
    const before = [...new Set([...after, ...uses])];
    return { id, name, work, before, uses, inputs, settings: this.#settings(name, text) };
  }

  #shell(reader: JobReader, text: JobText, run: string): ShellCommand {
    if (text.with !== undefined) {
      reader.problem(['with'], "is for handlers: a command finds its input in env, or in ${{ … }} within 'run'");
    }
    const { defaults = {} } = this.#text;
    const env: Record<string, Template> = {};
    for (const [name, value] of Object.entries(defaults.env ?? {})) {
      if (text.env?.[name] === undefined) env[name] = reader.template(String(value), ['defaults', 'env', name], true);
    }
    for (const [name, value] of Object.entries(text.env ?? {}))
      env[name] = reader.template(String(value), ['env', name]);
    const own = text.cwd !== undefined;
    const output = text.output ?? 'text';
    return {
      kind: 'run',
      shell: text.shell ?? defaults.shell ?? 'sh',
      command: reader.template(run, ['run']),
      env,
      cwd: reader.template(text.cwd ?? defaults.cwd ?? '.', own ? ['cwd'] : ['defaults', 'cwd'], !own),
      output:
        typeof output === 'string'
          ? { as: output }
          : { file: reader.template(output.file, ['output', 'file']), as: output.as ?? 'text' },
    };
  }

  #handler(reader: JobReader, text: JobText): HandlerCall {
    if (this.#text.tasks === undefined) {
      reader.problem(['task'], "needs a tasks module: name it at the top of the file, as in 'tasks: ./tasks.mjs'");
    }
    for (const name of ['shell', 'env', 'cwd', 'output'] as const) {
      if (text[name] !== undefined) {
        reader.problemWithKey([name], "is for commands ('run'): a handler finds its input in 'with'");
      }
    }
    return { kind: 'task', handler: text.task as string, input: reader.tree(text.with, ['with']) };
  }

  /** Ids that an entry of `after` stands for. */
  #after(reader: JobReader, entry: string, place: Place): readonly string[] {
    const template = reader.template(entry, place);
    if (template.some((piece) => typeof piece !== 'string')) {
      reader.problem(place, `names a job, not its output: write ${piecesIn(template)[0]?.jobs[0] ?? 'its name'}`);
      return [];
    }
    const [name = ''] = template as readonly string[];
    const found = this.#instances.get(name) ?? [...this.#instances.values()].flat().filter(({ id }) => id === name);
    if (found.length === 0 && !this.#instances.has(name)) {
      reader.problem(place, `names no job '${name}'; ${suggestion(name, this.#known())}`);
    }
    return found.map(({ id }) => id);
  }

  #find(name: string, combination: readonly Scalar[] | undefined): { ids: readonly string[]; list: boolean } {
    const found = this.#instances.get(name);
    const whole = `jobs.${name}`;
    if (found === undefined)
      throw new TemplateError(`there is no job '${name}'; ${suggestion(name, this.#known())}`, whole);
    if (combination === undefined) {
      return { ids: found.map(({ id }) => id), list: this.#text.jobs[name]?.matrix !== undefined };
    }
    const one = found.find(
      ({ combination: of }) => Object.values(of).map(String).join('\0') === combination.map(String).join('\0'),
    );
    if (one !== undefined) return { ids: [one.id], list: false };
    const known = found.map(({ combination: of }) => `[${Object.values(of).join(', ')}]`).slice(0, 20);
    throw new TemplateError(
      `job '${name}' has no combination [${combination.join(', ')}]; it has ${known.join(' ')}`,
      whole,
    );
  }

  #known(): string[] {
    return [...this.#instances.keys()];
  }

  #settings(name: string, text: JobText): JobSettings {
    const { defaults = {} } = this.#text;
    const of = <K extends keyof JobDefaults>(key: K): JobDefaults[K] => text[key] ?? defaults[key];
    const where = (key: keyof JobDefaults): Place =>
      text[key] === undefined ? ['defaults', key] : ['jobs', name, key];
    const time = (key: 'backoff' | 'runTimeout'): number | undefined => {
      const value = of(key);
      return value === undefined ? undefined : durationOf(value);
    };
    const tags = listOf(of('tags'));
    const resources = of('resources') ?? {};
    this.#checkDemand(name, tags, resources, where);
    const { key, retries, priority } = { key: of('key'), retries: of('retries'), priority: of('priority') };
    const [backoff, runTimeout] = [time('backoff'), time('runTimeout')];
    return {
      tags,
      resources,
      ...(key === undefined ? {} : { key }),
      ...(retries === undefined ? {} : { retries }),
      ...(priority === undefined ? {} : { priority }),
      ...(backoff === undefined ? {} : { backoff }),
      ...(runTimeout === undefined ? {} : { runTimeout }),
    };
  }

  /** A job that no worker could ever run would wait for ever. */
  #checkDemand(
    name: string,
    tags: readonly string[],
    resources: Amounts,
    where: (key: keyof JobDefaults) => Place,
  ): void {
    const whole = this.#text.resources ?? {};
    const able = this.#workers.filter((group) => tags.every((tag) => group.tags.includes(tag)));
    if (able.length === 0) {
      this.#document.problem(
        where('tags'),
        `job '${name}' asks for workers with ${tags.join(', ')}, and there are none: give them the tags, as in 'workers: [{ count: 1, tags: [${tags.join(', ')}] }]'`,
      );
      return;
    }
    for (const [resource, amount] of Object.entries(resources)) {
      const most = whole[resource] ?? Math.max(...able.map((group) => group.resources[resource] ?? 0));
      if (amount <= most) continue;
      const there = most === 0 ? 'there is none' : `there are ${most}`;
      this.#document.problem(
        where('resources'),
        `job '${name}' asks for ${amount} of '${resource}', and ${there}: say how much there is by 'resources' at the top of the file`,
      );
    }
  }

  #refuseCycle(jobs: readonly PlannedJob[]): void {
    const graph = new JobGraph();
    for (const { id, before } of jobs) graph.add('job', undefined, { id, after: [...before] });
    try {
      graph.validate();
    } catch (error) {
      if (!(error instanceof CycleError)) throw error;
      const [first = ''] = error.path;
      const name = jobs.find(({ id }) => id === first)?.name ?? first;
      this.#document.problemWithKey(
        ['jobs', name],
        `jobs wait for each other: ${[...error.path].toReversed().join(' after ')}; take one of these edges out`,
      );
      this.#document.throwProblems();
    }
  }
}

/** Reads the texts of one job, and notes what is wrong with them where they stand. */
class JobReader {
  /** All that it has read. */
  readonly templates: (Template | Tree)[] = [];
  readonly #document: SourceDocument;
  readonly #name: string;
  readonly #scope: TemplateScope;

  constructor(document: SourceDocument, name: string, scope: TemplateScope) {
    this.#document = document;
    this.#name = name;
    this.#scope = scope;
  }

  /** `top`: the place is from the top of the file, not of the job. */
  template(text: string, place: Place, top = false): Template {
    return this.#read(place, top, [], () => parseTemplate(text, this.#scope));
  }

  tree(value: unknown, place: Place): Tree {
    return this.#read(place, false, { kind: 'plain', value: undefined }, () => parseTree(value, this.#scope));
  }

  problem(place: Place, text: string, within?: string): void {
    this.#document.problem(this.#at(place), `${place[0]} of job '${this.#name}' ${text}`, within);
  }

  problemWithKey(place: Place, text: string): void {
    this.#document.problemWithKey(this.#at(place), `${place[0]} of job '${this.#name}' ${text}`);
  }

  #at(place: Place): Place {
    return ['jobs', this.#name, ...place];
  }

  #read<T extends Template | Tree>(place: Place, top: boolean, otherwise: T, parse: () => T): T {
    try {
      const part = parse();
      this.templates.push(part);
      return part;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      const text = `job '${this.#name}': ${error.message}`;
      this.#document.problem(top ? place : this.#at(place), text, error.expression);
      return otherwise;
    }
  }
}

function workersOf(workers: GraphFileText['workers']): PlannedWorkers[] {
  if (typeof workers !== 'object') return [{ count: workers, tags: [], resources: {} }];
  return workers.map(({ count = 1, tags, resources = {} }) => ({ count, tags: listOf(tags), resources }));
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

/** Two combinations may differ in signs that ids do not have. */
function unique(id: string, taken: ReadonlySet<string>): string {
  let one = id;
  for (let count = 2; taken.has(one); count++) one = `${id}~${count}`;
  return one;
}
