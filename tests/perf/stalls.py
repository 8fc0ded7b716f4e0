"""How long others wait while one client does its worst: `python -m tests.perf.stalls [--bin PROGRAM] [NAME…]`.

A process of its own pings the gateway over MQTT without a pause; for each case the longest wait for a PINGRESP is printed.
`--bin .venv-compiled/bin/gateway` measures the compiled gateway; without it the source tree runs as plain Python.
A wait is wall-clock time, so the machine has to be quiet; beside it stands how long the gateway itself has worked during one
wait at most, which says more where it is not.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from tests.perf.stall_site import (
    CASE_MAX_S,
    NO_CONTENT,
    Site,
    answered,
    drain,
    http,
    publish,
    say,
    send,
)
from tests.perf.stalls_large import (
    http_many_numbers,
    http_one_large,
    json_halves,
    json_large_to_many,
    json_packed,
    json_unpacked,
    json_very_large,
    large_as_json,
    large_in_chunks,
    large_once,
    mqtt_one_large,
    mqtt_properties_to_stomp,
    stomp_large_to_others,
    stomp_one_large,
)
from tests.perf.wires import Endpoint, Mqtt, mqtt_packet, mqtt_receive, mqtt_string, receive_exactly

SETTLE_S: Final = 0.5
"""How long pings go on behind a case, for what it has left to do."""

# -- what is measured


def _ping(port: int, pid: int, orders: Connection) -> None:
    """Ping without a pause.  Each order is answered with the longest wait since the one before and the most that the process
    `pid` has worked during one, in seconds, and a count."""
    # The clock of another process (pthread_getcpuclockid); Linux alone lets it be read so.
    clock = ~pid << 3 | 2
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    Mqtt(Endpoint(port), NO_CONTENT, version=4).log_in(sock, "pinging")
    sock.settimeout(CASE_MAX_S * 2)
    worst = 0.0
    worked = 0.0
    count = 0
    while True:
        if orders.poll():
            if orders.recv() == "end":
                return
            orders.send((worst, worked, count))
            worst = 0.0
            worked = 0.0
            count = 0
        before = time.clock_gettime(clock)
        begun = time.perf_counter()
        sock.sendall(b"\xc0\x00")
        receive_exactly(sock, 2)
        worst = max(worst, time.perf_counter() - begun)
        worked = max(worked, time.clock_gettime(clock) - before)
        count += 1
        time.sleep(0.001)


class Pinger:
    """The process that pings."""

    def __init__(self, port: int, pid: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=_ping, args=(port, pid, theirs), daemon=True)
        self._process.start()
        self.worst()

    def worst(self) -> tuple[float, float, int]:
        """The longest wait since the last call and the most work during one, in seconds, and how many pings there were."""
        self._orders.send("worst")
        found: tuple[float, float, int] = self._orders.recv()
        return found

    def end(self) -> None:
        """No more."""
        self._orders.send("end")
        self._process.join(10)


# -- what clients can do: each returns when it has been done


def nothing(site: Site) -> None:
    """Nobody does anything: what the machine itself costs."""
    time.sleep(1)


def http_many_messages(site: Site) -> None:
    """POST /messages with 60,000 messages, and with as many as one may bring."""
    one = b'{"to":"topic:a","body":"x"}'
    for count in (60_000, 1_000):
        with site.connect("ws") as sock:
            say(http(sock, "/messages", b"[" + b",".join([one] * count) + b"]"))


def http_deep_json(site: Site) -> None:
    """POST /messages whose JSON is nested 100,000 deep, and one with a million keys."""
    for body in (
        b"[" * 1_000_000,
        b'[{"to":"topic:a","properties":{' + b",".join([b'"k%d":1' % n for n in range(1_000_000)]) + b"}}]",
        b'[{"to":"topic:a","body":' + b"[" * 400_000 + b"]" * 400_000 + b"}]",
        b'[{"to":"topic:a","body":[' + b",".join([b'{"a":1}'] * 1_000_000) + b"]}]",
        b'[{"to":"topic:a","properties":{' + b",".join([b'"k%d":1' % n for n in range(40_000)]) + b"}}]",
    ):
        with site.connect("ws") as sock:
            say(http(sock, "/messages", body))
    with site.connect("ws") as sock:
        meta = '{"properties":{' + ",".join([f'"k{n}":1' for n in range(1_500)]) + "}}"
        say(http(sock, "/topics/a", b"x", f"X-Mx-Meta: {meta}\r\n"))


def http_chunks(site: Site) -> None:
    """Two million chunks of one byte, before any login."""
    with site.connect("ws") as sock:
        send(sock, b"POST /topics/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        drain(sock)
        for _ in range(200):
            send(sock, b"1\r\nx\r\n" * 10_000)
        send(sock, b"0\r\n\r\n")
        time.sleep(0.5)


def mqtt_many_properties(site: Site) -> None:
    """One PUBLISH with 300,000 user properties, to a STOMP subscriber too."""
    block = b"".join([b"\x26" + mqtt_string(f"k{n}") + mqtt_string("v") for n in range(300_000)])
    with site.stomp() as reader, site.mqtt() as sock:
        reader.sendall(b"SUBSCRIBE\nid:0\ndestination:/topic/props\n\n\0")
        time.sleep(0.2)
        drain(reader)
        send(sock, publish("props", b"x", block))
        answered(sock)


def mqtt_many_filters(site: Site) -> None:
    """One SUBSCRIBE with 100,000 filters, and one UNSUBSCRIBE from them."""
    with site.mqtt() as sock:
        names = [mqtt_string(f"many/{n}/x") for n in range(100_000)]
        send(sock, mqtt_packet(0x82, b"\0\1\0" + b"".join([name + b"\0" for name in names])))
        answered(sock)
    with site.mqtt() as sock:
        send(sock, mqtt_packet(0xA2, b"\0\2\0" + b"".join(names)))
        answered(sock)


def mqtt_many_subscriptions_end(site: Site) -> None:
    """A client ends that has 100,000 subscriptions, in packets as large as they may be."""
    with site.mqtt() as sock:
        for at in range(0, 100_000, 200):
            names = [mqtt_string(f"leave/{at + n}/x") for n in range(200)]
            send(sock, mqtt_packet(0x82, b"\0\1\0" + b"".join([name + b"\0" for name in names])))
        answered(sock)
    time.sleep(1)


def wildcard_filters(site: Site) -> None:
    """1,000 filters with eight wildcards for any number of levels each, and topics of 250 levels."""
    with site.stomp() as sock, site.mqtt() as other:
        drain(sock)
        for n in range(1_000):
            levels = ".".join([f">.a{n if at == 3 else ''}" for at in range(8)])
            send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/{levels}.b\n\n\0".encode())
        time.sleep(1.5)
        for n in range(10):
            send(other, publish(f"t{n}/" + "/".join(["a"] * 250), b"x"))
        answered(other)


def _crossing(levels: int, count: int) -> list[list[str]]:
    """Filters of so many levels and one: a name reaches all of their parts, for they have a wildcard wherever one may be."""
    return [list(levels) for levels in itertools.islice(itertools.product("+a", repeat=levels), count)]


def new_topics(site: Site) -> None:
    """Nine clients have 1,000 filters each through which every name has very many ways; a tenth sends 300 new names."""
    with contextlib.ExitStack() as stack:
        filters = [mqtt_string("/".join([*levels, "zz"])) + b"\0" for levels in _crossing(14, 9_000)]
        for n in range(9):
            sock = stack.enter_context(site.mqtt(name=f"crossing{n}"))
            send(sock, mqtt_packet(0x82, b"\0\1\0" + b"".join(filters[n * 1_000 : n * 1_000 + 1_000])))
            answered(sock)
        sender = stack.enter_context(site.mqtt(name="sender"))
        send(sender, b"".join([publish("a/" * 14 + f"q{n}", b"x") for n in range(300)]))
        answered(sender)


def new_queues(site: Site) -> None:
    """Four clients read all queues of 1,000 such patterns each; a fifth sends to 500 new queues."""
    with contextlib.ExitStack() as stack:
        patterns = [".".join([*levels, "zz"]).replace("+", "*") for levels in _crossing(12, 4_000)]
        for n in range(4):
            sock = stack.enter_context(site.stomp())
            for id, pattern in enumerate(patterns[n * 1_000 : n * 1_000 + 1_000]):
                send(sock, f"SUBSCRIBE\nid:{id}\ndestination:/queue/{pattern}\n\n\0".encode())
            drain(sock)
        time.sleep(1)
        sender = stack.enter_context(site.stomp())
        name = "a." * 12
        send(sender, b"".join([f"SEND\ndestination:/queue/{name}q{n}\n\nx\0".encode() for n in range(500)]))
        send(sender, b"SEND\ndestination:/topic/x\nreceipt:r\n\nx\0")
        sender.recv(65_536)


def stomp_commit(site: Site) -> None:
    """COMMIT of 10,000 SENDs, as many as a transaction may have."""
    one = b"SEND\ndestination:/queue/commit\ntransaction:t\npersistent:true\n\nx\0"
    with site.stomp() as sock:
        send(sock, b"BEGIN\ntransaction:t\n\n\0")
        for _ in range(10):
            send(sock, one * 1_000)
        send(sock, b"COMMIT\ntransaction:t\nreceipt:r\n\n\0")
        while b"RECEIPT" not in sock.recv(65_536):
            pass


def stomp_many_headers(site: Site) -> None:
    """SENDs with as many headers as they may have, to an MQTT subscriber."""
    head = "".join([f"h{n}:v\n" for n in range(990)])
    with site.stomp() as sock, site.mqtt(name="reader") as reader:
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("head") + b"\0"))
        drain(reader)
        for n in range(50):
            send(sock, f"SEND\ndestination:/topic/head\nn:{n}\n{head}\nx\0".encode())
        send(sock, b"SEND\ndestination:/topic/head\nreceipt:r\n\nx\0")
        sock.recv(65_536)


def selectors(site: Site) -> None:
    """Selectors with LIKE patterns that many places of a long text could fit, and deep ones."""
    with site.stomp() as sock:
        drain(sock)
        like = "%a" * 200 + "b"
        for n in range(50):
            send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/sel\nselector:x LIKE '{like}'\n\n\0".encode())
        deep = "(" * 2_000 + "x = 1" + ")" * 2_000
        send(sock, f"SUBSCRIBE\nid:d\ndestination:/topic/sel\nselector:{deep}\nreceipt:1\n\n\0".encode())
        time.sleep(0.3)
    with site.stomp() as sock, site.stomp() as other:
        drain(sock)
        for n in range(50):
            send(sock, f"SUBSCRIBE\nid:{n}\ndestination:/topic/sel\nselector:x LIKE '{like}'\n\n\0".encode())
        wide = " OR ".join([f"x = '{n}'" for n in range(2_000)])
        send(sock, f"SUBSCRIBE\nid:w\ndestination:/topic/sel\nselector:{wide}\n\n\0".encode())
        time.sleep(0.3)
        for _ in range(5):
            send(other, f"SEND\ndestination:/topic/sel\nx:{'a' * 30_000}\n\ny\0".encode())
        send(other, b"SEND\ndestination:/topic/sel\nreceipt:r\n\nx\0")
        other.recv(65_536)


def retained(site: Site) -> None:
    """100,000 retained values: 50 SUBSCRIBE # in one write, then 100 filters that match nothing."""
    with site.mqtt(name="retains") as sock:
        for at in range(0, 100_000, 1_000):
            send(
                sock,
                b"".join([publish(f"r/{n // 100}/{n}", b"x", b"", True) for n in range(at, at + 1_000)]),
            )
        answered(sock)
    with site.mqtt() as sock:
        drain(sock)
        send(sock, b"".join([mqtt_packet(0x82, b"\0\1\0" + mqtt_string("#") + b"\0")] * 50))
        time.sleep(3)
    with site.mqtt() as sock:
        none = b"".join([mqtt_string(f"+/+/+/none{n}") + b"\0" for n in range(100)])
        send(sock, mqtt_packet(0x82, b"\0\1\0" + none))
        answered(sock)
        time.sleep(3)


