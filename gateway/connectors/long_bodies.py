"""A large body as a member of a JSON object that is written a part at a time: nothing is done with all of it in one go."""

from typing import final

from gateway.connectors.bodies import OBJECT_TYPE
from gateway.connectors.json_bodies import STRUCTURED, may_be_value, put_body
from gateway.core.message import NONE, OBJECT, TEXT, Fields
from protocols.json_writing import Base64, Ready, Utf8


@final
class LongBody:
    """What is written of a body a part at a time.  `body` is not to be looked at as a whole."""

    __slots__ = ("body", "exact", "value")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.value: object = None
        """The value that it is shown as; None for none."""
        self.exact = False
        """Its text is as that value is written here."""

    def put(self, members: dict[str, object], ext: dict[str, object], fields: Fields) -> None:
        """As `put_body`."""
        kind = fields.body_kind
        form = fields.body_form
        if kind == NONE or kind in STRUCTURED:
            put_body(members, ext, self.body, fields)
            return
        if kind != TEXT:
            members["body_b64"] = Base64(self.body)
            if kind == OBJECT and fields.content_type is None:
                members["content_type"] = OBJECT_TYPE
        elif self.value is not None:
            members["body"] = Ready(self.body) if self.exact else self.value
            if not self.exact:
                ext["text"] = Utf8(self.body)
            return
        else:
            members["body"] = Utf8(self.body)
            if may_be_value(self.body, fields):
                form = ""
        if form:
            ext["body"] = form
