"""Unmodified clients over TLS, and what they meet when certificates change."""

import os
import queue
import shutil
import signal
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import stomp
from clients import Inbox
from cryptography import x509
from tls_gateway import TIMEOUT_S, TlsGateway, running

from gateway.pki import issue, keys, revoking
from gateway.pki.authority import load_certificates
from gateway.pki.export import export, trust_store


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsGateway]:
    """One for the tests that change nothing."""
    with running(tmp_path_factory.mktemp("tls")) as found:
        yield found


@pytest.fixture
def own_gateway(tmp_path: Path) -> Iterator[TlsGateway]:
    """One for the tests that change its files."""
    with running(tmp_path) as found:
        yield found


class PahoTls:
    """paho-mqtt over TLS."""

    def __init__(self, gateway: TlsGateway, port: str, name: str = "") -> None:
        self.inbox = Inbox()
        self.ended: queue.Queue[str] = queue.Queue()
        self._connected: queue.Queue[object] = queue.Queue()
        self._subscribed: queue.Queue[object] = queue.Queue()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, f"paho-{uuid.uuid4().hex[:8]}", protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
        )  # fmt: skip
        chain, key = gateway.files(name) if name else (None, None)
        self.client.tls_set(gateway.root, chain, key)
        self.client.on_connect = lambda *args: self._connected.put(args[3])
        self.client.on_subscribe = lambda *args: self._subscribed.put(args[3])
        self.client.on_disconnect = lambda *args: self.ended.put(str(args[3]))
        self.client.on_message = lambda _, __, message: self.inbox.put(message.topic, message.payload)
        self.client.connect("localhost", gateway.ports[port])
        self.client.loop_start()

    def wait(self) -> "PahoTls":
        assert str(self._connected.get(timeout=TIMEOUT_S)) == "Success"
        return self

    def subscribe(self, topic: str, qos: int = 0) -> None:
        self.client.subscribe(topic, qos)
        self._subscribed.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def _name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize(("port", "name"), [("mqtts", ""), ("mutual", "device-17"), ("auto", "")])
def test_paho_over_tls(gateway: TlsGateway, port: str, name: str) -> None:
    topic = _name()
    client = PahoTls(gateway, port, name).wait()
    client.subscribe(topic, 1)
    body = b"x" * 300_000
    client.client.publish(topic, body, 1).wait_for_publish(TIMEOUT_S)
    assert client.inbox.take(1) == [(topic, body)]
    client.close()


def test_paho_without_a_certificate_is_refused_where_one_is_needed(gateway: TlsGateway) -> None:
    before = gateway.status("mutual")["handshakes_failed"]
    try:
        client = PahoTls(gateway, "mutual")
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        assert client.ended.get(timeout=TIMEOUT_S) != "Success"
        client.client.loop_stop()
    gateway.until(lambda: gateway.status("mutual")["handshakes_failed"] > before)