def mqtt_in_flight(site: Site) -> None:
    """A client with 65,535 messages in flight ends, and its session with it."""
    with site.mqtt(name="writes") as sock, site.connect("mqtt") as reader:
        properties = b"\x21\xff\xff"
        head = b"\0\4MQTT\5\2\0\0" + bytes((len(properties),)) + properties + mqtt_string("flight")
        reader.sendall(mqtt_packet(0x10, head))
        mqtt_receive(reader)
        reader.sendall(mqtt_packet(0x82, b"\0\1\0" + mqtt_string("flight/#") + b"\1"))
        mqtt_receive(reader)
        drain(reader)
        for at in range(0, 65_000, 500):
            batch = [mqtt_packet(0x32, mqtt_string("flight/a") + b"\0\1\0x") for n in range(500)]
            send(sock, b"".join(batch))
            if at % 5_000 == 0:
                answered(sock)
        answered(sock)
        # Closing alone would do nothing while another thread reads.
        reader.shutdown(socket.SHUT_RDWR)
        time.sleep(1)


def commit_batches(site: Site) -> None:
    """200,000 persistent messages from one client, as fast as they go."""
    one = b"SEND\ndestination:/queue/batches\npersistent:true\n\nx\0"
    with site.stomp() as sock:
        for _ in range(200):
            send(sock, one * 1_000)
        send(sock, one.replace(b"persistent", b"receipt:r\npersistent"))
        while b"RECEIPT" not in sock.recv(65_536):
            pass


