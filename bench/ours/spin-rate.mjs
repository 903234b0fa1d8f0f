/** How many steps of the limit's spin this machine does in a µs, while as many of its cores as there are workers are busy. */
import { Worker } from 'node:worker_threads';
import { parameters, report } from '../measured.mjs';
import { median } from '../statistics.mjs';

const { workers } = parameters({ workers: 2 });
const common = new URL('../limit/lib/common.mjs', import.meta.url).href;
const measure = `import(${JSON.stringify(common)}).then(({ calibrate }) =>
  require('node:worker_threads').parentPort.postMessage(calibrate()));`;

/** @type {number[]} */
const rates = await Promise.all(
  Array.from({ length: workers }, () => {
    const worker = new Worker(measure, { eval: true });
    return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  }),
);
report({ rate: median(rates) });
