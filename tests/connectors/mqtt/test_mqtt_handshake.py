"""gateway/connectors/mqtt/handshake.py: from CONNECT to CONNACK, and AUTH."""

import pytest
from mqtt_client import Client, World, because
from scram import METHOD, ScramAuthorizer, ScramClient

from gateway.connectors.base import Limits
from gateway.connectors.mqtt.settings import SERVER_MOVED, USE_ANOTHER, MqttSettings
from gateway.core.destination import TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.ports import Asker, Authorizer, Credentials
from protocols.mqtt.codec import PINGREQ, encode_packet, encode_publish
from protocols.mqtt.connecting import encode_connect
from protocols.mqtt.frames import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingresp,
    Puback,
    Pubrec,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from protocols.mqtt.properties import Properties, encode_properties


class LateAuthorizer(Authorizer):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.askers: list[Asker] = []
        self.credentials: list[Credentials] = []

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        self.credentials.append(credentials)
        self.askers.append(asker)


def late(version: int = 4) -> tuple[LateAuthorizer, World, Client]:
    authorizer = LateAuthorizer()
    world = World(authorizer=authorizer)
    return authorizer, world, Client(world, version)


# -- the answer comes later


def test_nothing_is_said_and_nothing_read_until_it_is_known_who_it_is() -> None:
    authorizer, _, client = late()
    client.raw(encode_connect(Connect("c", username="ann", password=b"pw")) + PINGREQ)
    assert client.received() == []
    assert client.connector.throttled
    assert (authorizer.credentials[0].user, authorizer.credentials[0].secret) == ("ann", b"pw")
    authorizer.askers[0].answer(True, "ann")
    # What was sent behind the CONNECT is done now.
    assert client.received() == [Connack(False, 0), Pingresp()]
    assert not client.connector.throttled
    assert client.connector.publisher.user == "ann"


@pytest.mark.parametrize(("version", "code"), [(4, 4), (5, 0x86)])
def test_wrong_password_is_4_or_0x86(version: int, code: int) -> None:
    authorizer, _, client = late(version)
    client.raw(encode_connect(Connect("c", protocol_version=version, username="ann")) + PINGREQ)
    authorizer.askers[0].answer(False, None)
    [connack] = client.received()
    assert isinstance(connack, Connack)
    assert connack.code == code
    assert client.connector.closing


def test_an_answer_to_a_connection_that_is_gone_changes_nothing() -> None:
    authorizer, world, client = late()
    client.send(Connect("c"))
    client.lose()
    authorizer.askers[0].answer(True, "ann")
    assert client.received() == []
    assert len(world.service.sessions) == 0


def test_connect_publish_disconnect_in_one_read_publishes() -> None:
    world = World()
    watcher = world.client("w").subscribe(("t", 0))
    watcher.received()
    client = Client(world)
    client.raw(
        encode_connect(Connect("c")) + encode_publish("t", b"x", 0, False, False, 0, None) + b"\xe0\x00"
    )
    # What comes behind a CONNECT is a step of its own.
    client.connector.go_on(world.now_ms)
    assert client.received() == [Connack(False, 0)]
    assert client.connector.closing
    assert len(watcher.publishes()) == 1


def test_a_session_of_a_verified_user_is_nobody_elses() -> None:
    authorizer, world, first = late(5)
    authorizer.verifies_names = True
    first.send(Connect("c", False, protocol_version=5))
    authorizer.askers[0].answer(True, "ann")
    first.received()
    second = Client(world, 5)
    second.send(Connect("c", False, protocol_version=5))
    authorizer.askers[1].answer(True, "bob")
    [connack] = second.received()
    assert isinstance(connack, Connack)
    assert connack.code == 0x87
    assert not first.connector.closing


# -- what is agreed on


def connack_of(client: Client) -> Connack:
    [connack] = client.received()
    assert isinstance(connack, Connack)
    return connack


@pytest.mark.parametrize(("redirect", "code"), [(USE_ANOTHER, 0x9C), (SERVER_MOVED, 0x9D)])
def test_4_11_clients_are_sent_to_another_server(redirect: str, code: int) -> None:
    world = World(MqttSettings(redirect=redirect, server_reference="other:1883"))
    connack = connack_of(world.client(version=5))
    assert connack.code == code
    assert connack.properties is not None
    assert connack.properties.server_reference == "other:1883"
    assert connack_of(world.client(version=4)).code == 3


