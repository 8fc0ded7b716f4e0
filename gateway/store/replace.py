"""One store takes the place of another, which is kept: in steps, of which a crash may leave any undone.

    STORE.salvage                 being written, or STORE.restoring
    STORE.next-damaged-DATE       whole, and on the disk: from here on it is the store, whatever names are still missing
    STORE.damaged-DATE, -wal …    what was there before
    STORE                         the new one

Whoever opens a store calls `finish` first.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.store.errors import StoreRefused, full_or
from gateway.store.schema import sync_directory
from gateway.store.segments import directory_of, segments_in
from gateway.store.wal import forget_index

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database."""

SUFFIXES: Final = ("", *BESIDE)

DAMAGED: Final = "damaged"
BEFORE_RESTORE: Final = "before-restore"

_NEXT: Final = ".next-"
_PARTS: Final = (".salvage", ".restoring")
_OLD_PARTS: Final = (".saved", ".restored")
"""What earlier versions of this program called a file that was whole before the store gave up its name."""

DOUBTFUL: Final = ".doubtful"
"""Beside a store of which something could not be read: says what, and has the next start look at all of it."""


def part_of(path: Path, kind: str) -> Path:
    """The file to write what shall take the place of the store at `path`; nothing of an earlier one is there."""
    part = path.with_name(path.name + (".salvage" if kind == DAMAGED else ".restoring"))
    remove(part)
    return part


def remove(path: Path) -> None:
    """A database that is not needed, with what is beside it."""
    for suffix in SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def kept_for(path: Path, kind: str) -> Path:
    """A name under which the present store can be kept."""
    base = f"{path.name}.{kind}-" + (time.strftime("%Y%m%d-%H%M%S") if kind == DAMAGED else "1")
    kept = path.with_name(base)
    number = 1
    while any(_is_taken(name) for name in (kept, directory_of(kept), _next_for(path, kept))):
        number += 1
        kept = path.with_name(f"{base}-{number}" if kind == DAMAGED else f"{path.name}.{kind}-{number}")
    return kept


def _is_taken(name: Path) -> bool:
    return any(name.with_name(name.name + suffix).exists() for suffix in SUFFIXES)


def _next_for(path: Path, kept: Path) -> Path:
    return path.with_name(path.name + _NEXT + kept.name[len(path.name) + 1 :])


def replace(path: Path, part: Path, kept: Path) -> None:
    """`part`, which is whole and on the disk, is the store now; what was there before is `kept`."""
    following = _next_for(path, kept)
    os.replace(part, following)
    sync_directory(path.parent)
    _give_names(path, following, kept)


def _give_names(path: Path, following: Path, kept: Path) -> None:
    for suffix in BESIDE:
        _move(path.with_name(path.name + suffix), kept.with_name(kept.name + suffix))
    if kept.name.startswith(f"{path.name}.{BEFORE_RESTORE}"):
        _move(directory_of(path), directory_of(kept))
    else:
        _link_segments(path, kept)
    _move(path, kept)
    path.with_name(path.name + DOUBTFUL).unlink(missing_ok=True)
    forget_index(path)
    sync_directory(path.parent)
    os.replace(following, path)
    sync_directory(path.parent)


def _link_segments(path: Path, kept: Path) -> None:
    """Large messages of a damaged store go on being used; it has them too, for as long as it is kept."""
    for segment in segments_in(directory_of(path)).values():
        directory_of(kept).mkdir(mode=0o700, exist_ok=True)
        # Where a file can have one name only, it goes when nothing in it is needed any more.
        with suppress(OSError):
            os.link(segment, directory_of(kept) / segment.name)


def _move(old: Path, new: Path) -> None:
    if old.exists():
        os.replace(old, new)


def finish(path: Path) -> list[str]:
    """Carry on where an earlier start, or a restore, broke off; returns what was done.  Raises StoreError."""
    done: list[str] = []
    try:
        if not path.exists():
            for suffix in _OLD_PARTS:
                old = path.with_name(path.name + suffix)
                if old.exists() and list(path.parent.glob(f"{path.name}.{_kind_of(suffix)}-*")):
                    replace(path, old, kept_for(path, _kind_of(suffix)))
                    done.append(f"{path}: an earlier start ended before it had its name")
        for following in sorted(path.parent.glob(f"{path.name}{_NEXT}*")):
            if following.name.endswith(BESIDE):
                continue
            kept = path.with_name(f"{path.name}.{following.name[len(path.name) + len(_NEXT) :]}")
            _give_names(path, following, kept)
            done.append(
                f"{path}: was being replaced when an earlier start ended; what it was is kept as {kept}"
            )
        _remove_parts(path)
    except OSError as error:
        # A disk that is full has room again when the reserve is given up; then it goes on.
        raise full_or(StoreRefused, str(path), error) from None
    return done


def _remove_parts(path: Path) -> None:
    """What no earlier start came to the end of; mostly there is nothing, which one look at the directory says."""
    there = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
    for part in (*_PARTS, *_OLD_PARTS, ".work"):
        for suffix in SUFFIXES:
            name = path.name + part + suffix
            if name in there:
                path.with_name(name).unlink(missing_ok=True)


def _kind_of(suffix: str) -> str:
    return BEFORE_RESTORE if suffix == ".restored" else DAMAGED


def doubt(path: Path, why: str) -> None:
    """Have the next start look at all of the store."""
    with suppress(OSError):
        path.with_name(path.name + DOUBTFUL).write_text(why + "\n", "utf-8")


def doubted(path: Path) -> str:
    """Why an earlier run doubted the store; empty when none did."""
    try:
        text = path.with_name(path.name + DOUBTFUL).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
    return text or "an earlier run could not read it"
