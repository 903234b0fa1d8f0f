/** What the workers run. They import this file; the main process takes only its types. */
import { defineTasks } from 'quartermaster';

export default defineTasks({
  /** How many primes there are below `limit`. */
  countPrimes: ({ limit }: { limit: number }) => {
    const composite = new Uint8Array(limit);
    let primes = 0;
    for (let n = 2; n < limit; n++) {
      if (composite[n] === 1) continue;
      primes++;
      for (let multiple = n * n; multiple < limit; multiple += n) composite[multiple] = 1;
    }
    return primes;
  },
  shout: (text: string) => `${text.toUpperCase()}!`,
  refuse: (why: string): never => {
    throw new RangeError(why);
  },
});