@pytest.mark.usefixtures("mosquitto")
def test_mosquitto_pub_with_a_client_certificate(gateway: TlsGateway) -> None:
    topic = _name()
    chain, key = gateway.files("device-17")
    common = ["-h", "localhost", "-p", str(gateway.ports["mutual"]), "--cafile", gateway.root, "-t", topic]
    with_certificate = [*common, "--cert", chain, "--key", key]
    subprocess.run(
        ["mosquitto_pub", *with_certificate, "-m", "hello", "-r", "-q", "1"], check=True, timeout=TIMEOUT_S
    )
    said = subprocess.run(
        ["mosquitto_sub", *with_certificate, "-C", "1"],
        check=True,
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    assert said.stdout == "hello\n"
    refused = subprocess.run(
        ["mosquitto_pub", *common, "-m", "x"], capture_output=True, timeout=TIMEOUT_S, check=False
    )
    assert refused.returncode != 0


def test_stomp_py_with_ssl_to_paho(gateway: TlsGateway) -> None:
    topic = _name()
    device = PahoTls(gateway, "mqtts").wait()
    device.subscribe(f"{topic}/a", 1)
    for port in ("stomps", "auto"):
        script = stomp.Connection12([("localhost", gateway.ports[port])])
        script.set_ssl([("localhost", gateway.ports[port])], ca_certs=gateway.root)
        script.connect(wait=True)
        script.send(f"/topic/{topic}.a", port)
        assert device.inbox.take(1) == [(f"{topic}/a", port.encode())]
        script.disconnect()
    device.close()


def test_plain_clients_on_the_port_that_takes_both(gateway: TlsGateway) -> None:
    topic = _name()
    device = PahoTls(gateway, "auto").wait()
    device.subscribe(f"{topic}/a", 1)
    script = stomp.Connection12([("127.0.0.1", gateway.ports["auto"])])
    script.connect(wait=True)
    script.send(f"/topic/{topic}.a", "plain")
    assert device.inbox.take(1) == [(f"{topic}/a", b"plain")]
    script.disconnect()
    device.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(gateway: TlsGateway, version: str) -> None:
    assert shutil.which("openssl"), "openssl is everywhere that Python's ssl is"
    chain, key = gateway.files("device-17")
    done = subprocess.run(
        [
            "openssl", "s_client", "-connect", f"localhost:{gateway.ports['mutual']}", "-CAfile", gateway.root,
            "-cert", gateway.folder.leaf("device-17").certificate, "-cert_chain", chain, "-key", key, version,
            "-verify_return_error", "-verify_hostname", "localhost", "-alpn", "mqtt", "-quiet", "-ign_eof",
        ],
        # CONNECT and DISCONNECT: the gateway then closes.
        input=b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02s1\xe0\x00",
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.stdout == b"\x20\x02\x00\x00", done.stderr.decode()


JAVA = """
import java.io.*;
import javax.net.ssl.*;

public class Client {
    public static void main(String[] a) throws Exception {
        SSLSocket s = (SSLSocket) SSLSocketFactory.getDefault().createSocket("localhost", Integer.parseInt(a[0]));
        SSLParameters p = s.getSSLParameters();
        p.setEndpointIdentificationAlgorithm("HTTPS");
        s.setSSLParameters(p);
        s.getOutputStream().write(new byte[] {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 2, 'j', '1'});
        byte[] connack = s.getInputStream().readNBytes(4);
        System.out.println(s.getSession().getProtocol() + " " + connack[0] + " " + connack[3]);
        s.close();
    }
}
"""


def test_a_java_client_with_the_exported_stores(gateway: TlsGateway, tmp_path: Path) -> None:
    if not shutil.which("java") or not shutil.which("javac"):
        if os.environ.get("CI"):
            pytest.fail("no JDK is installed")
        pytest.skip("no JDK is installed (Debian: default-jdk-headless)")
    folder = gateway.folder
    chain, key = gateway.files("device-17")
    authorities = [folder.root.certificate, folder.intermediate.certificate]
    store = export(
        "pkcs12",
        "device-17",
        load_certificates(Path(chain)),
        keys.load(Path(key)),
        authorities[:1],
        b"changeit",
    )
    (tmp_path / "key.p12").write_bytes(store)
    (tmp_path / "trust.p12").write_bytes(trust_store(authorities, b"changeit"))
    (tmp_path / "Client.java").write_text(JAVA)
    properties = {"trustStore": "trust.p12", "keyStore": "key.p12"}
    options = [f"-Djavax.net.ssl.{name}={tmp_path / file}" for name, file in properties.items()]
    options += [f"-Djavax.net.ssl.{name}Password=changeit" for name in properties]
    done = subprocess.run(
        ["java", *options, str(tmp_path / "Client.java"), str(gateway.ports["mutual"])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "TLSv1.3 32 0\n", done.stderr


# -- changes under way


def test_a_revoked_client_is_out_within_five_seconds(own_gateway: TlsGateway) -> None:
    device = PahoTls(own_gateway, "mutual", "device-17").wait()
    other = PahoTls(own_gateway, "mutual", "other").wait()
    revoking.revoke(own_gateway.folder, "device-17", "keyCompromise")
    assert device.ended.get(timeout=5.0) != "Success"
    failed = own_gateway.status("mutual")["handshakes_failed"]
    try:
        again = PahoTls(own_gateway, "mutual", "device-17")
    except (ssl.SSLError, ConnectionError):
        pass
    else:
        assert again.ended.get(timeout=TIMEOUT_S) != "Success"
        again.client.loop_stop()
    own_gateway.until(lambda: own_gateway.status("mutual")["handshakes_failed"] > failed)
    assert other.ended.empty()
    other.close()
    device.client.loop_stop()


def test_two_certificate_swaps_under_load_lose_nothing(own_gateway: TlsGateway) -> None:
    """A thousand messages a second; connections that are up stay up, and new ones see the new certificate."""
    sub = PahoTls(own_gateway, "mqtts").wait()
    sub.subscribe("load", 1)
    pub = PahoTls(own_gateway, "mqtts").wait()
    sent = 0
    serials = [_serial(own_gateway)]
    for swap in (1, 2):
        serials.append(issue.renew(own_gateway.folder, "broker", 100, None).serial_number)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            start = time.monotonic()
            for _ in range(100):
                pub.client.publish("load", b"%d" % sent, 1)
                sent += 1
            if own_gateway.status("mqtts")["reloads"] >= swap:
                break
            assert time.monotonic() < deadline, own_gateway.log.read_text()
            # A pace, not a wait for luck.
            time.sleep(max(0.0, 0.1 - (time.monotonic() - start)))
        assert _serial(own_gateway) == serials[-1]
    assert len(set(serials)) == 3
    assert [body for _, body in sub.inbox.take(sent)] == [b"%d" % n for n in range(sent)]
    assert sub.ended.empty()
    assert pub.ended.empty()
    sub.close()
    pub.close()


def _serial(gateway: TlsGateway) -> int:
    """The serial number that a new client is shown."""
    certificate = ssl.get_server_certificate(
        ("localhost", gateway.ports["mqtts"]), ca_certs=gateway.root, timeout=10
    )
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def test_sighup_reads_again_and_a_bad_file_changes_nothing(own_gateway: TlsGateway) -> None:
    key = own_gateway.folder.leaf("broker").key
    good = key.read_bytes()
    key.write_bytes(b"nonsense")
    own_gateway.process.send_signal(signal.SIGHUP)
    own_gateway.until(lambda: bool(own_gateway.status("mqtts")["warnings"]))
    assert "the old certificates stay in use" in own_gateway.status("mqtts")["warnings"][0]
    PahoTls(own_gateway, "mqtts").wait().close()
    key.write_bytes(good)
    own_gateway.process.send_signal(signal.SIGHUP)
    own_gateway.until(lambda: own_gateway.status("mqtts")["warnings"] == [])
    PahoTls(own_gateway, "mqtts").wait().close()
