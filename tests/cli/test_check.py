"""`gateway check` and `gateway version`."""

import platform

import pytest

import gateway


def test_check_of_a_good_file_lists_the_connectors(gateway_command, tmp_path) -> None:
    path = tmp_path / "good.toml"
    path.write_text('[[connector]]\nname = "m"\nuri = "mqtt://127.0.0.1:1883?maximumConnections=7"\n')
    code, said, _ = gateway_command("check", str(path))
    assert code == 0
    assert said.splitlines() == [
        "m: mqtt://127.0.0.1:1883?maximumConnections=7",
        "the configuration is valid",
    ]


def test_check_of_a_bad_file_lists_every_mistake(gateway_command, tmp_path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[lgo]\n[[connector]]\nname = "m"\nuri = "mqtt://127.0.0.1:1883?maximumConections=1"\n')
    code, _, said = gateway_command("check", str(path))
    assert code == 1
    assert len(said.splitlines()) == 2
    assert "maximumConnections" in said
    assert "did you mean 'log'?" in said
    assert str(path) in said


def test_check_sees_the_environment(gateway_command, tmp_path) -> None:
    path = tmp_path / "good.toml"
    path.write_text("")
    code, _, said = gateway_command("check", str(path), GATEWAY_LOG__LEVEL="loud")
    assert code == 1
    assert "GATEWAY_LOG__LEVEL" in said


def test_check_of_no_file_is_an_error(gateway_command, tmp_path) -> None:
    code, _, said = gateway_command("check", str(tmp_path / "none.toml"))
    assert code == 1
    assert "No such file" in said


def test_version_names_gateway_python_and_whether_it_is_compiled(gateway_command) -> None:
    code, said, _ = gateway_command("version")
    assert code == 0
    form = "compiled" if gateway.is_compiled() else "plain Python"
    assert said == f"gateway-broker {gateway.__version__} ({form}), Python {platform.python_version()}\n"


def test_certificates_that_cannot_be_used_are_mistakes(gateway_command, tmp_path) -> None:
    pki = tmp_path / "certs"
    (tmp_path / "g.toml").write_text(
        f"""[[connector]]
        name = "m"
        uri = "mqtt+ssl://127.0.0.1:8883"
        [connector.tls]
        certificate = "{pki}/issued/broker-chain.crt"
        key = "{pki}/issued/broker.key"
        """
    )
    code, _, err = gateway_command("check", str(tmp_path / "g.toml"))
    assert (code, "connector[m].tls: " in err, "No such file" in err) == (1, True, True)
    gateway_command("pki", "init", "--server", "broker", "--dir", str(pki))
    assert gateway_command("check", str(tmp_path / "g.toml"))[0] == 0
    (pki / "issued" / "broker.key").chmod(0o644)
    code, _, err = gateway_command("check", str(tmp_path / "g.toml"))
    assert (code, "lets others read the key" in err) == (1, True)


def test_a_folder_to_look_after_without_authorities_is_a_mistake(gateway_command, tmp_path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(f'[pki]\ndir = "{tmp_path}/none"\nuri = "http://127.0.0.1:0"\n')
    code, _, said = gateway_command("check", str(path))
    assert code == 1
    assert f"pki.dir: {tmp_path}/none has no authorities" in said


@pytest.mark.parametrize("content", [b"my notes\n" * 100, b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_no_store_is_a_mistake_and_left_as_it_is(
    gateway_command, tmp_path, content: bytes
) -> None:
    (tmp_path / "notes.txt").write_bytes(content)
    (tmp_path / "g.toml").write_text(f'[store]\npath = "{tmp_path}/notes.txt"\n')
    code, _, said = gateway_command("check", str(tmp_path / "g.toml"))
    assert code == 1
    assert "store.path: " in said
    assert (tmp_path / "notes.txt").read_bytes() == content
