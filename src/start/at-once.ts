/**
 * All parts that are loaded lazily, loaded: for Node.js 21 and 22.0 to 22.11, which cannot `require()` a module, and for
 * tools with a loader of their own, which would not see what is loaded past it.
 */
import * as custom from '../manager/objects/custom.ts';
import * as inspect from '../manager/inspect.ts';
import * as local from '../manager/local.ts';
import * as manager from '../manager/manager.ts';
import * as mutex from '../manager/mutex.ts';
import * as objects from '../manager/objects/built-in.ts';
import * as taskFrames from '../manager/task-frames.ts';
import * as tasks from '../manager/tasks/tasks.ts';
import * as lone from '../protocol/codec/lone.ts';
import * as whole from '../protocol/codec/whole.ts';
import { provide } from '../protocol/lazily.ts';
import * as kinds from '../proxy/kinds.ts';
import * as submitGraph from '../proxy/submit-graph.ts';
import * as taskQueueOptions from '../proxy/task-queue-options.ts';
import * as taskQueueProxy from '../proxy/task-queue-proxy.ts';
import * as taskLog from '../worker/task-log.ts';
import * as workerLogs from '../worker/worker-logs.ts';
import * as afterSpawn from './after-spawn.ts';

provide(new URL('../manager/inspect.js', import.meta.url), inspect);
provide(new URL('../manager/local.js', import.meta.url), local);
provide(new URL('../manager/manager.js', import.meta.url), manager);
provide(new URL('../manager/mutex.js', import.meta.url), mutex);
provide(new URL('../manager/objects/built-in.js', import.meta.url), objects);
provide(new URL('../manager/objects/custom.js', import.meta.url), custom);
provide(new URL('../manager/task-frames.js', import.meta.url), taskFrames);
provide(new URL('../manager/tasks/tasks.js', import.meta.url), tasks);
provide(new URL('../protocol/codec/lone.js', import.meta.url), lone);
provide(new URL('../protocol/codec/whole.js', import.meta.url), whole);
provide(new URL('../proxy/kinds.js', import.meta.url), kinds);
provide(new URL('../proxy/submit-graph.js', import.meta.url), submitGraph);
provide(new URL('../proxy/task-queue-options.js', import.meta.url), taskQueueOptions);
provide(new URL('../proxy/task-queue-proxy.js', import.meta.url), taskQueueProxy);
provide(new URL('../worker/task-log.js', import.meta.url), taskLog);
provide(new URL('../worker/worker-logs.js', import.meta.url), workerLogs);
provide(new URL('./after-spawn.js', import.meta.url), afterSpawn);
