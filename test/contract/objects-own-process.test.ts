import { customContract } from './custom.contract.ts';
import { dictContract } from './dict.contract.ts';
import { holdsContract } from './holds.contract.ts';
import { lockContract } from './lock.contract.ts';
import { proxiesContract } from './proxies.contract.ts';
import { queueContract } from './queue.contract.ts';
import { counterContract, valueContract } from './scalars.contract.ts';

proxiesContract('process');
dictContract('process');
queueContract('process');
lockContract('process');
counterContract('process');
valueContract('process');
customContract('process');
holdsContract('process');
