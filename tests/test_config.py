"""The configuration: what may be written, what is said about what may not, and that the shipped file is complete."""

import asyncio
import dataclasses
import tomllib
from pathlib import Path

import pytest

from gateway.app import Gateway, http_settings, json_settings
from gateway.config import OPTIONS, Config, ConfigError, ConnectorSection, load
from gateway.config.section import NUMBER_MAX
from gateway.connectors.base import Limits
from gateway.connectors.http.settings import HttpSettings
from gateway.connectors.mqtt.settings import MqttSettings
from gateway.connectors.side import CARRY_AUTO, CARRY_FULL
from gateway.connectors.stomp.settings import StompSettings
from gateway.connectors.websocket.settings import JsonSettings
from gateway.core.limits import CoreLimits, QueuePolicy

SHIPPED = Path(__file__).parent.parent / "conf" / "gateway.toml"


def _load(tmp_path: Path, text: str, **environment: str) -> Config:
    path = tmp_path / "g.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    return load(path, environment)


def _problems(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text, **environment)
    return "\n".join(caught.value.problems)


def test_shipped_file_has_every_key_with_its_default() -> None:
    data = tomllib.loads(SHIPPED.read_text())
    for name, field in Config.model_fields.items():
        if name in ("connector", "user", "rule"):
            continue
        section = field.get_default()
        assert data[name] == section.model_dump(mode="json"), name


def test_shipped_file_names_every_option_of_a_connector_with_its_default() -> None:
    text = SHIPPED.read_text()
    defaults = Limits()
    for option, (field, _, _) in OPTIONS.items():
        assert f"#   {option}={getattr(defaults, field)} " in text
    assert "#   slowConsumer=drop-oldest" in text


def test_shipped_file_is_valid_and_on_loopback() -> None:
    config = load(SHIPPED, {})
    assert [(c.name, c.scheme, c.host, c.port) for c in config.connector] == [
        ("mqtt", "mqtt", "127.0.0.1", 1883),
        ("stomp", "stomp", "127.0.0.1", 61613),
        ("ws", "ws", "127.0.0.1", 61614),
    ]


def test_no_file_gives_the_defaults() -> None:
    config = load(None, {})
    assert [c.uri for c in config.connector] == [
        "mqtt://127.0.0.1:1883",
        "stomp://127.0.0.1:61613",
        "ws://127.0.0.1:61614",
    ]


def test_options_of_the_uri_become_limits(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        """[[connector]]
        name = "m"
        uri = "mqtt://127.0.0.1:0?maximumConnections=7&wireFormat.maxFrameSize=1000&slowConsumer=disconnect"
        """,
    )
    limits = config.connector[0].limits()
    assert (limits.maximum_connections, limits.max_frame_size, limits.slow_consumer) == (
        7,
        1000,
        "disconnect",
    )
    assert config.connector[0].port == 0


def test_prefixes_of_options_may_be_left_out_or_stand_before_any(tmp_path: Path) -> None:
    text = CONNECTOR.format(
        "mqtt://127.0.0.1?maxFrameSize=100&transport.connectTimeout=7&wireFormat.byteRate=9"
    )
    section = _load(tmp_path, text).connector[0]
    limits = section.limits()
    assert (limits.max_frame_size, limits.connect_timeout_ms, limits.byte_rate) == (100, 7, 9)
    assert section.port == 1883


def test_every_limit_but_anonymous_access_is_an_option() -> None:
    fields = {field for field, _, _ in OPTIONS.values()}
    fields |= {"slow_consumer", "allow_anonymous", "carry", "publish_identity"}
    assert fields == {field.name for field in dataclasses.fields(Limits)}


def test_what_travels_beside_a_message_is_an_option(tmp_path: Path) -> None:
    text = CONNECTOR.format("stomp://127.0.0.1:1?carry=full&publishIdentity=true")
    limits = _load(tmp_path, text).connector[0].limits()
    assert (limits.carry, limits.publish_identity) == (CARRY_FULL, True)
    limits = _load(tmp_path, CONNECTOR.format("mqtt://127.0.0.1:1")).connector[0].limits()
    assert (limits.carry, limits.publish_identity) == (CARRY_AUTO, False)


@pytest.mark.parametrize(
    ("scheme", "policy"), [("mqtt", "drop-oldest"), ("stomp", "block"), ("ws", "drop-oldest")]
)
def test_slow_consumers_are_treated_as_each_protocols_users_expect(
    tmp_path: Path, scheme: str, policy: str
) -> None:
    text = CONNECTOR.format(f"{scheme}://127.0.0.1:1")
    assert _load(tmp_path, text).connector[0].limits().slow_consumer == policy


def test_defaults_of_websocket_and_http_are_those_of_the_rooms() -> None:
    config = Config()
    assert http_settings(config) == HttpSettings()
    assert json_settings(config) == JsonSettings()


