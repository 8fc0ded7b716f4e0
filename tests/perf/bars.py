"""What must be shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.perf import peers
from tests.perf.report import Report
from tests.perf.workloads import WORKLOADS

GATEWAY: Final = peers.GATEWAY.name
PLAIN: Final = peers.GATEWAY_PLAIN.name


@dataclass(frozen=True)
class Bar:
    """A ratio of two figures (or one figure) against a bound."""

    title: str
    value: Callable[[Report], float]
    bound: float
    at_most: bool = False

    def line(self, report: Report) -> str:
        """`met` or `MISSED`, with the figure; `not measured` when a side is missing."""
        value = self.value(report)
        if not value:
            return f"not measured  {self.title}"
        met = value <= self.bound if self.at_most else value >= self.bound
        comparison = "at most" if self.at_most else "at least"
        return f"{'met   ' if met else 'MISSED'}  {self.title}: {value:,.2f} ({comparison} {self.bound:,.2f})"


def _ratio(value: float, base: float) -> float:
    return value / base if base else 0.0


def against(workload: str, broker: str, ours: str = GATEWAY) -> Callable[[Report], float]:
    """The ratio of two brokers in a workload."""
    return lambda r: _ratio(r.get(ours, workload), r.get(broker, workload))


def _against_best(workload: str) -> Callable[[Report], float]:
    return lambda r: _ratio(r.get(GATEWAY, workload), r.best_peer(workload))


def _against_own_protocols(workload: str) -> Callable[[Report], float]:
    return lambda r: _ratio(
        r.get(GATEWAY, workload), min(r.get(GATEWAY, "mqtt0_1x1"), r.get(GATEWAY, "stomp_1x1"))
    )


TITLES: Final = {workload.name: workload.title for workload in WORKLOADS}

AGAINST_BEST: Final = (
    "mqtt0_1x100", "mqtt0_100x1", "mqtt0_topics", "mqtt0_wildcards", "mqtt0_1k", "mqtt0_64k", "mqtt5_properties",
    "mqtt2_1x1", "stomp_1x1", "stomp_1k", "stomp_64k", "stomp_acks",
)  # fmt: skip
"""Workloads in which the gateway is to be five times as fast as any peer that has the feature."""

BARS: Final = (
    Bar("MQTT QoS 0 one to one, against Mosquitto", against("mqtt0_1x1", "Mosquitto"), 10),
    Bar("the same, uncompiled", against("mqtt0_1x1", "Mosquitto", PLAIN), 3),
    Bar("MQTT QoS 0 1 to 10, against Mosquitto", against("mqtt0_1x10", "Mosquitto"), 10),
    Bar("MQTT QoS 1 one to one, against Mosquitto", against("mqtt1_1x1", "Mosquitto"), 6),
    Bar(
        "MQTT QoS 0 one to one, against nats-server's own protocol",
        lambda r: _ratio(r.get(GATEWAY, "mqtt0_1x1"), r.get("nats-server", "nats_1x1")),
        1,
    ),
    *(Bar(f"{TITLES[name]}, against the best peer", _against_best(name), 5) for name in AGAINST_BEST),
    # At this size what counts is how often bytes are copied; no broker can be faster than one that does only that.
    Bar(f"{TITLES['mqtt0_64k']}, against a bare relay", against("mqtt0_64k", peers.RELAY.name), 0.5),
    *(
        Bar(f"{TITLES[name]}, against the slower same-protocol path", _against_own_protocols(name), 0.5)
        for name in ("mqtt_to_stomp", "stomp_to_mqtt")
    ),
    Bar(
        "100,000 subscriptions on other topics, against 10",
        lambda r: _ratio(r.get(GATEWAY, "subs_100k"), r.get(GATEWAY, "subs_10")),
        0.8,
    ),
    Bar("resident bytes of an idle connection", lambda r: r.get(GATEWAY, "idle_10k"), 16_384, True),
)
