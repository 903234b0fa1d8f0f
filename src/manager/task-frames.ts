/** The frames of task queues as a session reads them: whose they are, and what is wrong with them. */
import { ProtocolError } from '../errors.ts';
import { ToManager } from '../protocol/messages.ts';
import type { Reader } from '../protocol/wire.ts';
import type { Session } from './session.ts';
import { isTasks } from './tasks/is-tasks.ts';
import { refuseLease, type Taker } from './tasks/taker.ts';
import type { Tasks } from './tasks/tasks.ts';

export { offerOf } from './tasks/taker.ts';

/** What is wrong with a put is its answer, unless it breaks the protocol. */
export function readPuts(session: Session, reader: Reader): void {
  const handle = reader.u32();
  const { object, error: broken, hold } = session.entry(handle);
  if (object !== undefined && !isTasks(object)) throw new ProtocolError(`handle ${handle} is no task queue`);
  while (reader.left > 0) {
    const end = reader.entry();
    const call = reader.u32();
    try {
      if (object === undefined) throw broken;
      if (hold !== undefined) hold.check();
      object.readPut(session, call, hold !== undefined, reader, end);
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      session.failed(call, error);
      reader.skipTo(end);
    }
  }
}

/** What ended together is followed by new tasks together. */
export function readCompletes(session: Session, reader: Reader): void {
  const handle = reader.u32();
  const { object } = session.entry(handle);
  const taker = session.takers.get(handle);
  if (!isTasks(object)) throw new ProtocolError(`handle ${handle} is no task queue`);
  while (reader.left > 0) {
    const end = reader.entry();
    const call = reader.u32();
    try {
      if (taker !== undefined) object.readComplete(session, call, taker, reader, end);
      else if (call !== 0) refuseLease(session, call, reader.u48());
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      session.failed(call, error);
    }
    reader.skipTo(end);
  }
  if (taker !== undefined) object.completed(taker);
}

/** Frames of a task queue that are answered. What is wrong with one is the answer, unless it breaks the protocol. */
export function readTaskCall(session: Session, kind: number, reader: Reader): void {
  const call = reader.u32();
  const handle = reader.u32();
  try {
    const { object, error, hold } = session.entry(handle);
    if (object === undefined) throw error;
    if (!isTasks(object)) throw new ProtocolError(`handle ${handle} is no task queue`);
    if (hold !== undefined) hold.check();
    const held = hold !== undefined;
    if (kind === ToManager.GRAPH) return object.readGraph(session, call, held, reader);
    if (kind === ToManager.TAKE) {
      return object.readTake(session, call, object.takers.of(session, hold?.handle ?? handle), held, reader);
    }
    const taker = session.takers.get(handle);
    if (taker === undefined) return refuseLease(session, call, reader.u48());
    if (kind === ToManager.FAIL) object.readFail(session, call, taker, reader);
    else if (kind === ToManager.RELEASE) object.readRelease(session, call, taker, reader);
    else object.readExtend(session, call, taker, reader);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    session.failed(call, error);
  }
}

/** Frames of a taker that are not answered. */
export function readTaskNote(session: Session, kind: number, reader: Reader): void {
  const handle = reader.u32();
  const object = session.handles.get(handle)?.object;
  if (kind === ToManager.LOOP) {
    const how = reader.u8();
    if (isTasks(object)) object.takers.loops(session, handle, (how & 1) !== 0, (how & 2) !== 0);
    return;
  }
  const taker = session.takers.get(handle);
  if (taker === undefined || !isTasks(object)) return;
  if (kind === ToManager.STARTED) object.takers.started(taker, reader.u48());
  else if (kind === ToManager.ENDED) object.takers.ladder.ended(taker, reader.u48());
  else if (kind === ToManager.PROGRESS) readProgress(session, object, taker, reader);
  else if (kind === ToManager.LEND) object.takers.lend(taker, reader.u48());
  else if (kind === ToManager.RECLAIM) object.takers.reclaim(taker, reader.u48());
  else if (kind === ToManager.ITEMS) readItems(object, taker, reader);
  else if (kind === ToManager.APART) object.maps.apart(taker, reader.u48());
  else object.takers.resize(taker, reader.u16());
}

/** What ended together is followed by new tasks together. */
function readItems(tasks: Tasks, taker: Taker, reader: Reader): void {
  tasks.maps.readItems(taker, reader, tasks.arrival(taker.session));
  tasks.completed(taker);
}

/** Progress that names an object which could not be opened has nobody to be told; only its like is lost. */
function readProgress(session: Session, tasks: Tasks, taker: Taker, reader: Reader): void {
  try {
    tasks.readProgress(session, taker, reader);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
  }
}
