"""TLS in the configuration: schemes, the tls table, the options of the URI; and that the shipped files are complete."""

import tomllib
from pathlib import Path

import pytest

from gateway.app import tls_settings
from gateway.config import ConfigError, ConnectorSection, TlsSection, load
from gateway.net.tls import TlsSettings

CONF = Path(__file__).parent.parent / "conf"
TABLE = "[connector.tls]\n"


def _connector(tmp_path: Path, uri: str, more: str = "") -> ConnectorSection:
    path = tmp_path / "g.toml"
    path.write_text(f'[[connector]]\nname = "m"\nuri = "{uri}"\n{more}')
    return load(path, {}).connector[0]


@pytest.mark.parametrize(
    ("uri", "protocol", "secure", "port"),
    [
        ("mqtt://127.0.0.1", "mqtt", False, 1883),
        ("mqtt+ssl://127.0.0.1", "mqtt", True, 8883),
        ("stomp+ssl://127.0.0.1", "stomp", True, 61612),
        ("ssl://127.0.0.1", "auto", True, 61617),
        ("auto+ssl://127.0.0.1:5", "auto", True, 5),
        ("auto://127.0.0.1", "auto", False, 61616),
    ],
)
def test_schemes(tmp_path: Path, uri: str, protocol: str, secure: bool, port: int) -> None:
    section = _connector(tmp_path, uri)
    assert (section.protocol, section.secure, section.port) == (protocol, secure, port)
    assert (section.tls_section is not None) == secure


def test_a_table_turns_tls_on_and_auto_then_takes_both(tmp_path: Path) -> None:
    assert _connector(tmp_path, "mqtt://127.0.0.1", TABLE).secure
    both = _connector(tmp_path, "auto://127.0.0.1", TABLE)
    assert (both.secure, both.tls_section) == (False, TlsSection())


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("transport.needClientAuth=true", "need"),
        ("needClientAuth=true", "need"),
        ("transport.wantClientAuth=true", "want"),
        ("wantClientAuth=true&needClientAuth=true", "need"),
        ("needClientAuth=false", "no"),
    ],
)
def test_client_certificates_as_activemq_writes_them(tmp_path: Path, option: str, wanted: str) -> None:
    section = _connector(tmp_path, f"mqtt+ssl://127.0.0.1?maximumConnections=5&{option}").tls_section
    assert section is not None
    assert section.client_certificates == wanted


def test_limits_of_a_port_for_all_are_those_of_each_protocol(tmp_path: Path) -> None:
    section = _connector(tmp_path, "auto://127.0.0.1?maximumConnections=7")
    assert section.limits("mqtt").slow_consumer == "drop-oldest"
    assert section.limits("stomp").slow_consumer == "block"
    assert section.limits("mqtt").maximum_connections == 7


@pytest.mark.parametrize(
    ("uri", "more", "said"),
    [
        ("mqtts://127.0.0.1", "", "unknown protocol 'mqtts', did you mean 'mqtt'?"),
        ("mqtt://127.0.0.1?needClientAuth=true", "", "this connector has no TLS"),
        ("mqtt+ssl://127.0.0.1?needClientAuth=yes", "", "needClientAuth=yes: true or false"),
        ("mqtt+ssl://127.0.0.1", TABLE + "certifcate = 'x'", "unknown key connector[m].tls.certifcate, did you mean"),
        ("mqtt+ssl://127.0.0.1", TABLE + "versions = ['1.1']", "connector[m].tls.versions"),
        ("mqtt+ssl://127.0.0.1", TABLE + "versions = []", "connector[m].tls.versions"),
        ("mqtt+ssl://127.0.0.1", TABLE + "handshakes_max = 0", "connector[m].tls.handshakes_max = 0"),
        ("mqtt+ssl://127.0.0.1", "[[connector.tls.more]]\nkey = 'k'", "certificate is missing"),
        ("mqtt+ssl://127.0.0.1", "[[connector.tls.more]]\nkeys = 'k'", "did you mean 'key'?"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, uri: str, more: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _connector(tmp_path, uri, more)
    assert said in "\n".join(caught.value.problems)


def test_a_password_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _connector(tmp_path, "mqtt+ssl://127.0.0.1", TABLE + "key_password = 'hunter22'")
    said = "\n".join(caught.value.problems)
    assert "file:PATH or env:NAME" in said
    assert "hunter22" not in said


def test_everything_reaches_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from file\nmore\n")
    monkeypatch.setenv("KEY_SECRET", "from environment")
    more = (
        TABLE
        + f"key_password = 'file:{tmp_path}/secret'\nuser_from = 'dn'\ncrl = ['a.crl']\nreload_s = 7\n"
        + "[[connector.tls.more]]\ncertificate = 'b'\nkey = 'k'\nkey_password = 'env:KEY_SECRET'\n"
    )
    section = _connector(tmp_path, "stomp+ssl://127.0.0.1?wantClientAuth=true", more).tls_section
    assert section is not None
    settings = tls_settings(section, ["stomp"])
    assert (settings.user_from, settings.crl, settings.reload_s) == ("dn", (Path("a.crl"),), 7)
    assert (settings.client_certificates, settings.alpn) == ("want", ("stomp",))
    assert settings.pair.password is not None
    assert settings.pair.password() == "from file"
    [other] = settings.more
    assert other.password is not None
    assert (other.certificate, other.password()) == (Path("b"), "from environment")


def test_defaults_are_those_of_net() -> None:
    settings = tls_settings(TlsSection(), [])
    bare = TlsSettings(settings.pair, ca=settings.ca)
    assert settings == bare
    assert settings.pair.password is None


def test_the_shipped_file_has_every_key_of_the_table_with_its_default() -> None:
    text = (CONF / "gateway.toml").read_text()
    start = text.index("# [connector.tls]\n")
    end = text.index("# [[connector.tls.more]]")
    lines = [line.removeprefix("# ") for line in text[start:end].splitlines()]
    table = tomllib.loads("\n".join(lines))["connector"]["tls"]
    assert table == TlsSection().model_dump(mode="json", exclude={"more"})
    for option in ("needClientAuth", "wantClientAuth"):
        assert f"#   transport.{option}=false " in text


def test_the_shipped_tls_file_asks_for_client_certificates() -> None:
    config = load(CONF / "tls.toml", {})
    mqtts, stomps = [connector.tls_section for connector in config.connector]
    assert mqtts is not None
    assert (mqtts.client_certificates, mqtts.crl) == ("need", (Path("certs/intermediate-ca.crl"),))
    assert stomps is not None
    assert all(connector.host == "127.0.0.1" for connector in config.connector)


def test_who_must_show_a_certificate_needs_no_user_table() -> None:
    section = ConnectorSection(name="m", uri="mqtt+ssl://0.0.0.0:8883?transport.needClientAuth=true")
    assert section.anonymous(users=False) is False
    wanted = ConnectorSection(name="m", uri="mqtt+ssl://0.0.0.0:8883?transport.wantClientAuth=true")
    with pytest.raises(ValueError, match="allow everybody"):
        wanted.anonymous(users=False)
