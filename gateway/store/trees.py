"""Which pages of a damaged database hold which table's rows.

Two accounts say so, and each stands in where the other was damaged: the trees, read from their roots down, and the maps
of pages, read from a page up to its root (fileformat2, "Pointer Map or Ptrmap Pages").
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple, final

from gateway.store.btree import (
    INDEX_INNER,
    INDEX_LEAF,
    NO_PAGE,
    TABLE_INNER,
    TABLE_LEAF,
    BadCell,
    Page,
    read_cell,
    read_page,
    values_of,
)
from gateway.store.image import FIRST_OVERFLOW, FREE, INNER, ROOT, Image
from gateway.store.schema import MIGRATIONS, statements
from gateway.store.shapes import SHAPES, Shape

DEPTH_MAX: Final = 40
"""Pages from a root to a leaf; a tree of the largest file has fewer."""

_FREE_LIST_AT: Final = 32


class Lost(NamedTuple):
    """A page that cannot be read, with all that it held."""

    number: int
    low: int
    """The keys of its rows were above this …"""
    high: int
    """… and not above this; 0 where that is not known."""


@final
class Trees:
    """The tables of `image`, which is a store of this `version`; `roots` is what it says of itself."""

    def __init__(self, image: Image, version: int, roots: dict[str, int]) -> None:
        self._image = image
        self.lost: dict[str, list[Lost]] = {}
        """Pages that cannot be read, by table."""
        self._shapes = {shape.table: shape for shape in SHAPES if shape.since <= version}
        self._roots = _all_roots(image, version, roots)
        # Page → table, for the pages of trees.
        self._owners: dict[int, str] = {}
        for table in self._shapes:
            if table in self._roots:
                self._walk(table, self._roots[table])
        self._climb_all()
        if self.lost:
            self._guess()

    def pages_of(self, table: str) -> list[int]:
        """Those that hold rows, or should."""
        return [number for number, owner in self._owners.items() if owner == table]

    def _walk(self, table: str, root: int) -> None:
        """From the root down."""
        shape = self._shapes[table]
        waiting = [(root, 0, 0, 0)]
        while waiting:
            number, low, high, depth = waiting.pop()
            if number in self._owners or number < 3 or depth > DEPTH_MAX:
                continue
            if number > self._image.pages:
                # Beyond the end of the file, which was cut off.
                self.lost.setdefault(table, []).append(Lost(number, low, high))
                continue
            page = page_of(self._image.page(number), shape)
            kind, _ = self._image.use_of(number)
            if page.kind == 0 and kind in (FREE, FIRST_OVERFLOW):
                # Not the page that was meant.
                continue
            self._owners[number] = table
            if page.kind == 0 or number in self._image.unreadable:
                self.lost.setdefault(table, []).append(Lost(number, low, high))
            waiting += reversed(_below(page, low, high, depth))

    def _climb_all(self) -> None:
        """From each page that no tree names up to its root."""
        tables = {root: table for table, root in self._roots.items()}
        for number in range(3, self._image.pages + 1):
            if number in self._owners or self._image.is_map(number):
                continue
            root = self._root_above(number)
            table = tables.get(root)
            if table is not None:
                self._owners[number] = table
                if page_of(self._image.page(number), self._shapes[table]).kind == 0:
                    self.lost.setdefault(table, []).append(Lost(number, 0, 0))

    def _root_above(self, number: int) -> int:
        """The root of the tree in which this page is; 0 where that is not known."""
        for _ in range(DEPTH_MAX):
            kind, parent = self._image.use_of(number)
            if kind == ROOT:
                return number
            if kind != INNER:
                return 0
            number = parent
        return 0

    def _guess(self) -> None:
        """Pages of which neither says anything are those of the table that their rows fit, if they fit no other."""
        free = self._free_pages()
        for number in range(3, self._image.pages + 1):
            if number in self._owners or number in free or self._image.is_map(number):
                continue
            if self._image.use_of(number)[0] not in (0, INNER):
                continue
            fitting = [table for table, shape in self._shapes.items() if fits(self._image, number, shape)]
            if len(fitting) == 1:
                self._owners[number] = fitting[0]

    def _free_pages(self) -> set[int]:
        """Those on the list of free pages, as far as it can be read."""
        free: set[int] = set()
        at = _FREE_LIST_AT
        following = int.from_bytes(self._image.page(1)[at : at + 4], "big")
        while 2 < following <= self._image.pages and following not in free:
            free.add(following)
            trunk = self._image.page(following)
            count = min(int.from_bytes(trunk[4:8], "big"), len(trunk) // 4 - 2)
            free |= {int.from_bytes(trunk[8 + 4 * n : 12 + 4 * n], "big") for n in range(count)}
            following = int.from_bytes(trunk[:4], "big")
        return free


def _below(page: Page, low: int, high: int, depth: int) -> list[tuple[int, int, int, int]]:
    """The pages below this one, with the keys between which their rows are."""
    edges = [low, *page.bounds, high] if page.bounds else [0] * (len(page.children) + 1)
    return [(child, edges[at], edges[at + 1], depth + 1) for at, child in enumerate(page.children)]


def page_of(data: bytes, shape: Shape) -> Page:
    """What the page says of itself as one of this table's; NO_PAGE if it can be none."""
    page = read_page(data, 2)
    family = (TABLE_LEAF, TABLE_INNER) if shape.rowid else (INDEX_LEAF, INDEX_INNER)
    return page if page.kind in family else NO_PAGE


