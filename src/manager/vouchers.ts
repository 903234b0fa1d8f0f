/**
 * Owned workers: processes that a worker group spawned and vouches for with a ticket. When the session of one ends, its
 * tasks wait until the group has seen the process end, or has killed it: never are there two live executors. Only the
 * group knows the process; the manager signals no pid that came over the wire.
 */
import type { Item } from '../protocol/wire.ts';
import type { Session } from './session.ts';

/** How a process ended, as far as is known. */
export interface ProcessEnd {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** The error that ended it, as its text. */
  readonly reason: string | undefined;
  /** The manager had asked for it, because of what one of its tasks did: no other one is to blame. */
  readonly ordered?: boolean;
}

interface Voucher {
  readonly group: Session;
  /** The group's session no longer has to think of it. */
  readonly forget: () => void;
  session: Session | undefined;
  end: ProcessEnd | undefined;
  /** Its session has ended; what to do once the process has. */
  settle: ((how: ProcessEnd) => void) | undefined;
  /** The manager has asked its group to end it for what it runs. */
  ordered: boolean;
}

const UNKNOWN: ProcessEnd = { exitCode: undefined, signal: undefined, reason: undefined };

export class Vouchers {
  readonly #vouchers = new Map<string, Voucher>();

  /** `joined`: the worker's session where it is there already, because the group comes back in a session of its own. */
  vouch(group: Session, ticket: string, joined: Session | undefined): void {
    const ended = (): void => this.#groupEnded(ticket);
    const forget = (): void => void group.holdings.delete(ended);
    group.holdings.add(ended);
    this.#vouchers.set(ticket, { group, forget, session: joined, end: undefined, settle: undefined, ordered: false });
  }

  joined(ticket: string, session: Session): void {
    const voucher = this.#vouchers.get(ticket);
    if (voucher !== undefined && voucher.session === undefined) voucher.session = session;
  }

  owned(session: Session): boolean {
    return this.#voucherOf(session) !== undefined;
  }

  /** The worker has been silent for too long: its group is asked to end it. */
  silent(session: Session): void {
    this.#voucherOf(session)?.group.event(0, 'workerSilent', session.peer.ticket);
  }

  /** A task of the worker must end and does not: its group is asked to end the process. False where nobody vouches for it. */
  kill(session: Session, why: string): boolean {
    const voucher = this.#voucherOf(session);
    if (voucher === undefined) return false;
    voucher.ordered = true;
    voucher.group.event(0, 'workerKill', [session.peer.ticket, why]);
    return true;
  }

  /** The worker's session has ended: `settle` runs when its process has, at once where nobody vouches for it. */
  left(session: Session, settle: (how: ProcessEnd) => void): void {
    const voucher = this.#voucherOf(session);
    if (voucher === undefined) return settle(UNKNOWN);
    if (voucher.end !== undefined) {
      this.#forget(session.peer.ticket as string);
      return settle(voucher.end);
    }
    voucher.settle = settle;
    voucher.group.event(0, 'workerSilent', session.peer.ticket);
  }

  /** The group has seen the process end. */
  gone(group: Session, ticket: string, exitCode: Item, signal: Item, reason: Item): void {
    const voucher = this.#vouchers.get(ticket);
    if (voucher === undefined || voucher.group !== group) return;
    voucher.end = {
      exitCode: typeof exitCode === 'number' ? exitCode : undefined,
      signal: typeof signal === 'string' ? signal : undefined,
      reason: typeof reason === 'string' ? reason : undefined,
      ordered: voucher.ordered,
    };
    if (voucher.session === undefined || voucher.settle !== undefined) this.#forget(ticket);
    else voucher.session.processEnded = true;
    voucher.settle?.(voucher.end);
  }

  /** The group's process has ended: its workers end with it, and nobody is left to say when. */
  #groupEnded(ticket: string): void {
    const voucher = this.#vouchers.get(ticket);
    this.#vouchers.delete(ticket);
    voucher?.settle?.(UNKNOWN);
  }

  #forget(ticket: string): void {
    this.#vouchers.get(ticket)?.forget();
    this.#vouchers.delete(ticket);
  }

  #voucherOf(session: Session): Voucher | undefined {
    const { ticket } = session.peer;
    const voucher = ticket === undefined ? undefined : this.#vouchers.get(ticket);
    return voucher?.session === session ? voucher : undefined;
  }
}
