"""The JSON of a large message: made a part at a time, once for all who want it."""

from typing import Final, final

from gateway.connectors.envelope import VARIANT, VARIANT_IDENTITY, members_of
from gateway.connectors.json_bodies import may_be_value
from gateway.connectors.long_bodies import LongBody
from gateway.core.message import Message
from protocols.gatewayjson.errors import JsonError
from protocols.gatewayjson.reading import JsonText
from protocols.json_writing import JsonWriting

_MARK: Final = b"\xef\xbb\xbf"


@final
class Judging:
    """Finds out what value a body's JSON text says, and whether it is written as that value is written here.

    Call `step` until it says that the body knows.
    """

    __slots__ = ("_at", "_long", "_reading", "_writing")

    def __init__(self, long: LongBody) -> None:
        self._long = long
        self._reading: JsonText | None = JsonText(long.body)
        self._writing: JsonWriting | None = None
        # So much of the body is as it is written here.
        self._at = 0

    def step(self) -> bool:
        """Go on for a moment; answers whether that was all."""
        reading = self._reading
        if reading is not None:
            return self._read(reading)
        writing = self._writing
        assert writing is not None
        long = self._long
        part = writing.step()
        if not long.body.startswith(part, self._at):
            return True
        self._at += len(part)
        if not writing.over:
            return False
        long.exact = self._at == len(long.body)
        return True

    def _read(self, reading: JsonText) -> bool:
        """What is none, or would be too much, is the text that it is; so is a text, and null: see `json_bodies`."""
        try:
            if not reading.step():
                return False
        except JsonError:
            return True
        value = reading.value
        if value is None or isinstance(value, str) or reading.halves or self._long.body.startswith(_MARK):
            return True
        self._long.value = value
        self._reading = None
        self._writing = JsonWriting(value)
        return False


@final
class JsonForm:
    """The envelope of a message (`members_of`): each part is made when somebody wants it, and once for all who do.

    The message remembers it, so it does not know the message: who wants a part says which it is.
    """

    __slots__ = ("_identity", "_judging", "_long", "_parts", "_writing", "over", "size")

    def __init__(self, identity: bool) -> None:
        self._identity = identity
        # Does the body say a JSON value?  Only then and until it is known.
        self._long: LongBody | None = None
        self._judging: Judging | None = None
        self._writing: JsonWriting | None = None
        self._parts: list[bytes] = []
        self.over = False
        """All of it is there."""
        self.size = 0
        """Bytes of what is there."""

    def has(self, at: int, message: Message) -> bool:
        """Is part number `at` there?  If it is still to be made, something is done for it."""
        if at >= len(self._parts) and not self.over:
            self._step(message)
        return at < len(self._parts)

    def part(self, at: int) -> bytes:
        """Part number `at`, which is there."""
        return self._parts[at]

    @property
    def count(self) -> int:
        """How many parts there are so far."""
        return len(self._parts)

    def _step(self, message: Message) -> None:
        writing = self._writing
        if writing is not None:
            part = writing.step()
            if part:
                self._parts.append(part)
                self.size += len(part)
            if writing.over:
                self.over = True
                self._writing = None
        elif self._judging is not None:
            if self._judging.step():
                self._judging = None
                self._begin(message)
        else:
            long = self._long = LongBody(message.origin.body())
            if may_be_value(long.body, message.fields()):
                self._judging = Judging(long)
            else:
                self._begin(message)

    def _begin(self, message: Message) -> None:
        self._writing = JsonWriting(members_of(message, self._identity, self._long))
        self._long = None


def json_form(message: Message, identity: bool) -> JsonForm:
    """That of a message of LONG bytes and more; `identity`: see `members_of`."""
    variant = VARIANT_IDENTITY if identity else VARIANT
    known = message.form(variant)
    if isinstance(known, JsonForm):
        return known
    form = JsonForm(identity)
    message.remember(variant, form)
    return form
