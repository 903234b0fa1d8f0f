/**
 * Those who are there and do nothing, for `many.mjs`: started by it with the connection file of its manager, and there
 * until it disconnects. `what`: connections; waiters on one lock, of ten clients; named objects.
 */
import { connect } from 'quartermaster';
import { parameters } from '../measured.mjs';

const { what, count, file } = parameters({ what: 'connections', count: 1_000, file: '' });

const clients = await Promise.all(Array.from({ length: what === 'waiters' ? 10 : 1 }, () => connect(file)));
if (what === 'connections') {
  // A few at a time: a crowd that comes all at once is not what is measured.
  while (clients.length < count) {
    const more = Math.min(50, count - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: more }, () => connect(file)))));
  }
} else if (what === 'waiters') {
  await clients[0].lock('crowded').acquire();
  for (let i = 0; i < count; i++) void clients[i % clients.length].lock('crowded').acquire();
  // What was asked for before has arrived when this is answered.
  await Promise.all(clients.map((client) => client.lock('crowded').locked()));
} else {
  for (let i = 0; i < count; i++) await clients[0].dict(`object-${i}`).set('key', i);
}
process.send?.('there');
process.once('disconnect', () => process.exit());
