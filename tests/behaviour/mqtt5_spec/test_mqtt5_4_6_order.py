"""MQTT 5.0 §4.6: in which order messages come, and come again.

[MQTT-4.6.0-2] to [MQTT-4.6.0-4] are about acknowledgements: see §4.3.
"""

import pytest
from harness import DROP, Gateway, MqttParty
from mqtt_spec import client, hears

from gateway.store.memory import MemoryStore

VERSIONS = (4, 5)


class Kept:
    """A gateway that commits when it is told to, a kept session `s` and its publisher `p`."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.store = MemoryStore(held=True)
        self.gw = Gateway(self.store)
        self.store.listener = self.gw.broker
        self.publisher = client(self.gw, "p", version=4)

    def connect(self, present: int) -> MqttParty:
        """The session's client, which keeps it."""
        words = "clean=0" if self.version == 4 else "clean=0 expiry=300"
        return client(self.gw, "s", words, self.version, present)

    def publish(self, *numbers: int) -> None:
        """One message each, of QoS 2 and 1 in turn."""
        for number in numbers:
            self.publisher >> f"PUBLISH t qos={1 + number % 2} id={number} {number}"

    def commit(self) -> None:
        self.store.commit()


@pytest.fixture(params=VERSIONS)
def kept(request: pytest.FixtureRequest) -> Kept:
    return Kept(request.param)


def heard(party: MqttParty) -> list[str]:
    """The PUBLISHes that came, without what marks a repetition."""
    return [packet.replace(" dup", "") for packet in party.rest() if packet.startswith("PUBLISH")]


def test_mqtt_4_6_0_1_what_comes_again_comes_in_the_order_of_the_first_time(kept: Kept) -> None:
    party = kept.connect(0) >> "SUBSCRIBE 1 t qos=2"
    kept.commit()
    party << "SUBACK 1 2"
    kept.publish(1, 2, 3, 4)
    first = heard(party)
    kept.commit()
    first += heard(party)
    assert [packet[-1] for packet in first] == ["1", "2", "3", "4"]
    party >> DROP
    party = kept.connect(1)
    again = heard(party)
    kept.commit()
    assert again + heard(party) == first


def test_mqtt_4_6_0_6_what_waited_comes_in_the_order_of_publication_whatever_its_qos(kept: Kept) -> None:
    party = kept.connect(0) >> "SUBSCRIBE 1 t qos=2"
    kept.commit()
    party << "SUBACK 1 2" >> DROP
    kept.publish(*range(1, 9))
    kept.commit()
    party = kept.connect(1)
    came = heard(party)
    kept.commit()
    came += heard(party)
    assert [packet[-1] for packet in came] == [str(number) for number in range(1, 9)]


def test_what_is_behind_a_delivery_that_waits_goes_with_it_and_not_before(kept: Kept) -> None:
    party = kept.connect(0) >> "SUBSCRIBE 1 t qos=2"
    kept.commit()
    party << "SUBACK 1 2"
    # 1 is of QoS 2, whose packet id is to be safe first; QoS 0 has no order with the others.
    kept.publish(1, 2)
    kept.publisher >> "PUBLISH t passing"
    party << "PUBLISH t passing"
    party.silent()
    kept.commit()
    party << "PUBLISH t qos=2 id=1 1" << "PUBLISH t qos=1 id=2 2"
    # Nothing waits any more: QoS 1 goes at once.
    kept.publish(4)
    party << "PUBLISH t qos=1 id=3 4"


def test_an_answer_that_waits_for_its_commit_does_not_hold_up_deliveries(kept: Kept) -> None:
    party = hears(client(kept.gw, "c", version=4), "t qos=1")
    party >> "PUBLISH $queue/q qos=1 id=9 mine"
    kept.publish(2)
    party << "PUBLISH t qos=1 id=1 2"
    party.silent()
    kept.commit()
    party << "PUBACK 9"
