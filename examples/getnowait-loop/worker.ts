/** A worker written by hand: connects, takes tasks until there are none, and ends. */
import { connect } from 'quartermaster';

/** What the tasks are called, with the types of their inputs and outputs. */
export interface Handlers {
  factor(n: number): number[];
}

// Without an argument: to the manager whose connection file $QUARTERMASTER_CONNECTION names.
const client = await connect();
try {
  const tasks = client.tasks<Handlers>();
  const results = client.dict<number, number[]>('results');
  for (let task = await tasks.getNowait(); task !== undefined; task = await tasks.getNowait()) {
    try {
      const n = task.input as number;
      const factors = primeFactors(n);
      await results.set(n, factors);
      await task.complete(factors);
    } catch (error) {
      await task.fail(error);
    }
  }
} finally {
  await client.close();
}

function primeFactors(n: number): number[] {
  const factors: number[] = [];
  let left = n;
  for (let by = 2; by * by <= left;) {
    if (left % by === 0) {
      factors.push(by);
      left /= by;
    } else {
      by++;
    }
  }
  return left > 1 ? [...factors, left] : factors;
}
