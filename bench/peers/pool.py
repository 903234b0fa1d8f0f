"""
T1 with multiprocessing.Pool.apply_async: all tasks put at once, every result awaited. With what=map T2: Pool.map, which
chooses its own chunks.
"""

import json
import os
import resource
import sys
import time
from multiprocessing import Pool

WARM_UP = 2_000


def noop(arg):
    return arg["i"] + 1


def mapped(pool, n):
    return pool.map(noop, [{"i": i} for i in range(n)])


def every(pool, n):
    return [one.get() for one in [pool.apply_async(noop, ({"i": i},)) for i in range(n)]]


def check(results, n):
    if results != list(range(1, n + 1)):
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


def main():
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    n, workers = int(given.get("n", 20_000)), int(given.get("workers", 2))
    is_map = given.get("what") == "map"
    run, warm_up = (mapped, n) if is_map else (every, WARM_UP)
    with Pool(workers) as pool:
        pids = [process.pid for process in pool._pool]
        check(run(pool, warm_up), warm_up)
        main_before, workers_before = own_cpu(), cpu_of(pids)
        start = time.perf_counter()
        results = run(pool, n)
        seconds = time.perf_counter() - start
        main_after, workers_after = own_cpu(), cpu_of(pids)
        check(results, n)
    figures = {
        "n": n,
        "seconds": seconds,
        "perSec": n / seconds,
        "cpuMain": main_after - main_before,
        "cpuManager": 0,
        "cpuWorkers": workers_after - workers_before,
    }
    print(json.dumps(figures).replace("NaN", "null"), flush=True)


if __name__ == "__main__":
    main()
