/** What workers run: deliveries to addresses, some of which cannot be reached yet, and one that never will. */
import { defineTasks, NonRetryableError } from 'quartermaster';

export default defineTasks({
  async deliver({ to, parcel }: { to: string; parcel: string }, { client }) {
    if (!to.includes('@')) throw new NonRetryableError(`'${to}' is no address`);
    if (await client.set<string>('unreachable').has(to)) throw new Error(`nobody answers at ${to}`);
    return `${parcel} is at ${to}`;
  },
});
