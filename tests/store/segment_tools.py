"""A store with segments so small that a few records fill them, and what is to be seen of them."""

from pathlib import Path

from store_doubles import SqliteHarness

from gateway.core.ports import Entry
from gateway.core.record import Decoder
from gateway.store.database import Database
from gateway.store.segments import Files, directory_of, segments_in

LARGE = 1_000
SEGMENT = 10_000
BODY = b"b" * 2_000


def opened(path: Path, files: Files | None = None) -> SqliteHarness:
    harness = SqliteHarness(path, large=LARGE, segment_bytes=SEGMENT, files=files)
    harness.store.recover()
    harness.start()
    return harness


def files_of(path: Path) -> list[int]:
    return sorted(segments_in(directory_of(path)))


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    reader = Database(str(path), read_only=True)
    try:
        return reader.rows(sql)
    finally:
        reader.close()


def bodies(entries: list[Entry]) -> list[bytes]:
    decoder = Decoder()
    return [decoder.message(entry.record).origin.body() for entry in entries]
