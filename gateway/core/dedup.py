"""What a producer says twice under the same key is done once, within a window of count and time.

Of each key a digest is kept, what was said under it (a digest as well), and what became of it.  Where the store keeps
something of that, it keeps the key in the same commit: so whoever repeats after a crash what was not confirmed gets
exactly one message.  What is not stored is not remembered over a restart either.  Nothing here costs who gives no key.
"""

import struct
from collections import OrderedDict, deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, final

from gateway.core.chores import Chore
from gateway.core.flow import Publisher
from gateway.core.ports import NOTHING, Noted, Operation

if TYPE_CHECKING:
    from gateway.core.router import Broker

SPACE: Final = "core.dedup"
"""Notes: the digest of a key, as hex → what became of it."""

KEY_LENGTH_MAX: Final = 255
"""Characters of a key; producers use UUIDs."""

FORGOTTEN_AT_ONCE: Final = 64
"""Keys whose time has run out that are forgotten in one step."""

_NOTE: Final = struct.Struct(">QQ16s16s")
_DIGEST: Final = 16


class KeyReused(Exception):
    """The key was used for something else, or cannot be one; `str(error)` says so, fit for the client."""


SUMMED_AT_ONCE: Final = 262_144
"""Bytes of what is said under a key that are summed up in one step: 90 MB take a tenth of a second."""


@final
class Content:
    """Tells what is said under a key from all else: a digest, some of it at a time.  Call `step` until it says that it is
    there."""

    __slots__ = ("_at", "_hash", "_part", "digest", "parts")

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self._hash = blake2b(digest_size=_DIGEST)
        # The part that is next, and how much of it has been summed up.
        self._part = 0
        self._at = 0
        self.digest = b""

    def step(self) -> bool:
        """Go on for a moment; answers whether that was all."""
        room = SUMMED_AT_ONCE
        parts = self.parts
        while self._part < len(parts):
            if room <= 0:
                return False
            part = parts[self._part]
            if self._at == 0:
                # Each is told from the next.
                self._hash.update(len(part).to_bytes(8, "big"))
            end = min(self._at + room, len(part))
            self._hash.update(memoryview(part)[self._at : end])
            room -= end - self._at
            self._at = end
            if end == len(part):
                self._part += 1
                self._at = 0
        self.digest = self._hash.digest()
        return True

    def says(self, parts: list[bytes]) -> bool:
        """Is it of these?  Long ones are the same objects again, which nobody compares byte by byte."""
        return parts == self.parts


@final
class Once:
    """Something that is to be done once."""

    __slots__ = ("content", "messages", "name", "producer")

    def __init__(self, name: bytes, producer: bytes, content: bytes) -> None:
        self.name = name
        self.producer = producer
        self.content = content
        self.messages: list[int] = []
        """Numbers of the messages that are published for it."""


@final
class Done:
    """Something that was done."""

    __slots__ = ("at_ms", "content", "message", "position", "producer", "stored")

    def __init__(
        self, producer: bytes, content: bytes, at_ms: int, message: int, position: int, stored: bool
    ) -> None:
        self.producer = producer
        self.content = content
        self.at_ms = at_ms
        self.message = message
        """The number of the message that was published; 0 when it was none or several."""
        self.position = position
        """Wait for it before saying so."""
        self.stored = stored