def connections(site: Site) -> None:
    """4,000 MQTT connections that come and go."""
    for _ in range(40):
        socks = [site.mqtt(4, f"c{n}") for n in range(100)]
        for sock in socks:
            sock.close()


def durable_fan_out(site: Site) -> None:
    """Messages to 10,000 subscriptions of kept sessions."""
    for n in range(200):
        with site.connect("mqtt") as sock:
            sock.sendall(mqtt_packet(0x10, b"\0\4MQTT\4\0\0\0" + mqtt_string(f"kept{n}")))
            mqtt_receive(sock)
            sock.sendall(mqtt_packet(0x82, b"\0\1" + mqtt_string("fan/#") + b"\1"))
            mqtt_receive(sock)
    with site.mqtt(4) as sock:
        for n in range(20):
            send(sock, mqtt_packet(0x32, mqtt_string(f"fan/{n}") + b"\0\1" + bytes(100)))
        answered(sock)


def many_subscribers(site: Site) -> None:
    """5,000 subscriptions of # on few connections, and new topics."""
    socks = [site.stomp() for _ in range(10)]
    for sock in socks:
        drain(sock)
        send(sock, b"".join([f"SUBSCRIBE\nid:{n}\ndestination:/topic/>\n\n\0".encode() for n in range(500)]))
    time.sleep(1)
    with site.mqtt() as sock:
        for n in range(50):
            send(sock, publish(f"new/{n}", b"x"))
        answered(sock)
    for sock in socks:
        sock.close()
    time.sleep(1)


