/**
 * A manager inside an app: no process of its own. The app registers a class of its own, shares one object of it, and
 * uses it through a client without a socket; another process (buyer.ts) connects and uses the very same object.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Manager } from 'quartermaster';
import { Stock } from './stock.ts';

const manager = new Manager();
try {
  manager.register('Stock', Stock);
  const stock = manager.client().object<Stock>('Stock', [{ apples: 10 }], 'stock');
  await stock.add('pears', 3);
  console.log('at first:', await stock.all());

  const { connectionFile } = await manager.listen();
  const buyers = ['apples', 'pears'].map((what) =>
    fork(new URL('./buyer.js', import.meta.url), [connectionFile, what]),
  );
  await Promise.all(buyers.map((buyer) => once(buyer, 'exit')));
  console.log('in the end:', await stock.all());
} finally {
  await manager.close();
}

// Output:
//     at first: { apples: 10, pears: 3 }
//     in the end: { apples: 5, pears: 0 }
