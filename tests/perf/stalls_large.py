"""How long others wait while one client sends, or is sent, one very large message: cases of `stalls`."""

import os
import socket
import time
import zlib

from tests.perf.stall_site import Site, answered, drain, first_line, http, json_frame, publish, say, send
from tests.perf.wires import mqtt_packet, mqtt_string


def http_one_large(site: Site) -> None:
    """POST of 90 MB: text in an envelope, as escapes, as base64; spaces; the body itself, ASCII and not."""
    for path, body, headers in (
        ("/messages", b'[{"to":"queue:a","body":"' + b"x" * 90_000_000 + b'"}]', ""),
        ("/messages", b'[{"to":"queue:a","body":"' + b"\\u00e9" * 15_000_000 + b'"}]', ""),
        ("/messages", b'[{"to":"queue:a","body_b64":"' + b"AAAA" * 22_500_000 + b'"}]', ""),
        ("/messages", b"[" + b" " * 90_000_000 + b"]", ""),
        ("/queues/a", b"x" * 90_000_000, "Content-Type: text/plain\r\n"),
        ("/queues/a", "é".encode() * 45_000_000, "Content-Type: text/plain\r\n"),
    ):
        with site.connect("ws") as sock:
            say(http(sock, path, body, headers))


def http_many_numbers(site: Site) -> None:
    """POST of 49,000 numbers near the largest, each of which takes 10 µs to write."""
    with site.connect("ws") as sock:
        numbers = b",".join([b"1.7976931348623157e308"] * 49_000)
        say(http(sock, "/messages", b'[{"to":"queue:a","body":[' + numbers + b"]}]"))


def json_halves(site: Site) -> None:
    """A text of 100,000 halves of surrogate pairs."""
    with site.json() as sock:
        send(sock, json_frame(b'{"op":"publish","to":"topic:a","body":"' + b"\\ud800" * 100_000 + b'"}'))
        say(sock.recv(65_536))


def json_unpacked(site: Site) -> None:
    """A compressed message of 90 kB that is one of 90 MB."""
    with site.json(compressed=True) as sock:
        packer = zlib.compressobj(wbits=-15)
        text = b'{"op":"publish","id":1,"to":"topic:a","body":"' + b"x" * 90_000_000 + b'"}'
        packed = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
        send(sock, json_frame(packed[:-4], 0xC1))
        say(sock.recv(65_536))


def _to_json_readers(
    site: Site, body: bytes, content_type: str, readers: int, compressed: bool = False
) -> None:
    socks = [site.json("topic:large", compressed) for _ in range(readers)]
    time.sleep(0.3)
    for sock in socks:
        drain(sock)
    with site.connect("ws") as sock:
        say(http(sock, "/topics/large", body, f"Content-Type: {content_type}\r\n"))
    time.sleep(1 + len(body) * (readers + 10 * compressed) / 50_000_000)
    for sock in socks:
        sock.shutdown(socket.SHUT_RDWR)


def json_large_to_many(site: Site) -> None:
    """5 MB of text, then of bytes, to 20 readers of `gateway.json`."""
    _to_json_readers(site, "é".encode() * 2_500_000, "text/plain", 20)
    _to_json_readers(site, b"\xff" * 5_000_000, "application/octet-stream", 20)


def json_very_large(site: Site) -> None:
    """80 MB of text, of quotes, and of bytes to one."""
    _to_json_readers(site, "é".encode() * 40_000_000, "text/plain", 1)
    _to_json_readers(site, b'"\n' * 40_000_000, "text/plain", 1)
    _to_json_readers(site, b"\xff" * 80_000_000, "application/octet-stream", 1)


def json_packed(site: Site) -> None:
    """20 MB to one who wants it compressed."""
    _to_json_readers(site, os.urandom(10_000_000).hex().encode(), "text/plain", 1, True)


def mqtt_one_large(site: Site) -> None:
    """90 MB of text by MQTT to subscribers by MQTT and STOMP, and to a queue that is read later."""
    with site.stomp() as reader, site.mqtt(name="reader") as other, site.mqtt() as sock:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/large\n\n\0")
        other.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("large") + b"\1"))
        time.sleep(0.3)
        drain(reader)
        drain(other)
        for body in (b"x" * 90_000_000, "é".encode() * 45_000_000):
            send(sock, mqtt_packet(0x32, mqtt_string("large") + b"\0\1\2\1\1" + body))
            answered(sock)
            time.sleep(3)


def stomp_one_large(site: Site) -> None:
    """90 MB by STOMP, persistent, written and read."""
    head = b"SEND\ndestination:/queue/large\npersistent:true\nreceipt:r\ncontent-length:90000000\n\n"
    with site.stomp() as sock:
        send(sock, head + b"x" * 90_000_000 + b"\0")
        sock.recv(65_536)
        drain(sock)
        send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/large\nack:auto\n\n\0")
        time.sleep(3)


def large_once(site: Site) -> None:
    """90 MB under a key, twice each: by HTTP, and by MQTT with QoS 2."""
    body = b"x" * 90_000_000
    for _ in range(2):
        with site.connect("ws") as sock:
            say(http(sock, "/queues/once", body, "Content-Type: text/plain\r\nIdempotency-Key: k\r\n"))
    with site.mqtt() as sock:
        for _ in range(2):
            send(sock, mqtt_packet(0x34, mqtt_string("once") + b"\0\1\0" + body))
            answered(sock)


def large_as_json(site: Site) -> None:
    """20 MB of text and of bytes to a `$json/` filter."""
    with site.mqtt(name="reader") as reader, site.mqtt() as sock:
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("$json/large") + b"\1"))
        time.sleep(0.3)
        drain(reader)
        for body in ("é".encode() * 10_000_000, b"\xff" * 20_000_000):
            send(sock, publish("large", body))
            answered(sock)
            time.sleep(2)


def large_in_chunks(site: Site) -> None:
    """POST of 90 MB whose length nobody says."""
    with site.connect("ws") as sock:
        send(sock, b"POST /queues/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(900):
            send(sock, b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        send(sock, b"0\r\n\r\n")
        say(first_line(sock))


def stomp_large_to_others(site: Site) -> None:
    """90 MB of text by STOMP to readers by MQTT and `gateway.json`."""
    with site.stomp() as sock, site.mqtt(name="reader") as reader, site.json("topic:large") as other:
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("large") + b"\1"))
        time.sleep(0.3)
        drain(reader)
        drain(other)
        head = b"SEND\ndestination:/topic/large\nreceipt:r\ncontent-length:90000000\n\n"
        send(sock, head + "é".encode() * 45_000_000 + b"\0")
        sock.recv(65_536)
        time.sleep(3)


def mqtt_properties_to_stomp(site: Site) -> None:
    """PUBLISH with 1,990 user properties to STOMP subscribers: one, then 50 in one write."""
    block = b"".join([b"\x26" + mqtt_string(f"k{n}") + mqtt_string("v" * 20) for n in range(1_990)])
    readers = [site.stomp() for _ in range(5)]
    for reader in readers:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/props\n\n\0")
        drain(reader)
    time.sleep(0.2)
    with site.mqtt() as sock:
        for count in (1, 50):
            send(sock, publish("props", b"x", block) * count)
            answered(sock)
            time.sleep(0.5)
    for reader in readers:
        reader.shutdown(socket.SHUT_RDWR)