def test_messages_carried_by_websocket_are_treated_as_their_protocols_are() -> None:
    section = ConnectorSection(name="w", uri="ws://127.0.0.1:0?maximumConnections=7")
    # Pages mostly look on.
    assert section.limits().slow_consumer == "drop-oldest"
    assert section.limits("json").slow_consumer == "drop-oldest"
    assert section.limits("stomp").slow_consumer == "block"
    assert section.limits("mqtt").slow_consumer == "drop-oldest"
    assert section.limits("mqtt").maximum_connections == 7


def test_how_long_a_slow_reader_may_make_others_wait_is_a_connectors_option() -> None:
    section = ConnectorSection(name="w", uri="stomp://127.0.0.1:0?slowConsumerTimeout=250")
    assert section.limits().slow_consumer_timeout_ms == 250


@pytest.mark.parametrize(
    ("section", "record"),
    [
        ("core", CoreLimits()),
        ("queues", QueuePolicy(dead_letters="DLQ")),
        ("mqtt", MqttSettings()),
        ("stomp", StompSettings()),
    ],
)
def test_defaults_are_those_of_the_rooms(section: str, record: object) -> None:
    made = type(record)(**getattr(Config(), section).model_dump())
    names = sorted(type(record).__annotations__)
    assert names
    assert {name: getattr(made, name) for name in names} == {name: getattr(record, name) for name in names}


CONNECTOR = '[[connector]]\nname = "m"\nuri = "{}"\n'

