"""SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: an example of what the Authorizer port carries."""

import base64
import hashlib
import hmac

from gateway.core.ports import CONTINUE, GRANTED, REFUSED_STEP, Asker, Authorizer, Credentials, Exchange

METHOD = "SCRAM-SHA-256"
ITERATIONS = 4096


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _fields(message: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in message.split(",") if "=" in part)


class ScramServer(Exchange):
    """The server's side: first message, proof."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self._passwords = passwords
        self._name = ""
        self._bare = ""
        self._challenge = ""
        self._nonce = ""

    def step(self, data: bytes | None) -> int:
        text = (data or b"").decode()
        if not self._bare:
            if not text.startswith("n,,"):
                return REFUSED_STEP
            self._bare = text[3:]
            fields = _fields(self._bare)
            self._name = fields["n"]
            self._nonce = fields["r"] + "server"
            salt = base64.b64encode(self._name.encode()).decode()
            self._challenge = f"r={self._nonce},s={salt},i={ITERATIONS}"
            self.data = self._challenge.encode()
            return CONTINUE
        return self._check(text)

    def _check(self, text: str) -> int:
        fields = _fields(text)
        password = self._passwords.get(self._name)
        if password is None or fields["r"] != self._nonce:
            return REFUSED_STEP
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self._name.encode(), ITERATIONS)
        stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        signed = f"{self._bare},{self._challenge},c=biws,r={self._nonce}".encode()
        key = _xor(base64.b64decode(fields["p"]), _hmac(stored, signed))
        if not hmac.compare_digest(hashlib.sha256(key).digest(), stored):
            return REFUSED_STEP
        self.user = self._name
        self.data = b"v=" + base64.b64encode(_hmac(_hmac(salted, b"Server Key"), signed))
        return GRANTED


class ScramClient:
    """The client's side."""

    def __init__(self, name: str, password: str) -> None:
        self._name = name
        self._password = password
        self._bare = f"n={name},r=client"

    def first(self) -> bytes:
        """client-first-message"""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """client-final-message"""
        text = challenge.decode()
        fields = _fields(text)
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        client_key = _hmac(salted, b"Client Key")
        signed = f"{self._bare},{text},c=biws,r={fields['r']}".encode()
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), signed))
        return f"c=biws,r={fields['r']},p={base64.b64encode(proof).decode()}".encode()


class ScramAuthorizer(Authorizer):
    """Knows one method and no passwords in the clear."""

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self._passwords = passwords

    def authenticate(self, credentials: Credentials, asker: Asker) -> None:
        asker.answer(False, None)

    def begin_exchange(self, method: str, credentials: Credentials) -> Exchange | None:
        return ScramServer(self._passwords) if method == METHOD else None
