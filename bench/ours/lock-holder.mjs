/** T12: takes the lock, tells its parent the token, and holds it until it is killed. */
import { connect } from 'quartermaster';

const client = await connect();
const guard = await client.lock('held').acquire();
process.send?.(String(guard.token));
