"""Every protocol with one face: a party sends a `Say` to a queue, takes what is in one, and sends on what it took.

What it took is in its protocol's own form; `send_on` gives back every field and property that a client may set.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import http_client
import json_client
from pair_clients import Client, Pair, Pairs, Said

from gateway.core.message import Message

CODES = ("M31", "M3", "M5", "ST0", "ST1", "ST2", "JS", "HE", "HR")
"""HE is HTTP with whole envelopes, HR with bodies as they are."""

LOSES_METADATA = frozenset({"M31", "M3"})

_OF_A_DELIVERY = ("op", "sub", "tag", "receipt", "id", "to")


@dataclass
class Say:
    """What a party says first: MQTT and STOMP a `Said`, JSON and HTTP an envelope; raw HTTP its parts."""

    said: Said = field(default_factory=Said)
    envelope: dict[str, Any] = field(default_factory=dict)
    content_type: str | None = None


class Trip:
    """One broker behind all protocols."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.json = json_client.World(broker=self.pair.broker)
        self.http = http_client.World(broker=self.pair.broker)

    def party(self, code: str) -> "Party":
        """A client of that protocol."""
        if code == "JS":
            return JsonParty(self)
        if code in ("HE", "HR"):
            return HttpParty(self, code == "HE")
        return WireParty(self, code)

    def waiting(self, name: str) -> Message:
        """The message in a queue."""
        [delivery] = self.pair.broker.queue(name).browse()
        return delivery.message


class Party:
    """See the module."""

    def say(self, queue: str, say: Say) -> None:
        """Send it."""
        raise NotImplementedError

    def take(self, queue: str) -> Any:
        """Take what is in the queue, acknowledged."""
        raise NotImplementedError

    def send_on(self, queue: str, taken: Any) -> None:
        """Send it to another queue, all that a client can say of it."""
        raise NotImplementedError


class WireParty(Party):
    """MQTT or STOMP."""

    def __init__(self, trip: Trip, code: str) -> None:
        self._code = code
        self._client: Client = trip.pair.client(code)

    def _address(self, queue: str) -> str:
        return f"$queue/{queue}" if self._code.startswith("M") else f"/queue/{queue}"

    def say(self, queue: str, say: Say) -> None:
        """See Party."""
        self._client.publish(self._address(queue), say.said)
        assert self._client.heard() == []
        assert not self._client.connector.closing

    def take(self, queue: str) -> Said:
        """See Party."""
        self._client.subscribe(self._address(queue), 1)
        return self._client.one()

    def send_on(self, queue: str, taken: Said) -> None:
        """See Party."""
        self._client.echo(taken, self._address(queue))
        self._client.heard()
        assert not self._client.connector.closing


class JsonParty(Party):
    """gateway.json."""

    def __init__(self, trip: Trip) -> None:
        self._client = trip.json.client()

    def say(self, queue: str, say: Say) -> None:
        """See Party."""
        answers = self._client.op("publish", id=1, to=f"queue:{queue}", **say.envelope)
        assert answers == [{"op": "ok", "id": 1}]

    def take(self, queue: str) -> dict[str, Any]:
        """See Party."""
        answers = self._client.op("subscribe", sub=queue, from_=f"queue:{queue}")
        [found] = [answer for answer in answers if answer["op"] == "message"]
        return found

    def send_on(self, queue: str, taken: dict[str, Any]) -> None:
        """See Party."""
        envelope = {name: value for name, value in taken.items() if name not in _OF_A_DELIVERY}
        self.say(queue, Say(envelope=envelope))


class HttpParty(Party):
    """HTTP."""

    def __init__(self, trip: Trip, whole: bool) -> None:
        self._http = trip.http
        self._whole = whole

    def say(self, queue: str, say: Say) -> None:
        """See Party."""
        if self._whole:
            body = json.dumps(say.envelope).encode()
            self._post(queue, body, Content_Type="application/vnd.mx+json")
            return
        headers = {"X_Mx_Meta": json.dumps(say.envelope)}
        if say.content_type is not None:
            headers["Content_Type"] = say.content_type
        self._post(queue, say.said.body, **headers)

    def _post(self, queue: str, body: bytes, **headers: str) -> None:
        answer = self._http.once("POST", f"/queues/{queue}", body, **headers)
        assert (answer.status, answer.body) == (202, b"")

    def take(self, queue: str) -> http_client.Answer:
        """See Party."""
        accept = {"Accept": "application/vnd.mx+json"} if self._whole else {}
        answer = self._http.once("GET", f"/queues/{queue}?ack=auto", **accept)
        assert answer.status == 200
        return answer

    def send_on(self, queue: str, taken: http_client.Answer) -> None:
        """See Party."""
        if self._whole:
            [envelope] = json.loads(taken.body)
            self.say(queue, Say(envelope={n: v for n, v in envelope.items() if n not in _OF_A_DELIVERY}))
            return
        headers = {"X_Mx_Meta": taken.headers["x-mx-meta"], "Content_Type": taken.headers["content-type"]}
        if "content-encoding" in taken.headers:
            headers["Content_Encoding"] = taken.headers["content-encoding"]
        self._post(queue, taken.body, **headers)


def free(pairs: Pairs) -> Said:
    """What MQTT 5 or STOMP says in properties alone."""
    return Said(b"x", pairs)
