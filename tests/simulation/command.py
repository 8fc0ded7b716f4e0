"""The command line of the simulation, and its results."""

import argparse
import gc
import multiprocessing
import time
import traceback
from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from tests.simulation.operations import Operation, plan
from tests.simulation.shrink import shrink
from tests.simulation.world import World

OPERATIONS: Final = 120

SHRINK_RUNS: Final = 400

FAILURE_SHOWN: Final = 300


class Result(NamedTuple):
    """What came of a run."""

    seed: int
    failure: str
    """Empty for none."""
    lines: list[str]
    operations: int
    """Of the plan."""
    frames: int
    """That clients sent."""
    steps: int
    took_s: float
    """Of the processor's time: how busy others keep it does not matter."""
    digest: str
    """The same for runs in which the same happened; empty where nobody has written down what did."""

    @property
    def kind(self) -> str:
        """What failures have in common that differ in numbers only."""
        return "".join(sign for sign in self.failure if not sign.isdigit())[:60]


def run(seed: int, operations: list[Operation], traced: bool = True) -> Result:
    """One run."""
    began_s = time.process_time()
    world = World(seed, traced)
    failure = ""
    gc.disable()
    try:
        world.run(operations)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        if not type(error).__module__.startswith("tests.simulation"):
            world.say(traceback.format_exc())
    finally:
        gc.enable()
    world.say(failure or "all came out")
    took_s = time.process_time() - began_s
    record = world.record
    return Result(
        seed,
        failure,
        record.lines,
        len(operations),
        world.frames,
        world.steps,
        took_s,
        record.digest(),
    )


def _planned(count: int, dense: bool, traced: bool, seed: int) -> Result:
    return run(seed, plan(seed, count, dense), traced)._replace(lines=[])


def main(arguments: list[str] | None = None) -> int:
    """See `__main__`."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="1-100", help="FIRST-LAST")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share them")
    parser.add_argument("--seed", type=int, help="only this one, with a trace of what happened")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="of each run")
    parser.add_argument("--dense", action="store_true", help="more happens at once; --check is always so")
    parser.add_argument("--plan", help="with --seed: these operations, as --shrink prints them")
    parser.add_argument(
        "--shrink", action="store_true", help="with --seed: find the shortest plan that fails"
    )
    parser.add_argument(
        "--check", type=int, help="after how many seeds, at most so many, each deliberate fault is found"
    )
    parser.add_argument(
        "--faults", default="", help="with --check: only those that say one of these, separated by commas"
    )
    parser.add_argument("--digests", action="store_true", help="print what tells one run from another")
    options = parser.parse_args(arguments)
    if options.check is not None:
        return _check(options)
    if options.seed is not None:
        return _one(options)
    return _many(options)


def _one(options: argparse.Namespace) -> int:
    operations = plan(options.seed, options.operations, options.dense)
    if options.plan is not None:
        words = [word.split(":") for word in options.plan.split()]
        operations = [Operation(name, int(seed)) for name, seed in words]
    result = run(options.seed, operations)
    if options.shrink and result.failure:
        kind = result.kind
        operations = shrink(
            operations, lambda fewer: run(options.seed, fewer, False).kind == kind, SHRINK_RUNS
        )
        result = run(options.seed, operations)
    print("\n".join(result.lines))
    if options.shrink:
        print(f'--seed {options.seed} --plan "{" ".join(map(str, operations))}"')
    return 1 if result.failure else 0


def _many(options: argparse.Namespace) -> int:
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    one = partial(_planned, options.operations, options.dense, options.digests)
    if options.jobs == 1:
        total = _report(map(one, seeds), options)
    else:
        with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
            total = _report(pool.imap(one, seeds), options)
    took_s = max(total.took_s, 0.001)
    print(
        f"{total.seeds} seeds, {total.failed} failed; on a core {total.seeds / took_s * 60:.0f} seeds a minute,"
        f" {(total.operations + total.frames) / took_s:.0f} operations a second"
        f" ({total.operations / took_s:.0f} of plans, {total.frames / took_s:.0f} frames of clients),"
        f" {total.steps / took_s:.0f} steps"
    )
    return 1 if total.failed else 0


def _found(count: int, seeds: int, name: str) -> tuple[str, int, str]:
    """The first seed that finds this fault, 0 for none, and what it says."""
    from tests.simulation.deliberate import FAULTS

    for seed in range(1, seeds + 1):
        with FAULTS[name]():
            result = _planned(count, True, False, seed)
        # What fails without it too has found something else.
        if result.failure and not _planned(count, True, False, seed).failure:
            return name, seed, result.failure
    return name, 0, "NOT FOUND"


def _check(options: argparse.Namespace) -> int:
    # A fault of one of them, which name what is inside of the gateway, is none of a run.
    from tests.simulation.deliberate import FAULTS

    one = partial(_found, options.operations, options.check)
    missed = 0
    words = options.faults.split(",")
    names = [name for name in FAULTS if any(word in name for word in words)]
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for name, seed, failure in pool.imap(one, names):
            missed += not seed
            print(f"{name:52} {seed or '-':>5}  {failure[:100]}", flush=True)
    return 1 if missed else 0


class Total(NamedTuple):
    """What came of many."""

    seeds: int = 0
    failed: int = 0
    operations: int = 0
    frames: int = 0
    steps: int = 0
    took_s: float = 0.0


def _report(results: Iterable[Result], options: argparse.Namespace) -> Total:
    """Print what failed, and how to see it again."""
    total = Total()
    of_so_many = "" if options.operations == OPERATIONS else f" --operations {options.operations}"
    of_so_many += " --dense" if options.dense else ""
    for result in results:
        total = Total(
            total.seeds + 1,
            total.failed + bool(result.failure),
            total.operations + result.operations,
            total.frames + result.frames,
            total.steps + result.steps,
            total.took_s + result.took_s,
        )
        if options.digests:
            print(result.seed, result.digest, flush=True)
        if result.failure:
            print(f"seed {result.seed}: {result.failure[:FAILURE_SHOWN]}")
            again = f"python -m tests.simulation --seed {result.seed}{of_so_many}"
            print(
                f"    again, with its trace: {again}; as few operations as fail: {again} --shrink", flush=True
            )
    return total