def many_queues(site: Site) -> None:
    """20,000 queues, and one subscription to all of them."""
    with site.stomp() as sock:
        for at in range(0, 20_000, 1_000):
            send(
                sock,
                b"".join([f"SEND\ndestination:/queue/q.{n}\n\nx\0".encode() for n in range(at, at + 1_000)]),
            )
        send(sock, b"SEND\ndestination:/queue/q.0\nreceipt:r\n\nx\0")
        sock.recv(65_536)
    with site.stomp() as sock:
        drain(sock)
        send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/q.>\nack:auto\n\n\0")
        time.sleep(5)
    time.sleep(1)


def large_paged(site: Site) -> None:
    """2,000 messages of 60 kB are written and drained."""
    one = b"SEND\ndestination:/queue/large\npersistent:true\ncontent-length:60000\n\n" + bytes(60_000) + b"\0"
    with site.stomp() as sock:
        for _ in range(2_000):
            send(sock, one)
        send(sock, b"SEND\ndestination:/topic/x\nreceipt:r\n\nx\0")
        sock.recv(65_536)
    with site.stomp() as sock:
        drain(sock)
        send(sock, b"SUBSCRIBE\nid:0\ndestination:/queue/large\nack:auto\n\n\0")
        time.sleep(3)


CASES: Final[dict[str, Callable[[Site], None]]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        nothing,
        http_many_messages,
        http_one_large,
        http_many_numbers,
        json_halves,
        json_unpacked,
        json_large_to_many,
        json_very_large,
        json_packed,
        mqtt_one_large,
        stomp_one_large,
        stomp_large_to_others,
        large_once,
        large_as_json,
        large_in_chunks,
        mqtt_properties_to_stomp,
        http_deep_json,
        http_chunks,
        mqtt_many_properties,
        mqtt_many_filters,
        mqtt_many_subscriptions_end,
        wildcard_filters,
        new_topics,
        new_queues,
        stomp_commit,
        stomp_many_headers,
        selectors,
        retained,
        mqtt_in_flight,
        commit_batches,
        connections,
        durable_fan_out,
        many_subscribers,
        many_queues,
        large_paged,
    )
}


