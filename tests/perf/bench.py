"""`make bench`: one table, broker by workload, all from one run; and whether each bar was met.

Each broker is started, measured and ended on its own, with nothing else running.  What is printed is the median of
`--repeat` runs, as messages delivered a second, and the ratio to the best peer.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from tests.perf import bars, drains, durable, peers, tls, workloads
from tests.perf.peers import Peer, Running
from tests.perf.report import OURS, Report, machine, table
from tests.perf.workloads import Figure, Workload

PARTS: Final = (tls, durable, drains)
"""Parts of the benchmark with brokers started in a way of their own: each has PEERS, WORKLOADS and BARS."""

PEERS: Final = (*peers.PEERS, *[peer for part in PARTS for peer in part.PEERS])
WORKLOADS: Final = (*workloads.WORKLOADS, *[workload for part in PARTS for workload in part.WORKLOADS])
BARS: Final = (*bars.BARS, *[bar for part in PARTS for bar in part.BARS])


def measure(peer: Peer, workload: Workload, seconds: float, repeat: int, report: Report) -> None:
    """Start a broker, run a workload, end it."""
    running: Running | None = None
    try:
        # A fresh start for each: one workload's sessions and memory are not the next one's.
        running = peers.start(peer)
        figures = [workload.run(running, seconds) for _ in range(1 if workload.unit == "bytes" else repeat)]
        figure = _median(figures)
        report.figures[peer.name, workload.name] = figure
        said = f"{figure.value:>12,.0f} {workload.unit}"
        if figure.load:
            said += f"   broker {figure.broker:4.0%}, load {figure.load:4.0%}"
        if figure.broker:
            # Hardly changed by what else the machine does.
            said += f", {figure.value / figure.broker:,.0f} per second of processor"
        if lost := sum([abs(figure.lost) for figure in figures]):
            report.missing.append(f"{peer.name}, {workload.title}: lost {lost}")
            said += f"   lost {lost}"
    except (OSError, RuntimeError) as error:
        said = f"failed: {error}"
        report.missing.append(f"{peer.name}, {workload.title}: {error}")
    finally:
        if running is not None:
            running.stop()
    print(f"  {peer.name:<16} {workload.title:<36} {said}", flush=True)


def _takes_part(peer: Peer, workload: Workload) -> bool:
    if not set(workload.features) <= set(peer.features) or (peer.only and workload.name not in peer.only):
        return False
    return workload.peers or peer.name in OURS


def _median(figures: list[Figure]) -> Figure:
    return sorted(figures, key=lambda figure: figure.value)[len(figures) // 2]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--quick", action="store_true", help="one second, one run")
    parser.add_argument("--brokers", nargs="*", default=[], help="only these")
    parser.add_argument("--workloads", nargs="*", default=[], help="only these")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.repeat = 1.0, 1
    if unknown := set(options.workloads) - {workload.name for workload in WORKLOADS}:
        parser.error(f"no workload {', '.join(unknown)}: {' '.join([w.name for w in WORKLOADS])}")
    return options


def main() -> None:
    """See the module."""
    options = _options()
    chosen = [w for w in WORKLOADS if not options.workloads or w.name in options.workloads]
    report = Report()
    brokers: list[Peer] = []
    for peer in PEERS:
        if options.brokers and peer.name not in options.brokers:
            continue
        if problem := peer.find():
            report.missing.append(f"{peer.name}: {problem}")
        else:
            brokers.append(peer)
    for workload in chosen:
        # Workload by workload, so that what is compared is measured within the same minutes.
        for peer in brokers:
            if _takes_part(peer, workload):
                measure(peer, workload, options.seconds, options.repeat, report)
    _print(report, chosen, list(dict.fromkeys([peer.name for peer in brokers])), options)


def _print(report: Report, chosen: list[Workload], brokers: list[str], options: argparse.Namespace) -> None:
    text = f"Machine: {machine()}.\n\n{table(report, chosen, brokers)}\n"
    lines = "\n".join([bar.line(report) for bar in BARS])
    print(f"\nmessages delivered a second; in brackets the ratio to the best peer\n\n{text}\n{lines}")
    for line in report.missing:
        print(f"note: {line}")
    if options.markdown:
        options.markdown.write_text(f"{text}\n{lines}\n")
    if options.json:
        figures = {f"{broker}/{workload}": f.value for (broker, workload), f in report.figures.items()}
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