def test_4_11_a_stop_names_the_other_server() -> None:
    world = World(MqttSettings(server_reference="other:1883"))
    client = world.client(version=5)
    client.received()
    client.connector.shutdown(world.now_ms)
    [disconnect] = client.received()
    assert isinstance(disconnect, Disconnect)
    assert disconnect.reason_code == 0x9C
    assert disconnect.properties is not None
    assert disconnect.properties.server_reference == "other:1883"


def test_3_2_2_3_15_response_information_for_who_asks() -> None:
    world = World(MqttSettings(response_information="reply/{client_id}/"))
    assert connack_of(world.client("a", 5)).properties == connack_of(world.client("b", 5)).properties
    asking = Properties()
    asking.request_response_information = 1
    properties = connack_of(world.client("c", 5, properties=asking)).properties
    assert properties is not None
    assert properties.response_information == "reply/c/"


@pytest.mark.parametrize("keep_alive_s", [0, 61])
def test_before_5_too_long_a_keep_alive_is_refused_with_2(keep_alive_s: int) -> None:
    world = World(MqttSettings(keep_alive_max_s=60))
    assert connack_of(world.client(keep_alive_s=keep_alive_s)).code == 2
    assert connack_of(world.client(keep_alive_s=60)).code == 0
    properties = connack_of(world.client(version=5, keep_alive_s=keep_alive_s)).properties
    assert properties is not None
    assert properties.server_keep_alive_s == 60


@pytest.mark.parametrize(("level", "name"), [(3, "3.1"), (4, "3.1.1"), (5, "5.0")])
def test_versions_are_accepted_by_configuration(level: int, name: str) -> None:
    others = tuple([v for v in ("3.1", "3.1.1", "5.0") if v != name])
    assert connack_of(World(MqttSettings(versions=(name,))).client(version=level)).code == 0
    refused = connack_of(World(MqttSettings(versions=others)).client(version=level))
    assert refused.code == (0x84 if level == 5 else 1)


def test_3_1_2_11_7_no_reason_strings_for_who_wants_none() -> None:
    quiet = Properties()
    quiet.request_problem_information = 0
    client = World().client(version=5, properties=quiet)
    client.received()
    assert client.subscribe(("a/#/b", 0)).received() == [Suback(1, [0x8F])]
    assert client.publish("$SYS/x", b"1", 1, 3).received() == [Puback(3, 0x87)]


def test_3_1_2_11_4_no_reason_string_that_does_not_fit() -> None:
    small = Properties()
    small.maximum_packet_size = 24
    client = World().client(version=5, properties=small)
    client.received()
    assert client.publish("$SYS/x", b"1", 1, 3).received() == [Puback(3, 0x87)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_3_3_2_3_2_a_payload_that_is_not_what_it_says(qos: int) -> None:
    world = World(MqttSettings(check_payload_format=True))
    watcher = world.client("w").subscribe(("t", 0))
    watcher.received()
    client = world.client(version=5)
    client.received()
    says_text = Properties()
    says_text.payload_format = 1
    client.publish("t", b"\xff", qos, 3 if qos else 0, properties=says_text)
    why = because("the payload is not the UTF-8 that it says it is")
    assert client.received() == [[], [Puback(3, 0x99, why)], [Pubrec(3, 0x99, why)]][qos]
    assert watcher.publishes() == []
    client.publish("t", b"yes", 0, properties=says_text)
    assert len(watcher.publishes()) == 1


def test_3_1_3_2_a_will_that_is_not_what_it_says_is_refused() -> None:
    says_text = Properties()
    says_text.payload_format = 1
    will = Will("t", b"\xff", 0, False, encode_properties(says_text))
    assert connack_of(World().client(version=5, will=will)).code == 0
    strict = World(MqttSettings(check_payload_format=True))
    assert connack_of(strict.client(version=5, will=will)).code == 0x99


@pytest.mark.parametrize("topic", ["t", "$queue/q"])
def test_what_is_checked_of_a_publish_is_checked_for_queues_too(topic: str) -> None:
    says_text = Properties()
    says_text.payload_format = 1
    world = World(MqttSettings(check_payload_format=True, retain_available=False))
    client = world.client(version=5)
    client.received()
    client.publish(topic, b"\xff", 1, 3, properties=says_text)
    assert client.received() == [Puback(3, 0x99, because("the payload is not the UTF-8 that it says it is"))]
    client.publish(topic, b"x", 1, 4, retain=True)
    [disconnect] = client.received()
    assert isinstance(disconnect, Disconnect)
    assert disconnect.reason_code == 0x9A
    assert "queue/q" not in world.broker.queues


# -- rules


class Mute(Authorizer):
    """Nobody but the client `may` sends to what is called `secret`."""

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        return "secret" not in destination.name or publisher.id == "may"


@pytest.mark.parametrize("topic", ["secret", "$queue/secret"])
@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, 0x87)])
def test_a_will_that_could_not_be_published_is_refused(topic: str, version: int, code: int) -> None:
    world = World(authorizer=Mute())
    will = Will(topic, b"x", 0, False, b"")
    client = world.client("c", version, will=will)
    assert connack_of(client).code == code
    assert client.connector.closing
    assert world.service.sessions.get("c") is None
    assert connack_of(world.client("may", version, will=will)).code == 0


