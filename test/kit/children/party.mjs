/** The other end of test/kit/parties.ts: connects, then runs the functions that it is sent. */
import * as qm from 'quartermaster';

const client = await qm.connect();
const kept = {};
const say = (said) => process.send({ said });
const builtIn = [
  'dict',
  'queue',
  'lock',
  'rlock',
  'counter',
  'value',
  'list',
  'set',
  'namespace',
  'event',
  'barrier',
  'topic',
  'tasks',
];
const open = (typeId, name) => (builtIn.includes(typeId) ? client[typeId](name) : client.object(typeId, [], name));

// oxlint-disable-next-line typescript/no-misused-promises -- it catches all that it throws
process.on('message', async ({ id, source, args }) => {
  try {
    // oxlint-disable-next-line typescript/no-implied-eval -- the source is the test's own
    const there = new Function(`return (${source})`)();
    process.send({ id, value: await there({ client, qm, kept, say, open }, ...args) });
  } catch (error) {
    const { name, message, code } = error instanceof Error ? error : new Error(String(error));
    process.send({ id, error: { name, message, code } });
  }
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
