"""From CONNECT to CONNACK: who is the client, by password or by a challenge (MQTT 5.0 §4.12), and again later."""

from typing import TYPE_CHECKING, final

from gateway.core.ports import CONTINUE, GRANTED, Credentials, Exchange
from protocols.mqtt.constants import ReasonCode
from protocols.mqtt.frames import Auth, Connect
from protocols.mqtt.properties import Properties

if TYPE_CHECKING:
    from gateway.connectors.mqtt.connector import MqttConnector


@final
class Handshake:
    """One connection's authentication.  It stays for as long as the client may ask to be authenticated anew."""

    __slots__ = ("_connector", "_exchange", "_method", "connect", "properties")

    def __init__(self, connector: "MqttConnector", connect: Connect) -> None:
        self._connector = connector
        self.connect = connect
        self.properties = connect.properties or Properties()
        """Those of the CONNECT."""
        self._method = self.properties.authentication_method
        self._exchange: Exchange | None = None

    @property
    def under_way(self) -> bool:
        """Has a challenge been sent, so that nothing but AUTH may come before the CONNACK [MQTT-4.12.0-2]?"""
        return self._exchange is not None

    def begin(self) -> None:
        """Find out who it is; the connector's `identified` or `reauthenticated` gets the answer."""
        connector = self._connector
        method = self._method
        if method is not None:
            self._begin_exchange(method, self.properties.authentication_data)
            return
        connect = self.connect
        if (
            connect.username is None
            and connector.certificate_user is None
            and not connector.limits.allow_anonymous
        ):
            connector.refuse_connect(ReasonCode.NOT_AUTHORIZED, "anonymous clients are not allowed")
            return
        connector.ask(self._credentials())

    def _credentials(self) -> Credentials:
        connect = self.connect
        connector = self._connector
        return Credentials(
            connect.username,
            connect.password,
            connect.client_id,
            connector.peer,
            connector.certificate_user,
        )

    def on_auth(self, auth: Auth) -> None:
        """AUTH: the next step, or the wish to begin anew (§4.12.1)."""
        connector = self._connector
        properties = auth.properties or Properties()
        method = self._method
        if method is None or properties.authentication_method != method:
            # [MQTT-4.12.0-5], [MQTT-4.12.1-1]: the method of the CONNECT, in every AUTH.
            connector.fail(ReasonCode.PROTOCOL_ERROR, "AUTH without the authentication method of the CONNECT")
        elif auth.reason_code == ReasonCode.RE_AUTHENTICATE.value and not self.under_way:
            if connector.session is None:
                connector.fail(ReasonCode.PROTOCOL_ERROR, "re-authentication before the CONNACK")
            else:
                self._begin_exchange(method, properties.authentication_data)
        elif auth.reason_code == ReasonCode.CONTINUE_AUTHENTICATION.value and self.under_way:
            self._step(properties.authentication_data)
        else:
            connector.fail(ReasonCode.PROTOCOL_ERROR, "AUTH that nobody waits for")

    def _begin_exchange(self, method: str, data: bytes | None) -> None:
        connector = self._connector
        exchange = connector.broker.authorizer.begin_exchange(method, self._credentials())
        if exchange is None:
            connector.refuse_connect(ReasonCode.BAD_AUTHENTICATION_METHOD, "unknown authentication method")
            return
        self._exchange = exchange
        self._step(data)

    def _step(self, data: bytes | None) -> None:
        connector = self._connector
        exchange = self._exchange
        assert exchange is not None
        step = exchange.step(data)
        if step == CONTINUE:
            connector.challenge(self._answer(exchange))
            return
        self._exchange = None
        granted = step == GRANTED
        if connector.session is None:
            if granted:
                answer = self._answer(exchange)
                connector.welcome(exchange.user, answer)
            else:
                connector.refuse_connect(ReasonCode.NOT_AUTHORIZED, "authentication failed")
        elif granted and exchange.user == connector.publisher.user:
            connector.reauthenticated(self._answer(exchange))
        else:
            connector.fail(ReasonCode.NOT_AUTHORIZED, "re-authentication failed")

    def _answer(self, exchange: Exchange) -> Properties:
        """The method, in all that belongs to an exchange [MQTT-4.12.0-5], and this step's data."""
        answer = Properties()
        answer.authentication_method = self._method
        answer.authentication_data = exchange.data
        return answer
