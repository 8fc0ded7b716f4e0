"""How fast messages leave that only the disk has: `python -m tests.perf.drains [--bin PROGRAM]`, or with `make bench`.

Each time the gateway is killed between filling and draining, so that nothing of the queue is in its memory.
`--bin .venv-compiled/bin/gateway` measures the compiled gateway; without it the source tree runs as plain Python.
"""

import argparse
import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import closing
from typing import Final

from gateway.core.ports import SEQUENCE_BITS
from tests.perf import stalls
from tests.perf.bars import Bar
from tests.perf.durable import PREFETCH, PersistentStomp
from tests.perf.peers import GATEWAY, Peer, Running
from tests.perf.wires import Content, Stomp
from tests.perf.workloads import Figure, Workload

QUEUE: Final = "/queue/bench.drain"

LONG: Final = 60_000
"""Bytes of a payload that is a row still, and of which a page of messages holds few."""

LONG_COUNT: Final = 4_000

EXPIRING: Final = 50_000
"""Messages that expire all at once."""

EXPIRY_S: Final = 60
"""After so long: until then they have been sent, and the gateway has been started again."""

OUTSTANDING: Final = 20
"""Batches that are sent without having been confirmed."""

WAITING: Final = f"SELECT count(*) FROM queue JOIN entry ON id >> {SEQUENCE_BITS} = number WHERE key = ?"

WAIT_S: Final = 120.0


def _fill(running: Running, size: int, count: int, headers: bytes = b"") -> None:
    """Queue messages, and hear that the last is safe; then kill the gateway and start it again."""
    begin = time.perf_counter()
    content = Content((QUEUE,), b"x" * size)
    wire = PersistentStomp(running.endpoints["stomp"], content, receipts=True)
    plain = Stomp(running.endpoints["stomp"], content).publish(0)
    plain = plain.replace(b"\ncontent-length", b"\npersistent:true\n" + headers + b"content-length", 1)
    confirmed = wire.publish(0).replace(b"\ncontent-length", b"\n" + headers + b"content-length", 1)
    sock = wire.connect("drain-fill")
    batch = max(1, min(100, (1 << 20) // size))
    outstanding = 0
    for _ in range(count // batch):
        sock.sendall(plain * (batch - 1) + confirmed)
        outstanding += 1
        while outstanding > OUTSTANDING:
            outstanding -= _receipts(sock)
    while outstanding:
        outstanding -= _receipts(sock)
    sock.close()
    print(f"    {count:,} messages queued in {time.perf_counter() - begin:.1f} s", flush=True)
    process = running.process
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running.start()


def _receipts(sock: socket.socket) -> int:
    data = sock.recv(4_096)
    if not data or b"ERROR" in data:
        raise ConnectionError(data.decode(errors="replace"))
    return data.count(b"\0")


def long_messages(running: Running, seconds: float) -> Figure:
    """Messages of 60 kB a second, from the disk to a consumer that acknowledges each."""
    _fill(running, LONG, LONG_COUNT)
    count = LONG_COUNT // (batch := (1 << 20) // LONG) * batch
    content = Content((QUEUE,), b"x" * LONG)
    wire = PersistentStomp(running.endpoints["stomp"], content, "client-individual", False, PREFETCH)
    sock = wire.connect("drain")
    counter = wire.deliveries()
    begin = time.perf_counter()
    wire.subscribe(sock, QUEUE)
    sock.settimeout(WAIT_S)
    while counter.count < count - 1:
        if not counter.read(sock):
            raise ConnectionError("the broker closed the connection")
        while counter.answer:
            counter.reply(sock)
    took = time.perf_counter() - begin
    sock.close()
    return Figure(count / took)


def mass_expiry(running: Running, seconds: float) -> Figure:
    """Messages that leave their queue a second, for the dead letters on the disk, where all expire at once."""
    expires = time.time() + EXPIRY_S
    _fill(running, 100, EXPIRING, b"expires:%d\n" % (expires * 1000))
    if (left := expires - time.time()) < 1:
        raise RuntimeError(f"filling took too long, by {1 - left:.1f} s")
    path = running.directory / "store.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:

        def waiting() -> int:
            return int(reader.execute(WAITING, (QUEUE.replace("/queue/", "queue:"),)).fetchone()[0])

        if (there := waiting()) != EXPIRING:
            raise RuntimeError(f"{there:,} of {EXPIRING:,} are in the store")
        time.sleep(max(0.0, expires - time.time()))
        begin = time.perf_counter()
        while waiting():
            if time.perf_counter() - begin > WAIT_S:
                raise RuntimeError(f"{waiting():,} are still there")
            time.sleep(0.05)
        return Figure(EXPIRING / (time.perf_counter() - begin))


PEERS: Final[tuple[Peer, ...]] = ()

WORKLOADS: Final = (
    Workload("drain_60k", "60 kB from the disk, acknowledged", ("restart",), long_messages, peers=False),
    Workload("mass_expiry", "50,000 on the disk expire at once", ("restart",), mass_expiry, peers=False),
)

BARS: Final = (
    Bar("60 kB from the disk, messages a second", lambda r: r.get(GATEWAY.name, "drain_60k"), 3 * 576),
    Bar("expired on the disk, messages a second", lambda r: r.get(GATEWAY.name, "mass_expiry"), 10_000),
)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default="", help="the gateway's command; plain Python without it")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    command = [arguments.bin] if arguments.bin else [sys.executable, "-m", "gateway"]
    for workload in WORKLOADS:
        for _ in range(arguments.repeat):
            site = stalls.Site(command)
            try:
                figure = workload.run(site.running, 0)
                print(f"{workload.title:40} {figure.value:10,.0f} {workload.unit}", flush=True)
            finally:
                site.running.stop()


if __name__ == "__main__":
    main()
