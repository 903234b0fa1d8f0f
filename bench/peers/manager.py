"""T3 with multiprocessing.Manager: one call of a proxy at a time, put and get_nowait of a queue, or set and get of a dict."""

import json
import sys
import time
from multiprocessing import Manager

WARM_UP = 2_000


def main():
    given = {"n": 5_000, "object": "queue"} | dict(argument.split("=", 1) for argument in sys.argv[1:])
    n = int(given["n"])
    value = {"id": 1, "fn": "noop", "arg": {"i": 1}}
    with Manager() as manager:
        queue, table = manager.Queue(), manager.dict()
        microseconds = []
        for k in range(-WARM_UP, n):
            start = time.perf_counter()
            if given["object"] == "queue":
                queue.put(value)
                between = time.perf_counter()
                back = queue.get_nowait()
            else:
                table[k] = value
                between = time.perf_counter()
                back = table[k]
            end = time.perf_counter()
            if back != value:
                raise SystemExit("wrong result: another value came back")
            if k >= 0:
                microseconds += [(between - start) * 1e6, (end - between) * 1e6]
    microseconds.sort()
    p50, p99 = (microseconds[int(q * len(microseconds))] for q in (0.5, 0.99))
    print(json.dumps({"n": 2 * n, "p50us": p50, "p99us": p99}), flush=True)


if __name__ == "__main__":
    main()
