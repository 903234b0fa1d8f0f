"""T1, T2, T5 and T6 with multiprocessing.Pool and ProcessPoolExecutor.

    noop       tasks put at once, every result awaited           through=apply_async | submit
    map        the same with chunks of its own choice            through=map
    payload    bytes there and back, one after the other         through=apply_async
    skew       durations that differ a hundredfold, against      through=apply_async | map
               static halves of the same work in this very run
"""

import json
import math
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool


def noop(arg):
    return arg["i"] + 1


def echo(data):
    return data


def turns(count):
    """A fixed amount of work: it does not get less while its process has to wait."""
    x = 1
    for _ in range(count):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
    return count


def all_turns(counts):
    return [turns(count) for count in counts]


def turns_a_microsecond():
    turns(100_000)
    rates = []
    for _ in range(9):
        start = time.perf_counter()
        turns(100_000)
        rates.append(0.1 / (time.perf_counter() - start))
    return sorted(rates)[len(rates) // 2]


def skewed(n, order):
    """Microseconds of each task: 5% of 20,000 among others of 200; the orders of the limit program."""
    long = round(n * 0.05)
    durations = [20_000 if i < long else 200 for i in range(n)]
    if order == "last":
        durations.reverse()
    if order == "alt":
        for i in range(long - 1, 0, -1):
            durations[i], durations[2 * i] = durations[2 * i], durations[i]
    if order == "shuffle":
        random = mulberry32(42)
        for i in range(n - 1, 0, -1):
            j = math.floor(random() * (i + 1))
            durations[i], durations[j] = durations[j], durations[i]
    return durations


def mulberry32(seed):
    def imul(a, b):
        return (a * b) & 0xFFFFFFFF

    def random():
        nonlocal seed
        seed = (seed + 0x6D2B79F5) & 0xFFFFFFFF
        t = imul(seed ^ (seed >> 15), 1 | seed)
        t = ((t + imul(t ^ (t >> 7), 61 | t)) & 0xFFFFFFFF) ^ t
        return (t ^ (t >> 14)) / 4294967296

    return random


class Workers:
    """Both kinds of pools as one: `every` runs a function on all inputs and waits for all outputs, in their order."""

    def __init__(self, through, count):
        self.through = through
        self.pool = ProcessPoolExecutor(count) if through == "submit" else Pool(count)
        self.every(noop, [{"i": i} for i in range(100)])
        if through == "submit":
            self.pids = list(self.pool._processes)
        else:
            self.pids = [process.pid for process in self.pool._pool]

    def every(self, function, inputs):
        if self.through == "map":
            return self.pool.map(function, inputs)
        if self.through == "submit":
            return [one.result() for one in [self.pool.submit(function, value) for value in inputs]]
        return [one.get() for one in [self.pool.apply_async(function, (value,)) for value in inputs]]

    def close(self):
        if self.through == "submit":
            self.pool.shutdown()
        else:
            self.pool.terminate()


def check(right):
    if not right:
        raise SystemExit("wrong result: not what the tasks should give")


def own_cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_of(pids):
    """Seconds of all threads, from /proc; nothing where the system has none."""
    try:
        total = 0
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0])
        return total / 1e9
    except OSError:
        return float("nan")


def timed(workers, function, inputs):
    main, others = own_cpu(), cpu_of(workers.pids)
    start = time.perf_counter()
    outputs = workers.every(function, inputs)
    seconds = time.perf_counter() - start
    used = {"cpuMain": own_cpu() - main, "cpuManager": 0, "cpuWorkers": cpu_of(workers.pids) - others}
    return outputs, {"n": len(inputs), "seconds": seconds, **used}


def run_noop(workers, n):
    warm_up = [{"i": i} for i in range(2_000)]
    check(workers.every(noop, warm_up) == list(range(1, 2_001)))
    outputs, figures = timed(workers, noop, [{"i": i} for i in range(n)])
    check(outputs == list(range(1, n + 1)))
    return {**figures, "perSec": n / figures["seconds"]}


def run_map(workers, n):
    check(workers.every(noop, [{"i": i} for i in range(n)]) == list(range(1, n + 1)))
    outputs, figures = timed(workers, noop, [{"i": i} for i in range(n)])
    check(outputs == list(range(1, n + 1)))
    return {**figures, "perSec": n / figures["seconds"]}


def run_payload(workers, n, size, warm_up):
    data = bytearray(b"".join(bytes([i % 256]) * 4096 for i in range(size // 4096)))
    seconds = 0.0
    for i in range(-warm_up, n):
        data[0] = data[-1] = i % 256
        start = time.perf_counter()
        (back,) = workers.every(echo, [data])
        if i >= 0:
            seconds += time.perf_counter() - start
        check(back == data)
    return {"n": n, "seconds": seconds, "mbPerSec": n * size / 1e6 / seconds}


def run_skew(workers, n, order, count):
    rate = turns_a_microsecond()
    counts = [round(us * rate) for us in skewed(n, order)]
    halves = [[] for _ in range(count)]
    for each in sorted(counts, reverse=True):
        min(halves, key=sum).append(each)
    with Pool(count) as pool:
        pool.map(turns, [1000] * 64, 1)
        start = time.perf_counter()
        pool.map(all_turns, halves, 1)
        ideal = time.perf_counter() - start
    workers.every(turns, [1000] * 64)
    outputs, figures = timed(workers, turns, counts)
    check(outputs == counts)
    return {**figures, "over": figures["seconds"] / ideal}


def main():
    given = {"workload": "noop", "through": "apply_async", "n": 20_000, "workers": 2, "size": 1 << 20, "warmUp": 20}
    given |= {"order": "shuffle"} | dict(argument.split("=", 1) for argument in sys.argv[1:])
    n, count = int(given["n"]), int(given["workers"])
    workers = Workers(given["through"], count)
    try:
        if given["workload"] == "noop":
            figures = run_noop(workers, n)
        elif given["workload"] == "map":
            figures = run_map(workers, n)
        elif given["workload"] == "payload":
            figures = run_payload(workers, n, int(given["size"]), int(given["warmUp"]))
        else:
            figures = run_skew(workers, n, given["order"], count)
    finally:
        workers.close()
    print(json.dumps(figures).replace("NaN", "null"), flush=True)


if __name__ == "__main__":
    main()
