"""Room on the disk: when there is too little of it, and what is kept back."""

import errno
import os
from pathlib import Path

import pytest

from gateway.store.room import Disk, Room

MB = 1_000_000


class Small(Disk):
    """A disk of 1 GB with so much free; it remembers the one file that is on it."""

    def __init__(self, free: int, total: int = 1_000 * MB) -> None:
        self.left = free
        self.total = total
        self.held = 0

    def free(self, directory: Path) -> tuple[int, int]:
        return self.left, self.total

    def allocate(self, path: Path, size: int) -> None:
        more = size - self.held
        if more > self.left:
            self.held, self.left = self.held + self.left, 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.held = size
        self.left -= more

    def release(self, path: Path, size: int) -> None:
        self.left += self.held - size
        self.held = size

    def size(self, path: Path) -> int:
        return self.held


def room(disk: Disk, least: int = 50 * MB, reserve: int = 10 * MB) -> Room:
    made = Room(Path("store.db"), least, reserve, disk)
    made.look()
    return made


def test_room_is_low_below_the_bytes_asked_for_and_enough_only_with_some_to_spare() -> None:
    disk = Small(70 * MB)
    looked = room(disk)
    assert (looked.low, disk.held) == ("", 10 * MB)
    disk.left = 50 * MB - 1
    looked.look()
    assert looked.low == "49,999,999 bytes are free on the disk, store.free_bytes_min is 50,000,000"
    disk.left = 54 * MB
    looked.look()
    assert looked.low
    disk.left = 55 * MB
    looked.look()
    assert not looked.low


def test_what_lies_free_in_the_stores_own_file_counts_as_room() -> None:
    disk = Small(70 * MB)
    looked = room(disk)
    disk.left = 20 * MB
    looked.look(29 * MB)
    assert looked.low
    looked.look(36 * MB)
    assert not looked.low


def test_on_a_small_disk_both_bounds_are_parts_of_it() -> None:
    disk = Small(20 * MB, total=60 * MB)
    looked = room(disk)
    assert (looked.low, disk.held) == ("", 3 * MB)
    disk.left = 6 * MB - 1
    looked.look()
    assert "store.free_bytes_min is 6,000,000" in looked.low


def test_a_small_reserve_is_given_up_in_as_many_parts() -> None:
    disk = Small(20 * MB, total=60 * MB)
    looked = room(disk)
    assert looked.give_up()
    assert disk.held == 2_250_000


def test_without_its_reserve_there_is_too_little_room_whatever_the_file_has_free() -> None:
    disk = Small(70 * MB)
    looked = room(disk)
    disk.left = 0
    looked.give_up()
    looked.look(500 * MB)
    assert "not enough for store.reserve_bytes" in looked.low
    disk.left = 70 * MB
    looked.look()
    assert (looked.low, disk.held) == ("", 10 * MB)


def test_a_reserve_of_an_earlier_run_is_given_up_in_parts_on_a_full_disk() -> None:
    disk = Small(70 * MB)
    room(disk)
    disk.left = 0
    again = Room(Path("store.db"), 50 * MB, 10 * MB, disk)
    given = []
    while again.give_up():
        given.append(disk.left)
    assert given == [2.5 * MB, 5 * MB, 7.5 * MB, 10 * MB]


def test_at_the_end_as_much_is_held_back_as_there_is_room_for() -> None:
    disk = Small(70 * MB)
    looked = room(disk)
    while looked.give_up():
        pass
    disk.left = 6 * MB
    looked.close()
    assert disk.held == 5 * MB


def test_bytes_that_may_wait_for_their_commit_shrink_with_the_room() -> None:
    disk = Small(900 * MB)
    looked = room(disk)
    assert looked.pending_max(64 << 20) == 64 << 20
    for free, most in ((80 << 20, 8 << 20), (1 << 20, 1 << 20), (0, 1 << 20)):
        disk.left = free
        looked.look()
        assert looked.pending_max(64 << 20) == most
    assert Room(Path("store.db"), disk=disk).pending_max(5) == 5


def test_a_disk_that_cannot_be_asked_is_not_called_full(tmp_path: Path) -> None:
    looked = Room(tmp_path / "gone" / "store.db", 50 * MB, 10 * MB)
    looked.look()
    assert looked.low == ""


def test_the_reserve_really_takes_its_bytes_of_the_disk(tmp_path: Path) -> None:
    looked = Room(tmp_path / "store.db", 0, 1 << 20)
    looked.look()
    file = tmp_path / "store.db-reserve"
    assert file.stat().st_size == 1 << 20
    if hasattr(os, "posix_fallocate"):
        assert file.stat().st_blocks * 512 >= 1 << 20
    assert looked.give_up()
    assert file.stat().st_size == 3 << 18
    while looked.give_up():
        pass
    assert not file.exists()


@pytest.mark.parametrize("free", [0, 5 * MB])
def test_a_reserve_that_cannot_be_had_is_not_there_in_part(free: int) -> None:
    class Liar(Small):
        def free(self, directory: Path) -> tuple[int, int]:
            return 500 * MB, self.total

    disk = Liar(free)
    looked = room(disk)
    assert (disk.held, disk.left) == (0, free)
    assert "not enough for store.reserve_bytes" in looked.low
