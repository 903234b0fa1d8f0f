/** What a put asks for beside its name and input, as it crosses, checked: the client checks too, but is not trusted. */
import { ProtocolError } from '../../errors.ts';
import { PutKey } from '../../protocol/messages.ts';
import type { Item } from '../../protocol/wire.ts';
import type { TaskRules } from '../../queue/rules.ts';
import type { OnFailure } from '../../tasks.ts';
import { isOwnId } from '../../queue/task.ts';
import { countOf, listOf, numberOf } from '../arguments.ts';
import type { Session } from '../session.ts';
import type { RunRules } from './run.ts';
import { amountsOf, backoffOf, durationOf, tagsOf, timeOf, wordOf } from './rules.ts';

/** Options of a put. */
export interface PutOptionItems {
  readonly id?: string | undefined;
  readonly priority?: number | undefined;
  readonly after?: readonly string[] | undefined;
  readonly retries?: number | undefined;
  readonly atMostOnce?: boolean | undefined;
  readonly rules?: TaskRules | undefined;
  readonly parent?: ParentRef | undefined;
  readonly onFailure?: OnFailure | undefined;
}

/** By which attempt of a task another one is put, and, where its id follows from that, in which place. */
export interface ParentRef {
  readonly lease: number;
  readonly place: number | undefined;
}

export interface PutSpec {
  readonly session: Session;
  readonly call: number;
  readonly name: string;
  /** Bytes of an item, or packed where it names proxies or jobs. */
  readonly input: unknown;
  readonly bytesIn: number;
  /** PutFlags */
  readonly flags: number;
  readonly options: PutOptionItems;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export function putOptions(item: Item): PutOptionItems {
  const list = listOf(item, 'options');
  const options: Writable<PutOptionItems> = {};
  const rules: Writable<TaskRules> = {};
  for (let i = 0; i + 1 < list.length; i += 2) {
    const value = list[i + 1];
    switch (list[i]) {
      case PutKey.id:
        options.id = chosenId(value);
        break;
      case PutKey.priority:
        options.priority = numberOf(value, 'priority');
        if (Number.isNaN(options.priority)) throw new RangeError('priority must be a number');
        break;
      case PutKey.after:
        options.after = listOf(value, 'after').map(String);
        break;
      case PutKey.retries:
        options.retries = countOf(value, 'retries');
        break;
      case PutKey.atMostOnce:
        options.atMostOnce = value === true;
        break;
      case PutKey.parent:
        options.parent = parentOf(value);
        break;
      case PutKey.onFailure:
        options.onFailure = onFailureOf(value);
        break;
      default:
        if (!readRule(rules, list[i], value)) throw new ProtocolError('a put has an unknown option');
        options.rules = rules;
    }
  }
  return options;
}

/** False where there is no such rule. */
function readRule(rules: Writable<TaskRules>, key: Item, value: Item): boolean {
  switch (key) {
    case PutKey.tags:
      rules.tags = tagsOf(value);
      return true;
    case PutKey.resources:
      rules.resources = amountsOf(value, 'resources');
      return true;
    case PutKey.key:
      rules.key = wordOf(value, 'key');
      return true;
    case PutKey.group:
      rules.group = wordOf(value, 'group');
      return true;
    case PutKey.worker:
      rules.worker = wordOf(value, 'worker');
      return true;
    case PutKey.delay:
      rules.delay = timeOf(value, 'delay');
      return true;
    case PutKey.runAt:
      rules.delay = Math.max(0, numberOf(value, 'runAt') - Date.now());
      return true;
    case PutKey.expires:
      rules.expires = timeOf(value, 'expires');
      return true;
    case PutKey.backoff:
      rules.backoff = backoffOf(value);
      return true;
    case PutKey.runTimeout:
      rules.runTimeout = durationOf(value, 'runTimeout');
      return true;
    default:
      return false;
  }
}

function chosenId(value: Item): string {
  if (typeof value !== 'string' || value === '') throw new TypeError('id must be a string that is not empty');
  if (value.length > 1000) throw new RangeError(`an id of ${value.length} characters is too long; 1,000 are allowed`);
  if (isOwnId(value)) {
    throw new RangeError(`ids like '${value}' are the manager's own; choose one of another form`);
  }
  return value;
}

function onFailureOf(value: Item): OnFailure {
  if (value === 'skip' || value === 'fail' || value === 'ignore') return value;
  throw new TypeError("onFailure must be 'skip', 'fail' or 'ignore'");
}

function parentOf(value: Item): ParentRef {
  const [lease, place] = listOf(value, 'parent');
  return {
    lease: countOf(lease, 'the lease of a parent', 1),
    place: place === undefined ? undefined : countOf(place, 'the place of a child', 1),
  };
}

/** How a run goes crosses as [onFailure, concurrency, estimates]. */
export function readRunRules(item: Item): RunRules {
  const [onFailure, concurrency, estimates] = listOf(item, 'options of a run');
  return {
    onFailure: onFailure === undefined ? 'skip' : onFailureOf(onFailure),
    concurrency: concurrency === undefined ? Infinity : countOf(concurrency, 'concurrency', 1),
    estimates: estimates === undefined ? [] : listOf(estimates, 'estimates').map(estimateOf),
  };
}

function estimateOf(item: Item): number | undefined {
  if (item === undefined) return undefined;
  const ms = numberOf(item, 'an estimate');
  if (ms >= 0 && ms < Infinity) return ms;
  throw new RangeError('an estimate must be a number of ms of 0 or more');
}