def paused(site: Site) -> str:
    """The process stands still while clients go on: who is ended for silence that was not theirs?"""
    process = site.running.process
    assert process is not None
    with site.connect("mqtt") as sock:
        sock.sendall(mqtt_packet(0x10, b"\0\4MQTT\4\2\0\1" + mqtt_string("sleeper")))
        mqtt_receive(sock)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.5)
        sock.sendall(b"\xc0\x00")
        time.sleep(3)
        os.kill(process.pid, signal.SIGCONT)
        try:
            return "stays" if receive_exactly(sock, 2) == b"\xd0\x00" else "is ended"
        except OSError:
            return "is ended"


def main() -> None:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default="", help="the gateway's command; plain Python without it")
    parser.add_argument("names", nargs="*", help="cases: " + ", ".join(CASES))
    arguments = parser.parse_args()
    command = [arguments.bin] if arguments.bin else [sys.executable, "-m", "gateway"]
    for name in arguments.names or CASES:
        if name == "paused":
            continue
        site = Site(command)
        try:
            process = site.running.process
            assert process is not None
            pinger = Pinger(site.ports["mqtt"], process.pid)
            time.sleep(0.2)
            pinger.worst()
            begun = time.perf_counter()
            CASES[name](site)
            time.sleep(SETTLE_S)
            worst, worked, count = pinger.worst()
            took_s = time.perf_counter() - begun
            print(
                f"{name:30} {worst * 1000:8.1f} ms, of work {worked * 1000:7.1f} ms  ({count} pings, {took_s:.1f} s)",
                flush=True,
            )
            pinger.end()
        finally:
            site.running.stop()
    if not arguments.names or "paused" in arguments.names:
        site = Site(command)
        try:
            print(f"{'paused':30} a client that pinged meanwhile {paused(site)}")
        finally:
            site.running.stop()


if __name__ == "__main__":
    main()
