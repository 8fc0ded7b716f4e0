"""The whole file, and what must fit between its sections."""

from pydantic import Field, field_validator, model_validator

from gateway.config.access import RuleSection, SecuritySection, UserSection
from gateway.config.broker import (
    AdminSection,
    CoreSection,
    GatewaySection,
    LogSection,
    QueuesSection,
    StoreSection,
)
from gateway.config.connector import DEFAULT_CONNECTORS, ConnectorSection
from gateway.config.pki import PkiSection
from gateway.config.protocols import MqttSection, StompSection
from gateway.config.section import Section
from gateway.config.web import HttpSection, WebSocketSection
from gateway.security.rules import ANONYMOUS


class Config(Section):
    """The whole file."""

    gateway: GatewaySection = GatewaySection()
    connector: tuple[ConnectorSection, ...] = Field(
        default_factory=lambda: tuple(ConnectorSection(**fields) for fields in DEFAULT_CONNECTORS)
    )
    core: CoreSection = CoreSection()
    queues: QueuesSection = QueuesSection()
    mqtt: MqttSection = MqttSection()
    stomp: StompSection = StompSection()
    websocket: WebSocketSection = WebSocketSection()
    http: HttpSection = HttpSection()
    security: SecuritySection = SecuritySection()
    user: tuple[UserSection, ...] = ()
    rule: tuple[RuleSection, ...] = ()
    store: StoreSection = StoreSection()
    log: LogSection = LogSection()
    admin: AdminSection = AdminSection()
    pki: PkiSection = PkiSection()

    @field_validator("connector")
    @classmethod
    def _names_differ(cls, connectors: tuple[ConnectorSection, ...]) -> tuple[ConnectorSection, ...]:
        names: set[str] = set()
        for connector in connectors:
            name = variable_name(connector.name)
            if name in names:
                raise ValueError(f"two connectors are named {connector.name!r}")
            names.add(name)
        return connectors

    @model_validator(mode="after")
    def _addresses_differ(self) -> "Config":
        places: dict[str, str] = {}
        wanted = [
            (f"connector[{one.name}]", one.path or _address(one.host, one.port)) for one in self.connector
        ]
        if self.admin.enabled:
            wanted.append(("admin", _address(self.admin.host, self.admin.port)))
        wanted.append(("pki", _address(self.pki.host, self.pki.port)))
        for who, place in wanted:
            if place and place in places:
                raise ValueError(f"{places[place]} and {who} would both listen on {place}")
            places[place] = who
        return self

    @field_validator("user")
    @classmethod
    def _users_differ(cls, users: tuple[UserSection, ...]) -> tuple[UserSection, ...]:
        names = [user.name for user in users]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two users are named {name!r}")
        return users

    @model_validator(mode="after")
    def _somebody_is_checked(self) -> "Config":
        for connector in self.connector:
            try:
                connector.anonymous(bool(self.user))
            except ValueError as error:
                raise ValueError(f"connector[{connector.name}].uri = {connector.uri!r}: {error}") from None
        for rule in self.rule:
            certified = any(connector.certified for connector in self.connector)
            if (rule.groups or set(rule.users) - {ANONYMOUS}) and not self.user and not certified:
                raise ValueError("a [[rule]] about users, and there is no [[user]]")
        return self


def _address(host: str, port: int) -> str:
    """Where something listens; empty for a port that the system chooses."""
    return f"{'127.0.0.1' if host == 'localhost' else host}:{port}" if port else ""


def variable_name(name: str) -> str:
    """A connector's name as a variable spells it."""
    return name.lower().replace("-", "_").replace(".", "_")