MISTAKES = [
    ("[log]\nlevl = 'info'", "unknown key log.levl, did you mean 'level'?"),
    ("[lgo]\nlevel = 'info'", "unknown key lgo, did you mean 'log'?"),
    ("[log]\nlevel = 'loud'", "log.level = 'loud'"),
    ("[queues]\nbytes_max = -1", "queues.bytes_max = -1"),
    ("[mqtt]\nqos_max = 3", "mqtt.qos_max = 3"),
    ("[log]\n= 3", "at line 2"),
    (CONNECTOR.format("amqtt://127.0.0.1:1"), "unknown protocol 'amqtt', did you mean 'mqtt'?"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?maxConnections=2"), "did you mean 'maximumConnections'?"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?maximumConnections=many"), "maximumConnections=many"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?wireFormat.maxFrameSize=1"), "wireFormat.maxFrameSize=1"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?slowConsumer=wait"), "slowConsumer=wait"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?carry=some"), "carry=some: one of auto, none, full"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?publishIdentity=1"), "publishIdentity=1: true or false"),
    (CONNECTOR.format("mqtt://127.0.0.1:99999"), "99999"),
    (CONNECTOR.format("mqtt:1883"), "no host"),
    (CONNECTOR.format("mqtt://127.0.0.1:1/path"), "must be SCHEME://HOST:PORT"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?byteRate=1&byteRate=2"), "byteRate is there twice"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?maxFrameSize=99&wireFormat.maxFrameSize=99"), "is there twice"),
    (CONNECTOR.format("mqtt://127.0.0.1:1?allowAnonymous=true"), "allow_anonymous"),
    (CONNECTOR.format("mqtt://0.0.0.0:1883"), "allow_anonymous = true"),
    (CONNECTOR.format("mqtt://0.0.0.0:1883") + "allow_anonymous = false", "allow_anonymous = true"),
    (CONNECTOR.format("mqtt://[::]:1883"), "allow_anonymous = true"),
    (CONNECTOR.format("mqtt://127.0.0.1:1") * 2, "two connectors are named 'm'"),
    ('[[connector]]\nname = "m"', "connector[m].uri is missing"),
    (CONNECTOR.format("mqtt://127.0.0.1:1") + "prot = 1", "unknown key connector[m].prot"),
    ("[admin]\nuri = 'http://0.0.0.0:8161'", "loopback"),
    ("[mqtt]\nqos_max = 'x'", "mqtt.qos_max = 'x': must be a whole number from 0 to 2"),
    ("[mqtt]\nqos_max = inf", "mqtt.qos_max = inf: must be a whole number from 0 to 2"),
    ("[mqtt]\nqos_max = [1]", "mqtt.qos_max: must be a whole number from 0 to 2"),
    ("[core]\nqueues_max = -5", "core.queues_max = -5: must be a whole number, 1 or more"),
    ("[pki]\nocsp = 7", "pki.ocsp = 7: must be true or false"),
    ("[pki]\nuri = true", "pki.uri = true: must be a text"),
    ("[log]\nlevel = 07:32:00", "log.level = 07:32:00: must be 'debug', 'info', 'warning' or 'error'"),
    ("[websocket]\norigins = 'x'", "websocket.origins = 'x': must be a list"),
    ("[[store]]", "store: write [store], and its keys below it"),
    ("[user]\nname = 'x'", "user: write [[user]], and its keys below it"),
    ("[[rule]]\nallo = []", "unknown key rule[0].allo, did you mean 'allow'?"),
    ("[[user]]\nhsh = ''", "unknown key user[0].hsh, did you mean 'hash'?"),
    ('[log]\n"a\\nb" = 1', "unknown key log.'a\\nb'; known are format"),
    ('[""]', "unknown key ''; known are admin"),
    ('[[connector]]\nname = "a\\u001bb"', "connector['a\\x1bb'].name = 'a\\x1bb': must be letters, digits"),
    ('[[connector]]\nname = ["a"]', "connector[0].name: must be a text"),
    ('[store]\nasynchronous = ["a", "b\\u0000"]', "store.asynchronous[1]: there is U+0000 in its value"),
    (f"x = {'[' * 2000}", "lists and tables are nested too deeply"),
    ("[core]\nqueues_max = true", "core.queues_max"),
    ("[core]\nqueues_max = 99999999999999999999999999999", "a number of at most 9007199254740991"),
    ("[websocket]\npaths = []", "websocket.paths"),
    ("[queues]\ndead_letters = 'a.>'", "a wildcard is no queue"),
    ("[queues]\ndead_letters = 'queue:DLQ'", "without queue:"),
    ("[queues]\ndead_letters = '$SYS.x'", "come and go by themselves"),
    ("[queues]\ndead_letters = 'mx.tmp.1'", "come and go by themselves"),
    ('[queues]\ndead_letters = "a\\nb"', "control characters"),
    (f"[queues]\ndead_letters = '{'a' * 70_000}'", "longer than"),
    ("[store]\nasynchronous = ['topic:x']", "without topic:"),
    ("[store]\nasynchronous = ['a*']", "a wildcard is a whole level"),
    ("[store]\nasynchronous = ['']", "the destination is empty"),
    ("[[rule]]\nallow = ['publish']\nusers = []\ndestinations = ['topic:>']", "users = [] names nobody"),
    ("[[rule]]\nallow = ['publish']\ngroups = []\ndestinations = ['topic:>']", "groups = [] names nobody"),
    (
        CONNECTOR.format("mqtt://127.0.0.1:1")
        + CONNECTOR.replace('"m"', '"n"').format("stomp://localhost:1"),
        "connector[m] and connector[n] would both listen on 127.0.0.1:1",
    ),
    ('[pki]\nuri = "http://127.0.0.1:8161"', "admin and pki would both listen on 127.0.0.1:8161"),
    (CONNECTOR.format("mqtt://127.0.0.1:8161"), "connector[m] and admin would both listen on 127.0.0.1:8161"),
    ("[gateway]\n\nname = '\udcff'", "not UTF-8: byte 0xff (at line 3)"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_each_mistake_names_file_key_and_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    problems = _problems(tmp_path, text)
    assert said in problems
    assert "g.toml" in problems


def largest(name: str) -> dict[str, int]:
    """Each number of a section that may be as large as can be, so large."""
    fields = Config.model_fields[name].annotation.model_fields  # type: ignore[union-attr]
    unbounded = [
        key
        for key, field in fields.items()
        if field.annotation is int and not any(hasattr(one, "le") for one in field.metadata)
    ]
    return dict.fromkeys(unbounded, NUMBER_MAX)


async def test_with_the_largest_numbers_that_may_be_written_every_protocol_is_served() -> None:
    sections = {name: largest(name) for name in ("core", "queues", "mqtt", "stomp", "websocket", "http")}
    assert "headers_max" in sections["stomp"]
    uris = {name: f"{name}://127.0.0.1:0" for name in ("mqtt", "stomp", "ws")}
    config = Config.model_validate(
        {"connector": [{"name": name, "uri": uri} for name, uri in uris.items()]}
        | {"admin": {"enabled": False}, "store": {"path": ""}}
        | sections
    )
    says = [
        (b"\x10\x0d\0\4MQTT\4\2\0\0\0\1c\x32\6\0\1t\0\1x", b"\x40\2\0\1"),
        (b"CONNECT\naccept-version:1.2\nhost:x\n\n\0SEND\ndestination:/queue/q\nreceipt:1\n\nx\0", b"RECEIPT\n"),
        (b"POST /queues/q HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", b" 202 "),
    ]  # fmt: skip
    async with Gateway(config) as gateway:
        for listener, (said, wanted) in zip(gateway.listeners, says, strict=True):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(said)
            async with asyncio.timeout(10):
                await reader.readuntil(wanted)
            writer.close()
            assert listener.internal_errors == 0


def test_a_mistake_never_shows_a_password(tmp_path: Path) -> None:
    problems = _problems(tmp_path, CONNECTOR.format("mqtt://bob:s3cret@127.0.0.1:1"))
    assert "names and passwords do not belong in a URI" in problems
    assert "s3cret" not in problems


@pytest.mark.parametrize("key", ["pki.passphrase", "user.hash"])
def test_a_password_where_its_source_or_hash_belongs_is_not_repeated(tmp_path: Path, key: str) -> None:
    section, name = key.split(".")
    head = "[[user]]\nname = 'x'" if section == "user" else f"[{section}]"
    problems = _problems(tmp_path, f"{head}\n{name} = 's3cret'\n")
    assert name in problems
    assert "s3cret" not in problems
    if section == "pki":
        assert "s3cret" not in _problems(tmp_path, "", GATEWAY_PKI__PASSPHRASE="s3cret")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(_problems(tmp_path, "[log]\nlevel = 1\n[mqtt]\nqos_max = 9").splitlines()) == 2


def test_what_is_too_large_for_a_configuration_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "g.toml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigError, match="larger than 16777216 bytes"):
        load(tmp_path / "g.toml", {})


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml", {})


def test_anonymous_access_beyond_loopback_is_written_out(tmp_path: Path) -> None:
    text = CONNECTOR.format("mqtt://0.0.0.0:0") + "allow_anonymous = true"
    assert _load(tmp_path, text).connector[0].anonymous(False)


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        CONNECTOR.format("mqtt://127.0.0.1:1") + "[log]\nlevel = 'info'",
        GATEWAY_LOG__LEVEL="debug",
        GATEWAY_MQTT__QOS_MAX="1",
        GATEWAY_CONNECTOR__M__URI="mqtt://127.0.0.1:5",
        GATEWAY_EXPECT="not ours: no section",
    )
    assert (config.log.level, config.mqtt.qos_max, config.connector[0].port) == ("debug", 1, 5)


