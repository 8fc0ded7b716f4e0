"""What requests in several of these files say, and an Authorizer that knows one user."""

import base64

from gateway.core.destination import Destination
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern
from gateway.core.ports import Asker, Authorizer, Credentials

ENVELOPE = "application/vnd.mx+json"
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


class Rules(Authorizer):
    """`u` with `p` may come, and touch nothing called `secret`; the answer may be held back."""

    def __init__(self, at_once: bool = True) -> None:
        super().__init__()
        self.at_once = at_once
        self.asked: list[tuple[Credentials, Asker]] = []

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        self.asked.append((credentials, asker))
        if self.at_once:
            user = "t" if credentials.secret == b"token" else credentials.user
            asker.answer(credentials.secret in (b"p", b"token", None), user)

    def may_publish(self, publisher: Publisher, destination: Destination) -> bool:
        return "secret" not in destination.name

    def may_subscribe(self, publisher: Publisher, kind: int, pattern: Pattern, whole: bool = False) -> bool:
        return "secret" not in pattern.levels
