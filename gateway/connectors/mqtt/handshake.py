"""From CONNECT to CONNACK: who is the client (by password, or by a challenge, MQTT 5.0 §4.12), and what is agreed on."""

import secrets
from typing import TYPE_CHECKING, final

from gateway.connectors.base import shown
from gateway.connectors.mqtt.addresses import destination_of
from gateway.connectors.mqtt.publishing import reason_for
from gateway.connectors.mqtt.settings import NEVER, NO_REDIRECT, SERVER_MOVED
from gateway.connectors.mqtt.wills import WillMessage, claims_of
from gateway.connectors.text import is_utf8
from gateway.core.destination import InvalidName
from gateway.core.flow import Publisher
from gateway.core.ports import CONTINUE, GRANTED, Credentials, Exchange
from gateway.core.router import LimitReached
from protocols.mqtt.constants import VERSION_5, ReasonCode
from protocols.mqtt.frames import Auth, Connect
from protocols.mqtt.properties import Properties, decode_properties

if TYPE_CHECKING:
    from gateway.connectors.mqtt.connector import MqttConnector


@final
class Handshake:
    """One connection's.  It stays after the CONNACK, for a client that wants to be authenticated anew (§4.12.1)."""

    __slots__ = ("_connector", "_exchange", "_method", "connect", "properties")

    def __init__(self, connector: "MqttConnector", connect: Connect) -> None:
        self._connector = connector
        self.connect = connect
        self.properties = connect.properties or Properties()
        """Those of the CONNECT."""
        self._method = self.properties.authentication_method
        self._exchange: Exchange | None = None

    # -- who is it?

    def begin(self) -> None:
        """Look at the CONNECT, and ask who it is; `welcome` or `refuse` follows, perhaps later."""
        connector = self._connector
        settings = connector.settings
        if settings.redirect != NO_REDIRECT:
            moved = settings.redirect == SERVER_MOVED
            self.refuse(
                ReasonCode.SERVER_MOVED if moved else ReasonCode.USE_ANOTHER_SERVER,
                f"connect to {settings.server_reference}",
            )
            return
        connect = self.connect
        if self._method is not None:
            self._begin_exchange(self._method, self.properties.authentication_data)
        elif (
            connect.username is None
            and connector.certificate_user is None
            and not connector.limits.allow_anonymous
        ):
            self.refuse(ReasonCode.NOT_AUTHORIZED, "anonymous clients are not allowed")
        else:
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

    # -- enhanced authentication

    def on_auth(self, auth: Auth) -> None:
        """AUTH: the next step, or the wish to begin anew (§4.12.1)."""
        connector = self._connector
        properties = auth.properties or Properties()
        method = self._method
        under_way = self._exchange is not None
        if method is None or properties.authentication_method != method:
            # [MQTT-4.12.0-5], [MQTT-4.12.1-1]: the method of the CONNECT, in every AUTH.
            connector.fail(ReasonCode.PROTOCOL_ERROR, "AUTH without the authentication method of the CONNECT")
        elif auth.reason_code == ReasonCode.RE_AUTHENTICATE.value and not under_way:
            self._begin_exchange(method, properties.authentication_data)
        elif auth.reason_code == ReasonCode.CONTINUE_AUTHENTICATION.value and under_way:
            self._step(properties.authentication_data)
        else:
            connector.fail(ReasonCode.PROTOCOL_ERROR, "AUTH that nobody waits for")

    def _begin_exchange(self, method: str, data: bytes | None) -> None:
        exchange = self._connector.broker.authorizer.begin_exchange(method, self._credentials())
        if exchange is None:
            self.refuse(ReasonCode.BAD_AUTHENTICATION_METHOD, "unknown authentication method")
            return
        self._exchange = exchange
        self._step(data)

    def _step(self, data: bytes | None) -> None:
        connector = self._connector
        exchange = self._exchange
        assert exchange is not None
        step = exchange.step(data)
        # The method belongs into all that is part of an exchange [MQTT-4.12.0-5].
        answer = Properties()
        answer.authentication_method = self._method
        answer.authentication_data = exchange.data
        if step == CONTINUE:
            if not connector.send_auth(ReasonCode.CONTINUE_AUTHENTICATION, answer):
                self._refuse_small()
            return
        self._exchange = None
        again = connector.session is not None
        nobody = exchange.user is None and not connector.limits.allow_anonymous
        if step != GRANTED or nobody or (again and exchange.user != connector.publisher.user):
            self.refuse(ReasonCode.NOT_AUTHORIZED, "authentication failed")
        elif again:
            if not connector.send_auth(ReasonCode.SUCCESS, answer):
                self._refuse_small()
        else:
            self.welcome(exchange.user, answer)

    # -- what is agreed on

    def welcome(self, user: str | None, answer: Properties) -> None:
        """The client is `user`: open its session and say so.  `answer` is what the CONNACK already has to say."""
        connect = self.connect
        connector = self._connector
        will = None if connect.will is None else WillMessage(connect.will, connect.protocol_version)
        client_id = connect.client_id
        # Who is refused from here on is known, and named in the log.
        connector.publisher.user = user
        connector.publisher.client_id = client_id
        if not self._keep_alive_allowed():
            return
        if not client_id:
            if connect.protocol_version != VERSION_5 and not connect.clean_start:
                # MQTT 3.1.1 [MQTT-3.1.3-8]: return code 2.
                self.refuse(
                    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "an empty client id needs a clean session"
                )
                return
            client_id = "auto-" + secrets.token_hex(12)
            answer.assigned_client_id = client_id
        if not connector.sessions.belongs_to(client_id, user):
            self.refuse(ReasonCode.NOT_AUTHORIZED, "the client id is another user's")
            return
        if will is not None and not self._will_allowed(client_id, user):
            return
        expiry_s = self._agree(client_id, answer)
        if not connector.takes_connack(answer):
            self._refuse_small()
            return
        try:
            session, present = connector.sessions.open(
                client_id, connect.clean_start, will, connector.broker.now_ms, connector.publisher
            )
        except LimitReached as error:
            connector.counters.limit_hits += 1
            self.refuse(ReasonCode.QUOTA_EXCEEDED, str(error))
            return
        session.publisher.user = user
        session.expiry_s = expiry_s
        connector.adopt(session, self.properties)
        connector.send_connack(present, answer)
        session.resume()

    def _keep_alive_allowed(self) -> bool:
        """Before MQTT 5 a client cannot be told a shorter keep-alive: it is refused, as Mosquitto does."""
        connect = self.connect
        if connect.protocol_version == VERSION_5 or not self._keep_alive_too_long():
            return True
        maximum_s = self._connector.settings.keep_alive_max_s
        self.refuse(
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, f"the keep-alive must be at most {maximum_s} s, and not 0"
        )
        return False

    def _keep_alive_too_long(self) -> bool:
        """None at all (0) is the longest."""
        maximum_s = self._connector.settings.keep_alive_max_s
        asked_s = self.connect.keep_alive_s
        return maximum_s != 0 and (asked_s == 0 or asked_s > maximum_s)

    def _will_allowed(self, client_id: str, user: str | None) -> bool:
        """A will that could not be published is refused now, while somebody is there to hear it."""
        will = self.connect.will
        assert will is not None
        authorizer = self._connector.broker.authorizer
        publisher = Publisher(client_id, None)
        publisher.client_id = client_id
        publisher.user = user
        if not authorizer.may_claim(publisher, claims_of(will)):
            self.refuse(ReasonCode.NOT_AUTHORIZED, "the will claims to be from another user")
            return False
        settings = self._connector.settings
        if will.qos > settings.qos_max:
            self.refuse(ReasonCode.QOS_NOT_SUPPORTED, "the will's QoS is above the maximum")
            return False
        if will.retain and not settings.retain_available:
            self.refuse(
                ReasonCode.RETAIN_NOT_SUPPORTED,
                "retained messages are not available, and its will would be one",
            )
            return False
        says_text = bool(will.properties) and decode_properties(will.properties).payload_format == 1
        if settings.check_payload_format and says_text and not is_utf8(will.payload):
            self.refuse(ReasonCode.PAYLOAD_FORMAT_INVALID, "the will is not the UTF-8 that it says it is")
            return False
        try:
            destination = destination_of(will.topic)
        except InvalidName as error:
            self.refuse(reason_for(error), f"its will: {error}")
            return False
        if not authorizer.may_publish(publisher, destination):
            self.refuse(ReasonCode.NOT_AUTHORIZED, f"not allowed to publish its will to {shown(will.topic)}")
            return False
        return True

    def _agree(self, client_id: str, answer: Properties) -> int:
        """What the client must know of our limits (§3.2.2.3).  Returns its session expiry in seconds."""
        connector = self._connector
        settings = connector.settings
        expiry_s = self._session_expiry(answer)
        if self._keep_alive_too_long():
            answer.server_keep_alive_s = settings.keep_alive_max_s
        answer.receive_maximum = settings.receive_maximum
        answer.maximum_packet_size = connector.limits.max_frame_size
        answer.topic_alias_maximum = settings.topic_alias_maximum
        if settings.qos_max < 2:
            answer.maximum_qos = settings.qos_max
        if not settings.retain_available:
            answer.retain_available = 0
        if settings.response_information and self.properties.request_response_information == 1:
            answer.response_information = settings.response_information.replace("{client_id}", client_id)
        return expiry_s

    def _session_expiry(self, answer: Properties) -> int:
        """Seconds the session is kept without a connection; in 3.1.1 for good or not at all."""
        if self.connect.protocol_version == VERSION_5:
            asked = self.properties.session_expiry_s or 0
        else:
            asked = 0 if self.connect.clean_start else NEVER
        granted = min(asked, self._connector.settings.session_expiry_max_s)
        if granted != asked:
            answer.session_expiry_s = granted
        return granted

    def _refuse_small(self) -> None:
        """What the client has to be told is more than it takes [MQTT-3.1.2-24]."""
        self.refuse(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, "its Maximum Packet Size is too small")

    def refuse(self, reason: ReasonCode, why: str) -> None:
        """CONNACK with a failure, then the end; once there was a CONNACK, DISCONNECT."""
        connector = self._connector
        if connector.session is not None:
            connector.fail(reason, why)
            return
        if not connector.known:
            connector.turn_away(self.connect.username, self.connect.client_id, why)
        connector.refuse_connect(reason, why)
