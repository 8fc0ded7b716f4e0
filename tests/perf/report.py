"""The figures of a run, and how they are printed."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from tests.perf.peers import GATEWAY, GATEWAY_PLAIN, RELAY
from tests.perf.workloads import Figure, Workload

OURS = (GATEWAY.name, GATEWAY_PLAIN.name)
NO_PEERS = (*OURS, RELAY.name)


@dataclass
class Report:
    """Figures by (broker, workload), and what did not take part."""

    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def get(self, broker: str, workload: str) -> float:
        """A figure's value; 0 when it was not measured."""
        figure = self.figures.get((broker, workload))
        return figure.value if figure else 0.0

    def best_peer(self, workload: str) -> float:
        """The best value of the brokers that are not ours."""
        others = [
            f.value for (name, of), f in self.figures.items() if of == workload and name not in NO_PEERS
        ]
        return max(others, default=0.0)


def machine() -> str:
    """The machine in a line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores of {model}, {system}, Python {platform.python_version()}"


def table(report: Report, workloads: list[Workload], brokers: list[str]) -> str:
    """The figures as a Markdown table; behind ours, the ratio to the best peer."""
    lines = ["| workload | " + " | ".join(brokers) + " |", "|---|" + "---:|" * len(brokers)]
    for workload in workloads:
        cells = [workload.title + (" (bytes)" if workload.unit == "bytes" else "")]
        lines.append(
            "| " + " | ".join(cells + [_cell(report, workload, broker) for broker in brokers]) + " |"
        )
    if any(figure.load_bound for figure in report.figures.values()):
        lines.append("\n\\* the load was the slower side: the broker may be faster")
    return "\n".join(lines)


def _cell(report: Report, workload: Workload, broker: str) -> str:
    figure = report.figures.get((broker, workload.name))
    if figure is None:
        return "-"
    best = report.best_peer(workload.name)
    ratio = f" ({figure.value / best:.1f}x)" if best and broker in OURS else ""
    return f"{figure.value:,.0f}{'*' if figure.load_bound else ''}{ratio}"
