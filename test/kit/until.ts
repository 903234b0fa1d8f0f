/** Asks until the answer is yes. Each time is a round trip to the manager, so there is nothing to sleep for. */
export async function until(yes: () => Promise<boolean>): Promise<void> {
  while (!(await yes()));
}