class Rules(Authorizer):
    """`secret` is nobody's."""

    def __init__(self) -> None:
        super().__init__()
        self.restricts_receive = True

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        return "secret" not in destination.name

    def may_subscribe(self, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False) -> bool:
        return pattern.levels[0] != "secret"

    def may_receive(self, publisher: Publisher, destination: Destination) -> bool:
        return "hidden" not in destination.name


def test_not_authorized_5_is_0x87_per_packet_and_per_filter() -> None:
    client = World(authorizer=Rules()).client(version=5)
    client.received()
    why = because("not allowed to publish to 'secret'")
    assert client.publish("secret", b"x", 1, 1).received() == [Puback(1, 0x87, why)]
    assert client.publish("secret", b"x", 2, 2).received() == [Pubrec(2, 0x87, why)]
    assert client.publish("secret").received() == []
    suback = Suback(1, [0x87, 1], because("not authorized"))
    assert client.subscribe(("secret", 1), ("open", 1)).received() == [suback]
    assert not client.connector.closing


def test_not_authorized_3_is_acknowledged_and_thrown_away_or_the_end() -> None:
    world = World(authorizer=Rules())
    client = world.client()
    client.received()
    assert client.publish("secret", b"x", 1, 1).received() == [Puback(1)]
    assert client.publish("secret", b"x", 2, 2).received() == [Pubrec(2)]
    assert client.subscribe(("secret", 1)).received() == [Suback(1, [0x80])]
    assert world.broker.counters.discarded == 2
    strict = World(MqttSettings(publish_denied="disconnect"), authorizer=Rules()).client()
    strict.publish("secret", b"x", 1, 1)
    assert strict.connector.closing


def test_what_may_not_be_received_is_not_delivered_live_or_retained() -> None:
    world = World(authorizer=Rules())
    publisher = world.client("p")
    publisher.publish("a/hidden", b"old", 1, 1, retain=True)
    publisher.publish("a/open", b"old", 1, 2, retain=True)
    subscriber = world.client("s").subscribe(("a/#", 1), ("a/+", 0))
    assert [p.topic for p in subscriber.publishes()] == ["a/open", "a/open"]
    publisher.publish("a/hidden", b"new", 1, 3)
    publisher.publish("a/open", b"new", 1, 4)
    assert [p.topic for p in subscriber.publishes()] == ["a/open"]
    assert world.broker.authorizer.may_receive(publisher.connector.publisher, Destination(TOPIC, "a.open"))


# -- AUTH (§4.12), with SCRAM-SHA-256


def auth(code: int, data: bytes | None, method: str | None = METHOD) -> Auth:
    properties = Properties()
    properties.authentication_method = method
    properties.authentication_data = data
    return Auth(code, properties)


def scram_world() -> World:
    return World(authorizer=ScramAuthorizer({"ann": "pencil"}), limits=Limits(allow_anonymous=False))


