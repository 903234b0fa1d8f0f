import { customContract } from './custom.contract.ts';
import { dictContract } from './dict.contract.ts';
import { holdsContract } from './holds.contract.ts';
import { lockContract } from './lock.contract.ts';
import { proxiesContract } from './proxies.contract.ts';
import { queueContract } from './queue.contract.ts';
import { counterContract, valueContract } from './scalars.contract.ts';

proxiesContract('socket');
dictContract('socket');
queueContract('socket');
lockContract('socket');
counterContract('socket');
valueContract('socket');
customContract('socket');
holdsContract('socket');
