/** What has become of a manager whose connection was lost: it is still there, or has gone. */
import { setTimeout as delay } from 'node:timers/promises';
import { AuthenticationError, ManagerGoneError, ProtocolError } from '../errors.ts';
import type { Link } from '../transport/link.ts';
import type { Welcome } from './enter.ts';

export interface Entered {
  readonly link: Link;
  readonly welcome: Welcome;
}

/** How to get another connection to the same manager. Aborting ends the attempt, at whatever point it is. */
export type Enter = (signal: AbortSignal) => Promise<Entered>;

/** Attempts to reach a manager that does not say it has gone, each after a random part of twice the time before. */
const ATTEMPTS = 8;
/** ms */
const FIRST_DELAY = 20;
const ANOTHER = '; another one lives at its address';

export function managerGone(address: string, { pid }: Welcome, why: string, cause?: unknown): ManagerGoneError {
  return new ManagerGoneError(`the manager at ${address} (pid ${pid}) has gone${why}`, { cause });
}

/** A new connection to the manager that `before` came from, or why there is none. Undefined once `signal` aborts. */
export async function reconnect(
  enter: Enter,
  address: string,
  before: Welcome,
  signal: AbortSignal,
): Promise<Entered | ManagerGoneError | undefined> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const entered = await enter(signal);
      if (entered.welcome.epoch === before.epoch) return entered;
      entered.link.close();
      return managerGone(address, before, ANOTHER);
    } catch (error) {
      const { code } = error as { code?: string };
      if (error instanceof AuthenticationError || error instanceof ProtocolError) {
        return managerGone(address, before, ANOTHER, error);
      }
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || attempt === ATTEMPTS) {
        return managerGone(address, before, '', error);
      }
      await delay(Math.random() * FIRST_DELAY * 2 ** attempt, undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
