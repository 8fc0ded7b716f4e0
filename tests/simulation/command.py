"""The command line of the simulation, and its results."""

import argparse
import gc
import hashlib
import os
import sys
import time
import traceback
from typing import Final, NamedTuple

from tests.simulation.operations import Operation, plan
from tests.simulation.world import World

OPERATIONS: Final = 120


class Result(NamedTuple):
    """What came of a run."""

    seed: int
    failure: str
    """Empty for none."""
    lines: list[str]
    operations: int
    steps: int

    @property
    def digest(self) -> str:
        """The same for runs in which the same happened."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]


def run(seed: int, operations: list[Operation]) -> Result:
    """One run."""
    world = World(seed)
    failure = ""
    gc.disable()
    try:
        world.run(operations)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if type(error).__module__.startswith("tests.simulation") is False:
            world.say(traceback.format_exc())
    finally:
        gc.enable()
    world.say(failure or "all came out")
    return Result(seed, failure, world.lines, len(operations), world.steps)


def main(arguments: list[str] | None = None) -> int:
    """See `__main__`."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="1-100", help="FIRST-LAST")
    parser.add_argument("--seed", type=int, help="only this one, with a trace of what happened")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="of each run")
    parser.add_argument("--digests", action="store_true", help="print what tells one run from another")
    options = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of texts is no part of the seed.
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
    if options.seed is not None:
        result = run(options.seed, plan(options.seed, options.operations))
        print("\n".join(result.lines))
        return 1 if result.failure else 0
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.perf_counter()
    failed = operations = steps = 0
    for seed in seeds:
        result = run(seed, plan(seed, options.operations))
        operations += result.operations
        steps += result.steps
        if options.digests:
            print(seed, result.digest)
        if result.failure:
            failed += 1
            print(f"seed {seed}: {result.failure[:400]}", flush=True)
    took = time.perf_counter() - began
    print(
        f"{len(seeds)} seeds, {failed} failed; {len(seeds) / took * 60:.0f} seeds a minute,"
        f" {operations / took:.0f} operations and {steps / took:.0f} steps a second"
    )
    return 1 if failed else 0
