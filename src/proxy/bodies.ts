/** The `runExclusive` and `withLock` bodies that surround the running code, or surrounded the code that started it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Writer } from '../protocol/wire.ts';
import type { Connection } from './connection.ts';
import { grantSymbol, type LockGuard } from './lock-guard.ts';

/** What a body holds, as calls carry it. */
export interface Body {
  readonly connection: Connection;
  readonly handle: number;
  /** The grant; 0 where `handle` is that of a hold. */
  readonly number: number;
  /** Nobody is kept waiting by it any more. */
  readonly over: boolean;
}

/** A body that holds a lock. */
export class GuardBody implements Body {
  /** Which lock of its connection. */
  readonly lock: string;
  readonly guard: LockGuard;
  /** Where it was entered. */
  readonly place: string;

  constructor(lock: string, guard: LockGuard, place: string) {
    this.lock = lock;
    this.guard = guard;
    this.place = place;
  }

  get connection(): Connection {
    return this.guard[grantSymbol].connection;
  }

  get handle(): number {
    return this.guard[grantSymbol].handle;
  }

  get number(): number {
    return this.guard[grantSymbol].number;
  }

  get over(): boolean {
    return !this.guard.held;
  }
}

/** A call names no more of what its flow holds: the count is one byte. */
const MOST = 255;
const bodies = new AsyncLocalStorage<readonly Body[]>();
const none: readonly Body[] = [];

/** Runs `fn` inside the body. */
export function runInside<R>(body: Body, fn: () => R): R {
  const surrounding = bodies.getStore()?.filter(({ over }) => !over) ?? none;
  return bodies.run([...surrounding, body], fn);
}

/** The innermost body that holds that lock. */
export function bodyOf(lock: string, connection: Connection): GuardBody | undefined {
  const found = bodies
    .getStore()
    ?.findLast(
      (body) => body instanceof GuardBody && body.lock === lock && body.connection === connection && !body.over,
    );
  return found as GuardBody | undefined;
}

/** What the running code holds of that connection, and the guards given. */
export function heldBy(connection: Connection, guards: readonly LockGuard[] = []): readonly Body[] {
  const surrounding = bodies.getStore() ?? none;
  if (surrounding.length + guards.length === 0) return none;
  const all = [...surrounding, ...guards.map((guard) => new GuardBody('', guard, ''))];
  return all.filter((body) => body.connection === connection && !body.over).slice(-MOST);
}

/** As HOLDING in protocol/messages.ts says. */
export function writeHeld(writer: Writer, held: readonly Body[]): void {
  writer.u8(held.length);
  for (const { handle, number } of held) {
    writer.u32(handle);
    writer.u48(number);
  }
}
