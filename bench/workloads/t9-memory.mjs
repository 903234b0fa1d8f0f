import { limit, medianOf } from '../harness/bench.mjs';
import { target } from '../harness/target.mjs';

/** @type {import('./all.mjs').Workload} */
export const memory = {
  id: 'T9',
  title: 'memory, and time to enqueue',
  about:
    'Bytes for each small task (an input of 30 bytes, no options) over many of them: of the manager process while it is pending and once it has succeeded, of the producer for each outstanding `run()` and each handle of `put()`. Resident bytes are read after garbage collections that the benchmark asks for inside the process; "uncollected" is what the system shows of the manager once it no longer changes, garbage included, as for the limit.',

  async run(bench) {
    const { quick, full } = bench.settings;
    const n = quick ? 5_000 : full ? 1_000_000 : 200_000;
    const results = await bench.rounds(
      'T9',
      [
        { key: 'pending', label: 'manager, pending task', program: bench.ours('memory', { n, what: 'pending' }) },
        { key: 'bare', label: 'limit, pending task', program: limit('limit_mgr', 'W6', { credit: 128, n }) },
        { key: 'finished', label: 'manager, finished record', program: bench.ours('memory', { n, what: 'finished' }) },
        {
          key: 'handles',
          label: 'producer, outstanding run()',
          program: bench.ours('memory', { n, what: 'handles' }),
        },
      ],
      { rounds: 3, timeout: full ? 900_000 : 300_000 },
    );
    const { pending, bare, finished, handles } = results;
    const bareAsOurs = {
      ...bare,
      rounds: bare.rounds.map((figures) => ({ ...figures, settled: figures.bytesPerTask })),
    };
    const ofPut = {
      label: 'producer, handle of put()',
      rounds: handles.rounds.map((figures) => ({ resident: figures.residentOfPut, live: figures.liveOfPut })),
    };
    const targets = [
      target('manager, resident, pending task', medianOf(pending, 'resident'), { unit: 'bytes', atMost: 400 }),
      target('manager, resident, finished record', medianOf(finished, 'resident'), { unit: 'bytes', atMost: 250 }),
      target('producer, resident, outstanding run()', medianOf(handles, 'resident'), { unit: 'bytes', atMost: 300 }),
      target('producer, resident, handle of put()', medianOf(ofPut, 'resident'), { unit: 'bytes', atMost: 300 }),
      target('enqueue', medianOf(pending, 'perSec'), { unit: 'perSecond', atLeast: 200_000 }),
    ];
    return {
      tables: [
        {
          caption: `${n.toLocaleString('en-US')} tasks`,
          columns: [
            { key: 'resident', title: 'resident', unit: 'bytes', spread: true },
            { key: 'live', title: 'live (heap and external)', unit: 'bytes' },
            { key: 'settled', title: 'resident, uncollected', unit: 'bytes' },
            { key: 'perSec', title: 'enqueue', unit: 'perSecond' },
          ],
          results: [pending, bareAsOurs, finished, handles, ofPut],
        },
      ],
      targets,
    };
  },
};
