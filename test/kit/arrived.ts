/** What the manager has noticed: calls that have arrived, sessions that have ended. */
import type { Client } from 'quartermaster';
import { sever } from './managers.ts';
import type { Party } from './parties.ts';

/**
 * Resolves when the manager has handled every call that this client has made so far: the calls of one client are handled
 * in their order, and this one waits for nothing. What had to wait, waits by then.
 */
export async function arrived(client: Client): Promise<void> {
  const probe = client.counter();
  await probe.get();
  await probe.dispose();
}

/** Severs a client, and resolves when the manager has let go of all that its session held. */
export async function lose(client: Client, observer: Client): Promise<void> {
  await client.lock(ALIVE).acquire();
  sever(client);
  await ended(observer);
}

/** Kills a party, and resolves when the manager has let go of all that its session held. */
export async function loseParty(party: Party, observer: Client): Promise<void> {
  await party.run(async ({ client, kept }, name) => void (kept['alive'] = await client.lock(name).acquire()), ALIVE);
  await party.kill();
  await ended(observer);
}

/** Whatever a session held goes in one turn, and with it this lock, which whoever is about to die holds. */
export const ALIVE = 'alive';

async function ended(observer: Client): Promise<void> {
  const lock = observer.lock(ALIVE);
  await (await lock.acquire()).release();
  await lock.dispose();
}