def fits(image: Image, number: int, shape: Shape) -> bool:
    """Do most rows in this page look like this table's?"""
    data = image.page(number)
    page = page_of(data, shape)
    good = 0
    for at in page.cells:
        try:
            cell = read_cell(data, page.kind, at, image.page)
            good += not shape.fault(row_of(shape, cell.key, values_of(cell.record)))
        except BadCell:
            continue
    return 2 * good > len(page.cells)


def row_of(shape: Shape, key: int | None, values: Sequence[Any]) -> list[Any]:
    """The columns of a row: the rowid stands in the record as NULL."""
    row = list(values)
    if shape.rowid and shape.keyed and row and row[0] is None:
        row[0] = key
    return row


# -- where the trees begin


class Account(NamedTuple):
    """What a database says of its own tables."""

    version: int
    roots: dict[str, int]
    """Table → its first page."""
    texts: set[str]
    """The statements that made everything in it."""


def account_of(image: Image) -> Account:
    """Read in the first page and those below it."""
    roots: dict[str, int] = {}
    texts: set[str] = set()
    known = {shape.table for shape in SHAPES}
    waiting = [1]
    seen: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number in seen or not 0 < number <= image.pages:
            continue
        seen.add(number)
        data = image.page(number)
        page = read_page(data, number)
        waiting += page.children
        for at in page.cells if page.kind == TABLE_LEAF else []:
            try:
                values = values_of(read_cell(data, page.kind, at, image.page).record)
            except BadCell:
                continue
            if len(values) != 5:
                continue
            kind, name, _, root, text = values
            if isinstance(text, str):
                texts.add(text)
            if kind == "table" and isinstance(name, str) and name in known and isinstance(root, int):
                roots[name] = root
    header = image.page(1)
    return Account(int.from_bytes(header[60:64], "big"), roots, texts)


def texts_of(version: int) -> set[str]:
    """What a whole store of this version says there."""
    return {text for text in statements(version) if text.startswith("CREATE")}


def _all_roots(image: Image, version: int, said: dict[str, int]) -> dict[str, int]:
    """Where each table begins: by its own account, or else where it does in a new store of this or an earlier version."""
    roots = {table: root for table, root in said.items() if 2 < root <= image.pages}
    for origin in range(version, 0, -1):
        for table, root in _new_roots(origin, version).items():
            shape = next(shape for shape in SHAPES if shape.table == table)
            unclaimed = table not in roots and root not in roots.values()
            if unclaimed and image.use_of(root)[0] in (ROOT, 0) and _may_begin(image, root, shape):
                roots[table] = root
    return roots


def _may_begin(image: Image, root: int, shape: Shape) -> bool:
    page = page_of(image.page(root), shape)
    return page.kind == 0 or bool(page.children) or not page.cells or fits(image, root, shape)


@cache
def _new_roots(origin: int, version: int) -> dict[str, int]:
    """The roots in a store that was made with version `origin`, and then became `version`."""
    known = [shape.table for shape in SHAPES]
    database = sqlite3.connect(":memory:")
    try:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for text in statements(origin):
            database.execute(text)
        for step in range(origin, version):
            for text in MIGRATIONS[step]:
                database.execute(text)
        rows = database.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: root for name, root in rows if name in known}
    finally:
        database.close()
