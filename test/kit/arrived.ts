import type { Client } from 'quartermaster';

/**
 * Resolves when the manager has handled every call that this client has made so far: the calls of one client are handled
 * in their order, and this one waits for nothing. What had to wait, waits by then.
 */
export async function arrived(client: Client): Promise<void> {
  const probe = client.counter();
  await probe.get();
  await probe.dispose();
}