@final
class Dedup(Chore):
    """See the module.  One a broker."""

    __slots__ = ("_broker", "_done", "_producers", "_under_way", "_working")

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        # In order of time.
        self._done: OrderedDict[bytes, Done] = OrderedDict()
        # The names of each producer's, in the same order.
        self._producers: dict[bytes, deque[bytes]] = {}
        # Of transactions that go on in later turns, each with the position to wait for.
        self._under_way: list[tuple[dict[bytes, Once], int]] = []
        self._working = False

    @property
    def count(self) -> int:
        """Keys that are remembered."""
        return len(self._done)

    def once(self, publisher: Publisher, key: str, content: bytes) -> Once:
        """What `publisher` says under `key`, and `content` (Content) tells from all else.  Raises KeyReused for no key.

        A producer is a user with its client id; one that gives neither is told apart by its address.
        """
        if not key or len(key) > KEY_LENGTH_MAX:
            raise KeyReused(f"a key has 1 to {KEY_LENGTH_MAX} characters")
        user = publisher.user
        who = [b"" if user is None else b"u" + _bytes(user), _bytes(publisher.client_id)]
        if user is None and not publisher.client_id:
            who.append(_bytes(publisher.address))
        producer = summed(who)
        return Once(summed([producer, _bytes(key)]), producer, content)

    def find(self, once: Once) -> Done | None:
        """What became of it, if it was done before.  Raises KeyReused when its key was used for something else."""
        # Under way comes first: the one that was done may be over its time.
        done = self._find_under_way(once.name) if self._under_way else None
        if done is None:
            done = self._done.get(once.name)
        if done is None or done.at_ms + self._broker.limits.dedup_window_ms <= self._broker.now_ms:
            return None
        if done.content != once.content:
            raise KeyReused("this key was used for something else")
        self._broker.counters.repeated += 1
        return done

    def _find_under_way(self, name: bytes) -> Done | None:
        for all_once, position in self._under_way:
            once = all_once.get(name)
            if once is not None:
                message = once.messages[0] if len(once.messages) == 1 else 0
                return Done(once.producer, once.content, self._broker.now_ms, message, position, False)
        return None

    def begun(self, all_once: dict[bytes, Once], position: int) -> None:
        """All of these will be done, and `position` makes them safe: until `ended`, to others they are done."""
        self._under_way.append((all_once, position))

    def ended(self, all_once: dict[bytes, Once]) -> None:
        """See `begun`."""
        self._under_way = [entry for entry in self._under_way if entry[0] is not all_once]

    def done(self, once: Once, position: int, stored: bool) -> int:
        """It is done, and `position` is to be waited for; to be called in one group with that (Store.begin).

        `stored`: it is persistent, so the store keeps the key too.  Returns the position to wait for.
        """
        self._forget(once.name)
        broker = self._broker
        limits = broker.limits
        names = self._producers.get(once.producer)
        if names is not None and len(names) >= limits.dedup_keys_per_producer_max:
            self._forget(names[0])
        if len(self._done) >= limits.dedup_keys_max:
            self._forget(next(iter(self._done)))
        message = once.messages[0] if len(once.messages) == 1 else 0
        done = Done(once.producer, once.content, broker.now_ms, message, position, stored)
        if stored:
            note = _NOTE.pack(done.at_ms, message, once.producer, once.content)
            noted = broker.store.append(Noted(SPACE, once.name.hex(), note))
            # Where its queue confirms at once, it does so with a key too.
            done.position = noted if position > NOTHING else position
        self._remember(once.name, done)
        return done.position

    def _remember(self, name: bytes, done: Done) -> None:
        self._done[name] = done
        names = self._producers.get(done.producer)
        if names is None:
            names = self._producers[done.producer] = deque()
        names.append(name)

    def _forget(self, name: bytes) -> None:
        """That key may be used anew."""
        done = self._done.pop(name, None)
        if done is None:
            return
        names = self._producers[done.producer]
        if names[0] == name:
            names.popleft()
        else:
            names.remove(name)
        if not names:
            del self._producers[done.producer]
        if done.stored:
            self._broker.store.append(Noted(SPACE, name.hex(), None))

    def look(self, now_ms: int) -> None:
        """Forget the keys whose time has run out, in this turn of the loop or later ones; called about once a second."""
        if not self._working and self._is_due(now_ms):
            self._working = True
            self._broker.chores.add(self)

    def _is_due(self, now_ms: int) -> bool:
        if not self._done:
            return False
        first = next(iter(self._done.values()))
        return first.at_ms + self._broker.limits.dedup_window_ms <= now_ms

    def go_on(self) -> bool:
        """See Chore."""
        now_ms = self._broker.now_ms
        # Not only at the end: were a step to fail, the next look would begin anew.
        self._working = False
        for _ in range(FORGOTTEN_AT_ONCE):
            if not self._is_due(now_ms):
                return False
            self._forget(next(iter(self._done)))
        self._working = True
        return True

    def on_refused(self, operation: Operation) -> None:
        """The store could not keep this: what was said under that key is not done."""
        if isinstance(operation, Noted) and operation.space == SPACE and operation.value is not None:
            self._forget(bytes.fromhex(operation.key))

    def recover(self, notes: dict[str, bytes]) -> None:
        """Begin with what an earlier run has noted."""
        found: list[tuple[int, bytes, Done]] = []
        for key, value in notes.items():
            try:
                name = bytes.fromhex(key)
                at_ms, message, producer, content = _NOTE.unpack(value)
            except (ValueError, struct.error) as error:
                self._broker.aside.note(SPACE, key, value, error)
                continue
            found.append((at_ms, name, Done(producer, content, at_ms, message, NOTHING, True)))
        found.sort(key=_at_ms)
        for _, name, done in found:
            self._remember(name, done)
            names = self._producers[done.producer]
            # There may be a lower limit now than in the run that noted them.
            if len(names) > self._broker.limits.dedup_keys_per_producer_max:
                self._forget(names[0])
        while len(self._done) > self._broker.limits.dedup_keys_max:
            self._forget(next(iter(self._done)))


def _at_ms(entry: tuple[int, bytes, Done]) -> int:
    return entry[0]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def summed(parts: list[bytes]) -> bytes:
    """Of some short ones."""
    content = Content(parts)
    while not content.step():
        pass
    return content.digest
