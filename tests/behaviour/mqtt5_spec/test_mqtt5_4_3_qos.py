"""MQTT 5.0 §4.3 quality of service, §4.4 redelivery, §4.5 receipt and §4.6 ordering.

`test_4_3_3_4_…` is [MQTT-4.3.3-4]; `test_s_4_3_…` a sentence without a number.

Not tested:
  4.3.2-1, 4.3.3-1           unused identifiers: in §2 (2.2.1-4)
  4.5.0-2, 4.6.0-1 to -4     obligations of a client
"""

import pytest
from harness import DROP, Gateway
from mqtt_spec import Door, alive, client, ended, hears

from gateway.store.memory import HeldStore
from protocols.mqtt.frames import Publish


@pytest.fixture
def gw() -> Gateway:
    """A gateway."""
    return Gateway()


# -- QoS 0


def test_4_3_1_1_qos_0_is_sent_once_without_dup(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t")
    client(gw, "p") >> "PUBLISH t qos=2 dup id=1 x"
    party << "PUBLISH t x" >> DROP
    client(gw, "s", "clean=0", present=1).silent()


# -- acknowledgements of the wrong kind, or too early


@pytest.mark.parametrize(
    ("qos", "answers"),
    [
        (1, ["PUBREC 1"]),
        (1, ["PUBREC 1 0x87"]),
        (1, ["PUBCOMP 1"]),
        (2, ["PUBACK 1"]),
        (2, ["PUBACK 1 0x80"]),
        (2, ["PUBCOMP 1"]),
        (2, ["PUBREC 1", "PUBACK 1"]),
        (2, ["PUBREC 1", "PUBREC 1 0x80"]),
    ],
)
@pytest.mark.parametrize("version", [3, 4, 5])
def test_4_3_2_and_4_3_3_acknowledgement_out_of_turn_is_a_protocol_error(
    gw: Gateway, qos: int, answers: list[str], version: int
) -> None:
    if version != 5 and " 0x" in answers[-1]:
        answers = [*answers[:-1], answers[-1].split(" 0x")[0]]
        if answers[-1] == "PUBREC 1" and qos == 2:
            return
    other = client(gw, "p")
    words = "expiry=100 clean=0" if version == 5 else "clean=0"
    party = hears(client(gw, "s", words, version=version), f"t qos={qos}")
    other >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1"
    party << f"PUBLISH t qos={qos} id=1 x"
    for answer in answers:
        party.rest()
        party >> answer
    assert party.rest() == (["DISCONNECT 0x82"] if version == 5 else [])
    ended(party)
    alive(gw, other)
    # Nothing is lost for it: the exchange goes on where it was.
    again = client(gw, "s", words, version=version, present=0 if version == 3 else 1)
    again << ("PUBREL 1" if len(answers) == 2 else f"PUBLISH t qos={qos} dup id=1 x")


def test_4_3_3_what_nobody_waits_for_is_answered_as_before(gw: Gateway) -> None:
    for version in (4, 5):
        party = client(gw, "s", version=version)
        party >> "PUBACK 7" >> "PUBCOMP 7" >> "PUBREC 7" << ("PUBREL 7 0x92" if version == 5 else "PUBREL 7")
        party >> "PUBREL 7" << ("PUBCOMP 7 0x92" if version == 5 else "PUBCOMP 7")
        alive(gw, party)
        party >> DROP


def test_4_3_3_pubrec_that_comes_again_gets_its_pubrel_again(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> "PUBREC 1" << "PUBREL 1" >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"
    alive(gw, party)


@pytest.mark.parametrize(
    "other", ["PUBLISH t qos=2 id=1 y", "PUBLISH u qos=2 id=1 x", "PUBLISH t qos=1 id=1 x"]
)
def test_2_2_1_and_4_3_3_another_message_under_a_packet_id_in_use_is_0x91(gw: Gateway, other: str) -> None:
    watcher = hears(client(gw, "w"), "#")
    party = client(gw, "p") >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1"
    watcher << "PUBLISH t x"
    party >> other << ("PUBACK 1 0x91" if "qos=1" in other else "PUBREC 1 0x91")
    watcher.silent()
    # It knows now, and begins anew [MQTT-4.3.3-9].
    party >> other << ("PUBACK 1" if "qos=1" in other else "PUBREC 1")
    watcher << other.replace(" qos=2 id=1", "").replace(" qos=1 id=1", "")
    alive(gw, party)


@pytest.mark.parametrize("version", [3, 4])
def test_3_1_1_another_message_under_a_packet_id_in_use_ends_the_connection_once(
    gw: Gateway, version: int
) -> None:
    watcher = hears(client(gw, "w"), "#")
    party = client(gw, "p", "clean=0", version=version) >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1"
    watcher << "PUBLISH t x"
    ended(party >> "PUBLISH t qos=2 id=1 y")
    watcher.silent()
    party = client(gw, "p", "clean=0", version=version, present=0 if version == 3 else 1)
    party >> "PUBLISH t qos=2 id=1 y" << "PUBREC 1"
    watcher << "PUBLISH t y"


@pytest.mark.parametrize("dup", ["dup ", ""])
@pytest.mark.parametrize("version", [4, 5])
def test_4_3_3_10_the_same_message_again_is_no_other_with_or_without_dup(
    gw: Gateway, dup: str, version: int
) -> None:
    words = "expiry=100 clean=0" if version == 5 else "clean=0"
    watcher = hears(client(gw, "w"), "#")
    party = client(gw, "p", words, version=version) >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1"
    party >> f"PUBLISH t qos=2 {dup}id=1 x" << "PUBREC 1" >> DROP
    # mqtt.js sends it so.
    party = client(gw, "p", words, version=version, present=1)
    party >> f"PUBLISH t qos=2 {dup}id=1 x" << "PUBREC 1" >> "PUBREL 1" << "PUBCOMP 1"
    watcher << "PUBLISH t x"
    watcher.silent()


@pytest.mark.parametrize("dup", ["dup ", ""])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_4_3_3_10_the_same_message_again_is_no_other_in_a_session_that_ends_with_its_connection(
    gw: Gateway, dup: str, version: int
) -> None:
    watcher = hears(client(gw, "w"), "#")
    party = client(gw, "p", version=version)
    for _ in range(2):
        party >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1" >> f"PUBLISH t qos=2 {dup}id=1 x" << "PUBREC 1"
        party >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1" >> "PUBREL 1" << "PUBCOMP 1"
        watcher << "PUBLISH t x"
    watcher.silent()


def test_4_3_3_10_the_same_message_again_is_no_other_once_its_session_is_to_end(gw: Gateway) -> None:
    watcher = hears(client(gw, "w"), "#")
    party = client(gw, "p", "expiry=100 clean=0") >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1" >> DROP
    party = client(gw, "p", "clean=0", present=1)
    party >> "PUBLISH t qos=2 id=1 x" << "PUBREC 1"
    for _ in range(2):
        party >> "PUBLISH t qos=2 id=2 y" << "PUBREC 2"
    watcher << "PUBLISH t x" << "PUBLISH t y"
    watcher.silent()


# -- QoS 1


def test_4_3_2_2_first_delivery_is_without_dup(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=1")
    client(gw, "p") >> "PUBLISH t qos=1 dup id=1 x"
    party << "PUBLISH t qos=1 id=1 x"


def test_4_3_2_3_message_is_kept_until_the_puback(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t qos=1")
    client(gw, "p") >> "PUBLISH t qos=1 id=1 x"
    party << "PUBLISH t qos=1 id=1 x" >> DROP
    for _ in range(3):
        party = client(gw, "s", "clean=0 expiry=100", present=1) << "PUBLISH t qos=1 dup id=1 x" >> DROP
    party = (
        client(gw, "s", "clean=0 expiry=100", present=1) << "PUBLISH t qos=1 dup id=1 x" >> "PUBACK 1" >> DROP
    )
    client(gw, "s", "clean=0", present=1).silent()


def test_4_3_2_4_puback_comes_when_the_message_is_safe() -> None:
    store = HeldStore()
    gw = Gateway(store)
    hears(client(gw, "s", "expiry=100"), "t qos=1")
    party = client(gw, "p") >> "PUBLISH t qos=1 id=5 x"
    party.silent()
    gw.broker.on_durable(store.release())
    party << "PUBACK 5"


def test_4_3_2_5_same_identifier_after_the_puback_is_a_new_message(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t qos=1")
    party = client(gw, "p")
    for n, dup in enumerate(("", "dup ", "dup "), 1):
        party >> f"PUBLISH t qos=1 {dup}id=5 {n}" << "PUBACK 5"
        watcher << f"PUBLISH t qos=1 id={n} {n}"


# -- QoS 2, the gateway sends


def test_4_3_3_2_first_delivery_is_without_dup(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 dup id=1 x"
    party << "PUBLISH t qos=2 id=1 x"


def test_4_3_3_3_message_is_kept_until_the_pubrec(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> DROP
    client(gw, "s", "clean=0", present=1) << "PUBLISH t qos=2 dup id=1 x"


def test_4_3_3_4_pubrel_answers_a_pubrec(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> "PUBREC 1" << "PUBREL 1" >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"
    party.silent()


def test_4_3_3_4_no_pubrel_for_a_pubrec_that_refuses(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> "PUBREC 1 0x80"
    party.silent()
    party >> DROP
    client(gw, "s", "clean=0", present=1).silent()


def test_4_3_3_5_and_6_pubrel_is_repeated_and_the_publish_is_not(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x" >> "PUBREC 1" << "PUBREL 1" >> DROP
    for _ in range(2):
        party = client(gw, "s", "clean=0 expiry=100", present=1) << "PUBREL 1"
        party.silent()
        party >> DROP
    client(gw, "s", "clean=0 expiry=100", present=1) << "PUBREL 1" >> "PUBCOMP 1" >> DROP
    client(gw, "s", "clean=0", present=1).silent()


@pytest.mark.parametrize("qos", [1, 2])
def test_4_3_3_7_message_that_has_been_sent_does_not_expire(gw: Gateway, qos: int) -> None:
    party = hears(client(gw, "s", "expiry=100"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 life=5 x"
    party << f"PUBLISH t qos={qos} id=1 life=5 x" >> DROP
    gw.advance(10_000)
    party = client(gw, "s", "clean=0", present=1)
    got = party.take()
    assert isinstance(got, Publish)
    assert (got.packet_id, got.dup, got.payload()) == (1, True, b"x")
    if qos == 2:
        party >> "PUBREC 1" << "PUBREL 1" >> "PUBCOMP 1"


# -- QoS 2, the gateway receives


def test_4_3_3_8_pubrec_comes_when_the_message_is_safe() -> None:
    store = HeldStore()
    gw = Gateway(store)
    hears(client(gw, "s", "expiry=100"), "t qos=2")
    party = client(gw, "p") >> "PUBLISH t qos=2 id=5 x"
    party.silent()
    gw.broker.on_durable(store.release())
    party << "PUBREC 5"


def test_4_3_3_9_identifier_of_a_refused_publish_is_free() -> None:
    gw = Gateway(authorizer=Door(forbidden="no"))
    watcher = hears(client(gw, "s"), "#")
    party = client(gw, "p") >> "PUBLISH no qos=2 id=5 x" << "PUBREC 5 0x87" >> "PUBREL 5" << "PUBCOMP 5 0x92"
    party >> "PUBLISH no qos=2 id=5 x" << "PUBREC 5 0x87" >> "PUBLISH yes qos=2 id=5 y" << "PUBREC 5"
    watcher << "PUBLISH yes y"


def test_4_3_3_10_repeats_before_the_pubrel_are_acknowledged_and_not_published(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t qos=2")
    party = client(gw, "p")
    for dup in ("", "dup ", "dup ", ""):
        party >> f"PUBLISH t qos=2 {dup}id=5 x" << "PUBREC 5"
    party >> "PUBREL 5" << "PUBCOMP 5"
    watcher << "PUBLISH t qos=2 id=1 x"
    watcher.silent()


def test_4_3_3_11_and_12_pubcomp_answers_and_frees_the_identifier(gw: Gateway) -> None:
    watcher = hears(client(gw, "s"), "t")
    party = client(gw, "p")
    for n in range(3):
        party >> f"PUBLISH t qos=2 id=5 {n}" << "PUBREC 5" >> "PUBREL 5" << "PUBCOMP 5"
        watcher << f"PUBLISH t {n}"


def test_4_3_3_13_exchange_goes_on_when_the_message_has_expired(gw: Gateway) -> None:
    party = client(gw, "p") >> "PUBLISH t qos=2 id=5 life=1 retain x"
    assert party.rest()[0].startswith("PUBREC 5")
    gw.advance(5_000)
    party >> "PUBREL 5" << "PUBCOMP 5"


# -- 4.4: redelivery


def test_4_4_0_1_everything_unfinished_comes_again_in_its_order_and_nothing_else(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "a qos=1", "b qos=2")
    publisher = client(gw, "p")
    for n in range(1, 7):
        publisher >> f"PUBLISH {'ba'[n % 2]} qos=2 id={n} {n}"
    for n in range(1, 7):
        party << f"PUBLISH {'ba'[n % 2]} qos={2 - n % 2} id={n} {n}"
    party >> "PUBACK 1" >> "PUBREC 2" << "PUBREL 2" >> "PUBREC 4" << "PUBREL 4" >> "PUBCOMP 4" >> DROP
    publisher >> "PUBLISH a qos=2 id=7 7"
    party = client(gw, "s", "clean=0", present=1)
    assert party.rest() == [
        "PUBREL 2",
        "PUBLISH a qos=1 dup id=3 3",
        "PUBLISH a qos=1 dup id=5 5",
        "PUBLISH b qos=2 dup id=6 6",
        "PUBLISH a qos=1 id=7 7",
    ]


def test_4_4_0_1_nothing_is_sent_again_on_the_same_connection(gw: Gateway) -> None:
    party = hears(client(gw, "s"), "t qos=2")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << "PUBLISH t qos=2 id=1 x"
    gw.advance(3_600_000)
    party.silent()
    party >> "PUBREC 1" << "PUBREL 1"
    gw.advance(3_600_000)
    party.silent()


@pytest.mark.parametrize(("qos", "kind"), [(1, "PUBACK"), (2, "PUBREC")])
def test_4_4_0_2_message_that_the_client_refused_does_not_come_again(
    gw: Gateway, qos: int, kind: str
) -> None:
    party = hears(client(gw, "s", "expiry=100"), f"t qos={qos}")
    client(gw, "p") >> "PUBLISH t qos=2 id=1 x"
    party << f"PUBLISH t qos={qos} id=1 x" >> f"{kind} 1 0x97"
    party.silent()
    party >> DROP
    client(gw, "s", "clean=0", present=1).silent()


def test_s_4_4_what_comes_again_respects_a_smaller_receive_maximum(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100"), "t qos=1")
    publisher = client(gw, "p")
    for n in range(1, 5):
        publisher >> f"PUBLISH t qos=1 id={n} {n}"
    assert len(party.rest()) == 4
    party >> DROP
    party = client(gw, "s", "clean=0 recvmax=2", present=1)
    heard: list[str] = []
    for n in range(1, 5):
        heard += party.rest()
        assert len(heard) <= n + 1
        party >> f"PUBACK {n}"
    assert heard + party.rest() == [f"PUBLISH t qos=1 dup id={n} {n}" for n in range(1, 5)]


# -- 4.5: receipt


@pytest.mark.parametrize("qos", [1, 2])
def test_4_5_0_1_message_is_added_to_every_session_that_matches(gw: Gateway, qos: int) -> None:
    for name, filter in (("a", "x/y"), ("b", "x/+"), ("c", "#"), ("d", "x/z")):
        hears(client(gw, name, "expiry=100"), f"{filter} qos=2") >> DROP
    client(gw, "p") >> f"PUBLISH x/y qos={qos} id=1 m"
    for name in "abc":
        client(gw, name, "clean=0", present=1) << f"PUBLISH x/y qos={qos} id=1 m"
    client(gw, "d", "clean=0", present=1).silent()


# -- 4.6: order


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("window", [1, 3, 1_000])
def test_4_6_0_5_and_6_messages_of_a_topic_and_qos_come_in_order(gw: Gateway, qos: int, window: int) -> None:
    party = hears(client(gw, "s", f"recvmax={window}"), "+/t qos=2")
    one, two = client(gw, "one"), client(gw, "two")
    heard: list[str] = []
    for n in range(1, 41):
        publisher = one if n % 3 else two
        publisher >> (f"PUBLISH {n % 2}/t qos={qos} id={n} {n}" if qos else f"PUBLISH {n % 2}/t {n}")
    while batch := party.rest():
        heard += [text for text in batch if text.startswith("PUBLISH")]
        for text in batch:
            if text.startswith("PUBREL"):
                party >> f"PUBCOMP {text.split()[1]}"
            elif qos:
                number = text.split("id=")[1].split()[0]
                party >> (f"PUBACK {number}" if qos == 1 else f"PUBREC {number}")
    assert [int(text.split()[-1]) for text in heard] == list(range(1, 41))


def test_4_6_0_6_order_over_a_reconnection(gw: Gateway) -> None:
    party = hears(client(gw, "s", "expiry=100 recvmax=2"), "t qos=1")
    publisher = client(gw, "p")
    for n in range(1, 7):
        publisher >> f"PUBLISH t qos=1 id={n} {n}"
    (
        party
        << "PUBLISH t qos=1 id=1 1"
        << "PUBLISH t qos=1 id=2 2"
        >> "PUBACK 2"
        << "PUBLISH t qos=1 id=3 3"
        >> DROP
    )
    party = client(gw, "s", "clean=0 recvmax=9", present=1)
    assert [text.split()[-1] for text in party.rest()] == ["1", "3", "4", "5", "6"]