def scram_connect(world: World, client: ScramClient, keep: bool = False) -> Client:
    connection = Client(world, 5)
    return connection.send(
        Connect("c", not keep, protocol_version=5, properties=auth(0, client.first()).properties)
    )


def authenticated() -> tuple[World, Client]:
    world = scram_world()
    scram = ScramClient("ann", "pencil")
    client = scram_connect(world, scram)
    [challenge] = client.received()
    assert isinstance(challenge, Auth)
    assert challenge.properties is not None
    client.send(auth(0x18, scram.final(challenge.properties.authentication_data or b"")))
    return world, client


def test_4_12_challenge_response_and_welcome() -> None:
    world, client = authenticated()
    connack = connack_of(client)
    assert connack.code == 0
    assert connack.properties is not None
    assert connack.properties.authentication_method == METHOD
    assert (connack.properties.authentication_data or b"").startswith(b"v=")
    assert client.connector.publisher.user == "ann"
    assert len(world.service.sessions) == 1


def test_4_12_wrong_proof_is_refused() -> None:
    scram = ScramClient("ann", "pen")
    client = scram_connect(scram_world(), scram)
    [challenge] = client.received()
    assert isinstance(challenge, Auth)
    assert challenge.reason_code == 0x18
    assert challenge.properties is not None
    client.send(auth(0x18, scram.final(challenge.properties.authentication_data or b"")))
    assert connack_of(client).code == 0x87
    assert client.connector.closing


def test_4_12_unknown_method_is_0x8c() -> None:
    client = Client(scram_world(), 5)
    client.send(Connect("c", protocol_version=5, properties=auth(0, b"", "GS2").properties))
    assert connack_of(client).code == 0x8C


@pytest.mark.parametrize(
    "packet",
    [
        auth(0x18, b"x", "other"),
        auth(0x18, None, None),
        auth(0x19, b"x"),
        Subscribe(1, [SubscriptionRequest("a", 0)]),
    ],
)
def test_4_12_0_nothing_else_may_come_before_the_connack(packet: Auth | Subscribe) -> None:
    client = scram_connect(scram_world(), ScramClient("ann", "pencil"))
    client.received()
    client.raw(encode_packet(packet, 5))
    assert connack_of(client).code == 0x82
    assert client.connector.closing


def test_4_12_who_never_answers_the_challenge_is_closed_after_the_connect_timeout() -> None:
    world = scram_world()
    client = scram_connect(world, ScramClient("ann", "pencil"))
    client.received()
    due_ms = client.connector.next_deadline_ms()
    assert due_ms == world.now_ms + 10_000
    client.connector.deadline(due_ms)
    assert connack_of(client).code == 0x87
    assert client.connector.closing


def test_4_12_disconnect_during_the_challenge_ends_it() -> None:
    world = scram_world()
    client = scram_connect(world, ScramClient("ann", "pencil"))
    client.received()
    client.send(Disconnect())
    assert client.received() == []
    assert client.connector.closing
    assert len(world.service.sessions) == 0


def test_4_12_1_reauthentication() -> None:
    _, client = authenticated()
    client.received()
    scram = ScramClient("ann", "pencil")
    client.send(auth(0x19, scram.first()))
    [challenge] = client.received()
    assert isinstance(challenge, Auth)
    assert challenge.reason_code == 0x18
    # Everything else goes on meanwhile.
    assert client.raw(PINGREQ).received() == [Pingresp()]
    assert challenge.properties is not None
    client.send(auth(0x18, scram.final(challenge.properties.authentication_data or b"")))
    [done] = client.received()
    assert isinstance(done, Auth)
    assert done.reason_code == 0
    assert not client.connector.closing


def test_4_12_1_failed_reauthentication_is_a_disconnect_with_0x87() -> None:
    _, client = authenticated()
    client.received()
    scram = ScramClient("ann", "wrong")
    client.send(auth(0x19, scram.first()))
    [challenge] = client.received()
    assert isinstance(challenge, Auth)
    assert challenge.properties is not None
    client.send(auth(0x18, scram.final(challenge.properties.authentication_data or b"")))
    assert client.received() == [Disconnect(0x87)]
    assert client.connector.closing
