/** What processes use. Read from /proc: NaN where the system has none. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * Starts to count the CPU of this process and of others. The function that it returns says how many seconds each has
 * used since, user and system together.
 *
 * @param {{ manager?: number | undefined, workers?: readonly number[] }} pids
 */
export function countCpu({ manager, workers = [] }) {
  const read = () => ({
    main: ownCpu(),
    manager: manager === undefined ? 0 : cpuOf(manager),
    workers: workers.map(cpuOf).reduce((sum, cpu) => sum + cpu, 0),
  });
  const before = read();
  return () => {
    const after = read();
    return {
      cpuMain: after.main - before.main,
      cpuManager: after.manager - before.manager,
      cpuWorkers: after.workers - before.workers,
    };
  };
}

function ownCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/**
 * Of all threads that still live. schedstat counts nanoseconds; where the kernel has none, stat counts ticks of 10 ms.
 *
 * @param {number} pid
 */
function cpuOf(pid) {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
    return nanoseconds / 1e9;
  } catch {
    return (Number(statOf(pid)[11]) + Number(statOf(pid)[12])) / 100;
  }
}

/**
 * The processes that this one has started and that live, oldest first.
 *
 * @returns {number[]}
 */
export function children() {
  return processIds()
    .filter((pid) => Number(statOf(pid)[1]) === process.pid)
    .sort((a, b) => a - b);
}

/**
 * Resident memory in bytes.
 *
 * @param {number} pid
 */
export function residentBytes(pid) {
  const line = /VmRSS:\s+(\d+) kB/.exec(textOf(`/proc/${pid}/status`));
  return line === null ? NaN : Number(line[1]) * 1024;
}

/**
 * The processes that were started with such a variable in their environment: 'NAME=value'.
 *
 * @param {(variable: string) => boolean} is
 * @returns {number[]}
 */
export function startedWith(is) {
  return processIds().filter((pid) => textOf(`/proc/${pid}/environ`).split('\0').some(is));
}

function processIds() {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

/**
 * The fields after the name, which may have blanks in it: the state is the first.
 *
 * @param {number} pid
 */
function statOf(pid) {
  const text = textOf(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/**
 * Empty where the process has ended or is another user's.
 *
 * @param {string} file
 */
function textOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
