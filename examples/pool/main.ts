/**
 * A pool: a manager, a queue and two workers in one call. One task, many in order, an endless source read in part, a task
 * that divides itself among the others; then it is closed, which finishes what was put.
 */
import { startPool } from 'quartermaster';

const pool = await startPool<typeof import('./tasks.js')>({
  tasks: new URL('./tasks.js', import.meta.url),
  workers: 2,
});

console.log(await pool.run('steps', 27));
console.log(await pool.map('steps', [5, 6, 7, 8, 9]).toArray());

function* numbers(): Generator<number> {
  for (let n = 1; ; n++) yield n;
}
let n = 0;
for await (const steps of pool.map('steps', numbers())) {
  n++;
  if (steps > 100) break; // what was read ahead is cancelled
}
console.log(n);

const longest = pool.run('longest', { from: 1, to: 1000 });
await pool.close();
console.log(await longest);

// Output:
//     111
//     [ 5, 8, 16, 3, 19 ]
//     27
//     178