def test_mistakes_in_the_environment_name_the_variable(tmp_path: Path) -> None:
    assert "GATEWAY_LOG__LEVL: unknown key" in _problems(tmp_path, "", GATEWAY_LOG__LEVL="x")
    assert "GATEWAY_LOG__LEVEL: log.level = 'loud'" in _problems(tmp_path, "", GATEWAY_LOG__LEVEL="loud")
    assert "GATEWAY_LGO__LEVEL: unknown section 'lgo', did you mean 'log'?" in _problems(
        tmp_path, "", GATEWAY_LGO__LEVEL="x"
    )
    assert "GATEWAY_CONNECTOR__MQTT__URI: connector[mqtt].uri = 'http://x'" in _problems(
        tmp_path, "", GATEWAY_CONNECTOR__MQTT__URI="http://x"
    )
    assert "GATEWAY_LOG__A__B: write GATEWAY_SECTION__KEY" in _problems(tmp_path, "", GATEWAY_LOG__A__B="1")
    assert "no connector named 'x'" in _problems(tmp_path, "", GATEWAY_CONNECTOR__X__URI="mqtt://127.0.0.1:1")


def test_a_variable_spells_a_connectors_name_with_underscores(tmp_path: Path) -> None:
    text = '[[connector]]\nname = "mqtt-east.1"\nuri = "mqtt://127.0.0.1:1"\n'
    config = _load(tmp_path, text, GATEWAY_CONNECTOR__MQTT_EAST_1__URI="mqtt://127.0.0.1:2")
    assert config.connector[0].port == 2


def test_what_looks_like_a_number_may_be_a_name(tmp_path: Path) -> None:
    assert _load(tmp_path, "", GATEWAY_GATEWAY__NAME="7").gateway.name == "7"


def _hash(memory_kib: int, passes: int, lanes: int) -> str:
    costs = f"m={memory_kib},t={passes},p={lanes}"
    return f"$argon2id$v=19${costs}$pkvSgT/m0gTbf+vy8H9LyA$MhMKjK22hRQv4KUjQXYzMTW0oAmBnEoR/oGxZuiYEt4"


@pytest.mark.parametrize(
    ("memory_kib", "passes", "lanes", "valid"),
    [
        (65_536, 3, 4, True),
        (1_048_576, 100, 64, True),
        (999_999_999, 3, 4, False),
        (65_536, 99_999, 4, False),
        (65_536, 0, 4, False),
        (8, 3, 4, False),
    ],
)
def test_a_hash_whose_check_no_login_could_pay_for_is_a_mistake(
    tmp_path: Path, memory_kib: int, passes: int, lanes: int, valid: bool
) -> None:
    text = f'[[user]]\nname = "x"\nhash = "{_hash(memory_kib, passes, lanes)}"\n'
    if valid:
        assert _load(tmp_path, text).user[0].name == "x"
    else:
        assert "at a price that a login may have" in _problems(tmp_path, text)
