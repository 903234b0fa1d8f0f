/** Another process: connects by the connection file that it was told, and takes from the stock until it is told no. */
import { connect } from 'quartermaster';
import type { Stock } from './stock.ts';

const [connectionFile, what] = process.argv.slice(2) as [string, string];
const client = await connect(connectionFile);
try {
  // Named, so it is the app's own object; the arguments counted when it was made.
  const stock = client.object<Stock>('Stock', [], 'stock');
  for (let i = 0; i < 5; i++) await stock.take(what, 1);
} catch (error) {
  if (!(error instanceof RangeError)) throw error; // sold out
} finally {
  await client.close();
}
