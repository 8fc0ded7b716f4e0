"""What the chapters of both MQTT specifications need: clients that have connected, an end that is looked at, raw packets."""

from harness import DROP, Gateway, MqttParty

from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.ports import CONTINUE, GRANTED, REFUSED_STEP, Asker, Authorizer, Credentials, Exchange
from protocols.mqtt.properties import Properties
from protocols.mqtt.strings import encode_varint


def client(
    gw: Gateway, name: str, words: str = "", version: int = 5, present: int = 0, party: str = ""
) -> MqttParty:
    """A client of the id `name` that has just connected; `party` tells two connections of one id apart."""
    fresh = gw.mqtt(party or name, version)
    assert fresh.version == version
    fresh >> f"CONNECT {name} {words}" << f"CONNACK 0 present={present}"
    return fresh


def hears(party: MqttParty, *filters: str) -> MqttParty:
    """Subscribe `party` to each of `filters`, options included, in a SUBSCRIBE of its own; all are granted."""
    for filter in filters:
        granted = filter.split("qos=")[1][0] if "qos=" in filter else "0"
        party >> f"SUBSCRIBE 9 {filter}" << f"SUBACK 9 {granted}"
    return party


def ended(party: MqttParty) -> None:
    """The gateway has closed the connection and says nothing more; the socket is gone then."""
    assert party.closed
    party.silent()
    party >> DROP


def packet(first: int, body: bytes) -> bytes:
    """A packet from its first byte and what follows the remaining length."""
    return bytes((first,)) + encode_varint(len(body)) + body


def alive(gw: Gateway, *parties: MqttParty) -> None:
    """Nobody else has noticed anything: these parties are connected and answered."""
    for party in parties:
        assert not party.closed
        party >> "PINGREQ" << "PINGRESP"


def said(properties: Properties | None) -> Properties:
    """Properties that must be there."""
    assert properties is not None
    return properties


class Challenge(Exchange):
    """One question, and the answer that is expected; then perhaps some last words."""

    def __init__(self, user: str) -> None:
        super().__init__()
        self._expected = b"answer of " + user.encode()
        self._name = user

    def step(self, data: bytes | None) -> int:
        """See Exchange."""
        if data is None or data == b"hello":
            self.data = b"question"
            return CONTINUE
        if data != self._expected:
            self.data = None
            return REFUSED_STEP
        self.data = b"welcome"
        self.user = self._name
        return GRANTED


class Door(Authorizer):
    """Knows the method `CHALLENGE`, one password and the destinations that are forbidden."""

    def __init__(self, user: str = "u", secret: bytes = b"p", forbidden: str = "") -> None:
        super().__init__()
        self.user = user
        self.secret = secret
        self.forbidden = forbidden

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        """See Authorizer."""
        known = credentials.user is None or (
            credentials.user == self.user and credentials.secret == self.secret
        )
        asker.answer(known, credentials.user if known else None)

    def begin_exchange(self, method: str, credentials: Credentials) -> Exchange | None:
        """See Authorizer."""
        return Challenge(self.user) if method == "CHALLENGE" else None

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        """See Authorizer."""
        return not self.forbidden or destination.name != self.forbidden

    def may_subscribe(self, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False) -> bool:
        """See Authorizer."""
        return not self.forbidden or str(pattern) != self.forbidden
