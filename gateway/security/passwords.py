"""Passwords: hashed with argon2id, checked on threads of their own, since one check costs a good part of a second's tenth.

The core's thread never hashes: it hands a check in and hears the answer in a later turn of its loop.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

SECRET_BYTES_MAX: Final = 4_096
"""A longer password is refused unhashed."""

MEMORY_KIB_MAX: Final = 1_048_576
PASSES_MAX: Final = 100
LANES_MAX: Final = 64
"""What one check of a password may cost: a hash that asks for more would let nobody in, or keep a thread for minutes."""

_hasher: Final = PasswordHasher()


def hash_password(password: str) -> str:
    """The argon2id hash of `password`, salt and costs included: what `hash` of a [[user]] holds."""
    return _hasher.hash(password)


def is_hash(text: str) -> bool:
    """Is it an argon2id hash that can be checked, at a price that a login may have?"""
    try:
        costs = extract_parameters(text)
    except InvalidHashError:
        return False
    dear = costs.memory_cost > MEMORY_KIB_MAX or costs.time_cost > PASSES_MAX or costs.parallelism > LANES_MAX
    # RFC 9106 §3.1: at least one pass, and eight KiB for each lane.
    cheap = costs.time_cost < 1 or costs.parallelism < 1 or costs.memory_cost < 8 * costs.parallelism
    return text.startswith("$argon2id$") and not dear and not cheap


def verify(hash: str, secret: bytes) -> bool:
    """Does `secret` have this hash?  Takes as long for a wrong one as for a right one."""
    try:
        return _hasher.verify(hash, secret)
    except (VerificationError, InvalidHashError):
        return False


@final
class PasswordChecks:
    """Checks under way, and what is remembered of those that succeeded.

    A client that comes back with the same password is known by a keyed digest of it; the key dies with the process.
    """

    def __init__(self, post: Callable[[Callable[[], None]], object], threads: int, pending_max: int) -> None:
        self._post = post
        """Runs a callable in the core's thread, in a later turn; may be called from any thread."""
        self._pool = ThreadPoolExecutor(threads, "password")
        self._pending = 0
        self._pending_max = pending_max
        self._key = secrets.token_bytes(32)
        self._known: dict[str, tuple[str, bytes]] = {}
        # What an unknown name is checked against, so that its refusal takes as long.
        self._nobody = hash_password(secrets.token_hex(16))

    def check(self, name: str, hash: str | None, secret: bytes, answer: Callable[[bool], None]) -> None:
        """Call `answer` with whether `secret` is the password of `name`: at once, or from a later turn.

        `hash` None stands for a name that is not known.  Above `pending_max` the answer is no.
        """
        if len(secret) > SECRET_BYTES_MAX or self._pending >= self._pending_max:
            answer(False)
            return
        digest = hmac.new(self._key, secret, hashlib.sha256).digest()
        known = self._known.get(name)
        if known is not None and known[0] == hash and hmac.compare_digest(known[1], digest):
            answer(True)
            return
        self._pending += 1

        answered = False

        def done(right: bool) -> None:
            nonlocal answered
            if answered:
                return
            answered = True
            self._pending -= 1
            if right and hash is not None:
                self._known[name] = (hash, digest)
            answer(right)

        def work() -> None:
            right = verify(hash or self._nobody, secret) and hash is not None
            self._post(lambda: done(right))

        try:
            self._pool.submit(work)
        except RuntimeError:
            # No further thread can be started.  An earlier one may still come to it, but nobody is to wait for that.
            done(False)

    def close(self) -> None:
        """Take no more; checks under way are not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
