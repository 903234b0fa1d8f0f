/**
 * Inputs, outputs and failures of tasks as the board keeps and sends them: bytes, packed where they name proxies or jobs, or
 * stored where their sender has put them into an arena.
 */
import { DuplicateTaskError, type FrameTooLargeError, ProtocolError } from '../../errors.ts';
import { errorItem, WireError } from '../../protocol/errors.ts';
import { Outcome } from '../../protocol/messages.ts';
import { type Item, Packed, Reader, Verbatim, Writer } from '../../protocol/wire.ts';
import { type Failure, State, type Task } from '../../queue/task.ts';
import { same } from '../arguments.ts';
import { StoredPayload } from '../arenas.ts';
import type { Session } from '../session.ts';
import type { ProcessEnd } from '../vouchers.ts';
import type { WorkerInfo } from './taker.ts';

/** Characters that stay of a message that is too long to be sent whole. */
const SHORT_TEXT = 1000;

export function writePayload({ link: { writer }, arenas }: Session, payload: unknown): void {
  if (payload instanceof Packed) writer.item(payload);
  else if (payload instanceof StoredPayload) arenas.write(writer, payload);
  else writer.verbatim(payload as string | Uint8Array);
}

export function payloadItem(payload: unknown): Item {
  if (payload === undefined) return undefined;
  if (payload instanceof StoredPayload) return new Packed(payload.read());
  return payload instanceof Packed ? payload : new Verbatim(payload as string | Uint8Array);
}

/** The payload with which an entry ends. `refs`: its sender says that it names proxies or jobs. */
export function readPayload(session: Session, reader: Reader, end: number, refs: boolean): unknown {
  const region = reader.regionUntil(end);
  if (region !== undefined) return session.arenas.accept(region);
  return refs ? readWithRefs(session, reader, end) : reader.itemUntil(end);
}

/** Its task has ended. */
export function restPayload(payload: unknown): void {
  if (payload instanceof StoredPayload) payload.rest();
}

/** A payload that nobody keeps any more, and that names nothing. */
export function discardPayload(payload: unknown): void {
  if (payload instanceof StoredPayload) payload.letGo();
}

/** A payload of which its sender says that it names proxies or jobs. */
function readWithRefs(session: Session, reader: Reader, end: number): Packed {
  const raw = reader.item();
  reader.endEntry(end);
  const item = session.adopt(raw);
  if (!(item instanceof Packed)) throw new ProtocolError('a payload that names proxies or jobs is no packed value');
  return item;
}

/** What a task keeps of an item: its bytes, or itself where proxies or jobs are named in it. */
export function payloadFrom(item: Item): { input: unknown; bytesIn: number } {
  if (item instanceof Packed && item.proxies.length + item.jobs.length > 0) {
    return { input: item, bytesIn: item.bytes.length };
  }
  const writer = new Writer();
  writer.item(item);
  const bytes = writer.take();
  return { input: new Reader(bytes).rest(), bytesIn: bytes.length };
}

/** A task that was put by an id that is there must be the same one. */
export function checkSame(task: Task, name: string, input: unknown, title: string): void {
  const exists = `task '${task.key}' exists in ${title}`;
  if (task.name !== name) throw new DuplicateTaskError(`${exists} with the name '${task.name}', not '${name}'`);
  if (sameInput(task.input, input)) return;
  // Bytes differ, but its keys may only stand in another order: the caller decodes, and decides.
  const existing = ['existing', payloadItem(task.input)];
  throw new WireError(errorItem('QM_DUPLICATE_TASK', `${exists} with another input`, existing));
}

export function sameInput(a: unknown, b: unknown): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  if (a instanceof StoredPayload) return sameInput(a.readItem(), b);
  if (b instanceof StoredPayload) return sameInput(a, b.readItem());
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0;
  return a instanceof Packed && b instanceof Packed && same(a, b);
}

/** What of a task's failure names objects, if anything does: for one that was skipped, the failure that it comes from. */
export function causeOf({ failure }: Task): Item {
  return (failure?.ancestor ?? failure)?.cause as Item;
}

export function failureItem(failure: Failure): Item {
  const cause = failure.ancestor === undefined ? (failure.cause as Item) : failureItem(failure.ancestor);
  return errorItem(failure.code, failure.message, failure.fields, cause);
}

/** An outcome that is over the limit on messages, without what made it long. */
export function unsent(task: Task, tooLarge: FrameTooLargeError): Item {
  const { code, message } = task.failure ?? {
    code: 'QM_TASK_FAILED' as const,
    message: `task '${task.key}' (${task.name}) succeeded, with an output that cannot be sent`,
  };
  const short = message.length > SHORT_TEXT ? `${message.slice(0, SHORT_TEXT)}…` : message;
  return errorItem(code, short, [], errorItem(tooLarge.code, tooLarge.message));
}

export function outcomeItem(task: Task): Item {
  return task.state === State.succeeded
    ? [Outcome.succeeded, payloadItem(task.output)]
    : [Outcome.failed, failureItem(task.failure as Failure)];
}

/** The worker's process has ended. */
export function lost(task: Task, worker: WorkerInfo, { exitCode, signal, reason }: ProcessEnd): Failure {
  const how = signal !== undefined ? ` by ${signal}` : exitCode !== undefined ? ` with exit code ${exitCode}` : '';
  return {
    code: 'QM_WORKER_LOST',
    message: `worker ${worker.name} (pid ${worker.pid}) ended${how} while it ran task '${task.key}' (${task.name})${reason === undefined ? '' : `: ${reason}`}`,
    fields: ['pid', worker.pid, 'exitCode', exitCode, 'signal', signal, 'reason', reason],
    cause: undefined,
  };
}

/** The worker has not been heard for too long. `timeout` in ms. */
export function silent(task: Task, worker: WorkerInfo, timeout: number): Failure {
  return {
    code: 'QM_WORKER_LOST',
    message: `worker ${worker.name} (pid ${worker.pid}) was silent for more than ${timeout} ms while it held task '${task.key}'`,
    fields: ['pid', worker.pid],
    cause: undefined,
  };
}

/** How an attempt of the task failed, as its worker tells it; the task is undefined where its lease has ended. */
export function readFailure(session: Session, reader: Reader, task: Task | undefined): Failure {
  const summary = reader.string();
  const from = reader.position;
  const cause = session.adopt(reader.item());
  const bytes = reader.position - from;
  const stack = reader.left > 0 ? stackOf(reader.item()) : undefined;
  const message = task === undefined ? summary : `task '${task.key}' (${task.name}) failed: ${summary}`;
  return { code: 'QM_TASK_FAILED', message, fields: [], cause, bytes, stack };
}

/** Where an error was made, as its worker told it; no more than a record can keep. */
function stackOf(item: Item): string | undefined {
  return typeof item === 'string' ? item.slice(0, 4 * SHORT_TEXT) : undefined;
}

/** It ran for longer than `limit` ms. */
export function timedOut(task: Task, limit: number): Failure {
  return {
    code: 'QM_TASK_TIMEOUT',
    message: `task '${task.key}' (${task.name}) ran for longer than its runTimeout of ${limit} ms`,
    fields: [],
    cause: undefined,
  };
}

export function cancelled(task: Task, reason: Item): Failure {
  const why = typeof reason === 'string' ? `: ${reason}` : '';
  return { code: 'QM_TASK_CANCELLED', message: `task '${task.key}' was cancelled${why}`, fields: [], cause: undefined };
}
