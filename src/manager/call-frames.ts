/** The frames of calls and holds as a session reads them: through the object's gate, or parked before it. */
import { DeadlockError, NotLockOwnerError, ProtocolError, UnknownMethodError } from '../errors.ts';
import { GUARDED, HOLDING } from '../protocol/messages.ts';
import type { Item, Reader } from '../protocol/wire.ts';
import { type Answer, answerFree, answerLater, answerNow, Call } from './call.ts';
import { Hold } from './hold.ts';
import { mayName } from './references.ts';
import type { Session } from './session.ts';
import type { SharedObject } from './shared-object.ts';
import { type Owner, refuseCycle } from './wait-for.ts';

export function readCall(session: Session, reader: Reader): void {
  const id = reader.u32();
  const handle = reader.u32();
  const method = reader.u8();
  const guard = method & GUARDED ? { lock: reader.u32(), grant: reader.u48() } : undefined;
  const holding = method & HOLDING ? heldOwners(session, reader) : undefined;
  const args: Item[] = [];
  while (reader.left > 0) args.push(reader.item());
  const number = method & ~(GUARDED | HOLDING);
  if (handle === 0) return session.manager.answer(new Call(session, id, false), number, args);
  const entry = session.handles.get(handle);
  if (entry === undefined) throw new ProtocolError(`no handle ${handle} is open`);
  const { object, hold } = entry;
  const call = new Call(session, id, hold !== undefined);
  if (object === undefined) return call.fail(entry.error);
  call.object = object;
  if (holding !== undefined) call.holding = holding;
  // Here, not at its turn: by then the caller may have given up the handles that it named.
  if (!adoptAll(session, call, args)) return;
  if (guard !== undefined) call.guard = () => checkGuard(session, guard.lock, guard.grant);
  const invoke = (): Answer | Promise<Answer> => {
    hold?.check();
    call.guard?.();
    const implementation = object.type.methods[number];
    if (implementation === undefined) throw new UnknownMethodError(`${object.title} has no method ${number}`);
    return implementation.call(object, call, args);
  };
  if (object.type.awaits) {
    const gate = hold?.gate ?? object.gate;
    call.hold = hold;
    if (gate.free) return answerFree(call, invoke, gate);
    if (!mayWait(object, call)) return;
    call.park(() => {});
    void gate.acquire().then((release) => answerLater(call, invoke).finally(release));
  } else if (hold !== undefined || object.gate.free || object.type.ungated.has(number)) {
    answerNow(call, invoke);
  } else if (mayWait(object, call)) {
    call.park(() => {});
    object.gate.enter(
      () => {
        // What it may wait for now is something else.
        call.waitsFor = undefined;
        answerNow(call, invoke);
      },
      () => !call.over,
    );
  }
}

export function readHold(session: Session, reader: Reader): void {
  const call = new Call(session, reader.u32(), false);
  const handle = reader.u32();
  const { object, error, hold: outer } = session.entry(handle);
  const alias = reader.u32();
  const timeout = reader.f64();
  call.holding = heldOwners(session, reader);
  if (alias === 0 || session.handles.has(alias)) throw new ProtocolError(`handle ${alias} is open already`);
  if (object === undefined) return call.fail(error);
  if (object.grantor !== undefined) return call.fail(new UnknownMethodError(`${object.title} has no withLock()`));
  if (outer !== undefined) {
    return call.fail(new DeadlockError(`${object.title} is held already, and a held object must not wait`));
  }
  const begin = (release: () => void): void => {
    if (session.handles.has(alias)) {
      release();
      return session.link.close(new ProtocolError(`handle ${alias} is open already`));
    }
    const hold = new Hold(object, session, handle, release, timeout);
    object.references++;
    session.handles.set(alias, { object, error: undefined, hold });
    call.answer();
  };
  const release = object.gate.tryAcquire();
  if (release !== undefined) return begin(release);
  if (!mayWait(object, call)) return;
  call.park(() => {});
  void object.gate.acquire().then((release) => {
    if (call.over) release();
    else begin(release);
  });
}

/** What the flow of a call holds: grants, and holds on objects. What has ended meanwhile is passed over. */
function heldOwners(session: Session, reader: Reader): Owner[] {
  const owners: Owner[] = [];
  for (let count = reader.u8(); count > 0; count--) {
    const entry = session.handles.get(reader.u32());
    const grant = reader.u48();
    const owner = grant === 0 ? entry?.hold : entry?.object?.grantor?.grantOf(grant, session);
    if (owner !== undefined && !owner.over) owners.push(owner);
  }
  return owners;
}

/** In their place. False, and told to the caller, where an argument names what is not there. */
function adoptAll(session: Session, call: Call, args: Item[]): boolean {
  try {
    for (let i = 0; i < args.length; i++) {
      const arg = args[i];
      if (!mayName(arg)) continue;
      args[i] = session.adopt(arg);
      call.keep(args[i]);
    }
    return true;
  } catch (error) {
    call.fail(error);
    return false;
  }
}

/** The call has to wait for whoever holds the object. False where that would never end: the call has failed. */
function mayWait(object: SharedObject, call: Call): boolean {
  // A call that waits for its own flow's hold: it may well be that the flow does not wait for the call.
  if (object.holder !== undefined && call.holding.includes(object.holder)) call.holding = [];
  try {
    refuseCycle(call, object);
    call.waitsFor = object;
    return true;
  } catch (error) {
    call.fail(error);
    return false;
  }
}

function checkGuard(session: Session, lock: number, grant: number): void {
  const object = session.handles.get(lock)?.object;
  if (object?.grantor?.holds(grant, session) !== true) {
    throw new NotLockOwnerError(`the guard given with this call no longer holds ${object?.title ?? 'its lock'}`);
  }
}
