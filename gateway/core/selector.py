"""Selectors: the condition in SQL-92's words that a consumer puts on the messages it wants (JMS 2.0 §3.8).

A selector is parsed once (`selector_parser.parse_selector`) into a tree of the classes below.  Values are None
(unknown), bool, int, float and str; whatever meets unknown is unknown, and only true selects (§3.8.1.2).

Headers of text protocols know no numbers.  A selector that `converts` reads the text of a number as that number, and
`true` and `false` as booleans, where it is compared with one (ActiveMQ: `convert_string_expressions:`).
"""

from typing import Final, final

from gateway.core.message import PRIORITY_DEFAULT, PRIORITY_NONE, Message, Typed

# What a node can give, as far as its text tells.
BOOLEAN: Final = 0
NUMBER: Final = 1
TEXT: Final = 2
ANY: Final = 3
"""A property: known only with the message."""

EQUAL: Final = 0
DIFFERENT: Final = 1
LESS: Final = 2
LESS_EQUAL: Final = 3
GREATER: Final = 4
GREATER_EQUAL: Final = 5

ADD: Final = 0
SUBTRACT: Final = 1
MULTIPLY: Final = 2
DIVIDE: Final = 3
REMAINDER: Final = 4

EQUALITIES_MAX: Final = 64
"""Equalities of which a selector needs one, beyond which it is asked about every message."""

HEADER_NAMES: Final = frozenset(
    {
        "JMSPriority",
        "JMSDeliveryMode",
        "JMSExpiration",
        "JMSDestination",
        "JMSRedelivered",
        "JMSXDeliveryCount",
        "JMSType",
        "JMSCorrelationID",
        "JMSMessageID",
        "JMSTimestamp",
        "JMSReplyTo",
        "JMSXGroupID",
        "JMSXGroupSeq",
        "JMSXUserID",
        "JMSXAppID",
    }
)
"""Names that `Subject` does not look for among the properties alone."""

NUMBER_LENGTH_MAX: Final = 40
"""Characters of a text that may be read as a number."""

_INTEGERS: Final = frozenset({"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "ts"})
_NUMERALS: Final = frozenset("0123456789+-.eE")


@final
class Subject:
    """The message that a selector looks at."""

    __slots__ = ("converts", "failures", "message", "redelivered")

    def __init__(self, message: Message, failures: int, converts: bool, redelivered: bool) -> None:
        self.message = message
        self.failures = failures
        self.redelivered = redelivered
        self.converts = converts

    def named(self, name: str) -> object:
        """The header field or property of that name; None when there is none.  The first of repeated ones counts."""
        if name.startswith("JMS"):
            value = self._header(name)
            if value is not None:
                return value
        for given, value in self.message.fields().properties:
            if given == name:
                return plain(value)
        return None

    def _header(self, name: str) -> object:
        """What JMS calls a header field (§3.4) or defines as a property (§3.5.9)."""
        message = self.message
        if name == "JMSPriority":
            return PRIORITY_DEFAULT if message.priority == PRIORITY_NONE else message.priority
        if name == "JMSDeliveryMode":
            return "PERSISTENT" if message.persistent else "NON_PERSISTENT"
        if name == "JMSExpiration":
            return message.expires_at_ms
        if name == "JMSDestination":
            return str(message.destination)
        if name == "JMSRedelivered":
            return self.redelivered
        if name == "JMSXDeliveryCount":
            return self.failures + 1
        fields = message.fields()
        if name == "JMSType":
            return fields.subject
        if name == "JMSCorrelationID":
            return plain(fields.correlation_id)
        if name == "JMSMessageID":
            return plain(fields.message_id)
        if name == "JMSTimestamp":
            created_ms = fields.created_at_ms
            return message.received_at_ms if created_ms is None else created_ms
        if name == "JMSReplyTo":
            return None if fields.reply_to is None else str(fields.reply_to)
        if name == "JMSXGroupID":
            return fields.group_id
        if name == "JMSXGroupSeq":
            return fields.group_sequence
        if name == "JMSXUserID":
            return plain(fields.user_id)
        if name == "JMSXAppID":
            return fields.app_id
        return None


@final
class Selector:
    """One parsed selector."""

    __slots__ = ("_root", "bytes", "converts", "one_of", "text")

    def __init__(self, text: str, root: "Node", converts: bool) -> None:
        self.text = text
        """As it was written; two selectors with the same text select the same."""
        self.bytes = 0
        """What it takes in memory, about: ten to thirty times its text where that is a condition behind the other."""
        self._root = root
        self.converts = converts
        self.one_of = root.one_of()
        """Names and the values of which one must be what the message has there; None when that is not known."""

    def matches(self, message: Message, failures: int = 0, redelivered: bool = False) -> bool:
        """Does it select `message`, of which `failures` deliveries have failed?  `redelivered`: it may have had others."""
        subject = Subject(message, failures, self.converts, redelivered or failures > 0)
        return truth(self._root.value(subject), subject) is True


class Node:
    """One operation, literal or name."""

    __slots__ = ("depth", "kind")

    def __init__(self, kind: int, depth: int) -> None:
        self.kind = kind
        self.depth = depth
        """Calls below this one that its evaluation takes."""

    def value(self, subject: Subject) -> object:
        """What it comes to for this message."""
        raise NotImplementedError

    def one_of(self) -> list[tuple[str, object]] | None:
        """Where this is true, one of these names equals the value beside it; None when there is no such list."""
        return None


@final
class Literal(Node):
    """A value as written."""

    __slots__ = ("written",)

    def __init__(self, value: object, kind: int) -> None:
        super().__init__(kind, 1)
        self.written: object = value

    def value(self, subject: Subject) -> object:
        """See Node."""
        return self.written


@final
class Name(Node):
    """A property or header field."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__(ANY, 1)
        self.name = name

    def value(self, subject: Subject) -> object:
        """See Node."""
        return subject.named(self.name)


@final
class Junction(Node):
    """AND, which one false decides, or OR, which one true decides."""

    __slots__ = ("_decides", "_parts")

    def __init__(self, parts: list[Node], decides: bool) -> None:
        super().__init__(BOOLEAN, 1 + deepest(parts))
        self._parts = parts
        self._decides = decides

    def value(self, subject: Subject) -> object:
        """As it is decided, else unknown when one is unknown (§3.8.1.2, tables 3-4 and 3-5)."""
        decides = self._decides
        unknown = False
        for part in self._parts:
            holds = truth(part.value(subject), subject)
            if holds is None:
                unknown = True
            elif holds == decides:
                return decides
        return None if unknown else not decides

    def one_of(self) -> list[tuple[str, object]] | None:
        """See Node.  AND needs what any of its parts needs, so the shortest list; OR what all of them need."""
        if self._decides:
            return self._all_needs()
        best: list[tuple[str, object]] | None = None
        for part in self._parts:
            needs = part.one_of()
            if needs is not None and (best is None or len(needs) < len(best)):
                best = needs
        return best

    def _all_needs(self) -> list[tuple[str, object]] | None:
        together: list[tuple[str, object]] = []
        for part in self._parts:
            needs = part.one_of()
            if needs is None or len(together) + len(needs) > EQUALITIES_MAX:
                return None
            together += needs
        return together


@final
class Not(Node):
    """NOT."""

    __slots__ = ("_part",)

    def __init__(self, part: Node) -> None:
        super().__init__(BOOLEAN, 1 + part.depth)
        self._part = part

    def value(self, subject: Subject) -> object:
        """Unknown stays unknown (table 3-6)."""
        holds = truth(self._part.value(subject), subject)
        return None if holds is None else not holds


@final
class Comparison(Node):
    """= <> < <= > >="""

    __slots__ = ("_left", "_operator", "_right")

    def __init__(self, operator: int, left: Node, right: Node) -> None:
        super().__init__(BOOLEAN, 1 + max(left.depth, right.depth))
        self._operator = operator
        self._left = left
        self._right = right

    def value(self, subject: Subject) -> object:
        """See Node."""
        return compare(self._operator, self._left.value(subject), self._right.value(subject), subject)

    def one_of(self) -> list[tuple[str, object]] | None:
        """See Node: `name = value`, either way round."""
        if self._operator != EQUAL:
            return None
        left, right = self._left, self._right
        if isinstance(left, Name) and isinstance(right, Literal):
            return [(left.name, right.written)]
        if isinstance(left, Literal) and isinstance(right, Name):
            return [(right.name, left.written)]
        return None


@final
class Between(Node):
    """BETWEEN low AND high, both included."""

    __slots__ = ("_high", "_low", "_part")

    def __init__(self, part: Node, low: Node, high: Node) -> None:
        super().__init__(BOOLEAN, 1 + max(part.depth, low.depth, high.depth))
        self._part = part
        self._low = low
        self._high = high

    def value(self, subject: Subject) -> object:
        """As `part >= low AND part <= high`."""
        part = self._part.value(subject)
        above = compare(GREATER_EQUAL, part, self._low.value(subject), subject)
        if above is False:
            return False
        below = compare(LESS_EQUAL, part, self._high.value(subject), subject)
        return None if below is not False and above is None else below


@final
class In(Node):
    """IN (a list of texts)."""

    __slots__ = ("_part", "_texts")

    def __init__(self, part: Node, texts: frozenset[str]) -> None:
        super().__init__(BOOLEAN, 1 + part.depth)
        self._part = part
        self._texts = texts

    def value(self, subject: Subject) -> object:
        """See Node."""
        part = self._part.value(subject)
        if part is None:
            return None
        return isinstance(part, str) and part in self._texts

    def one_of(self) -> list[tuple[str, object]] | None:
        """See Node."""
        part = self._part
        if not isinstance(part, Name) or len(self._texts) > EQUALITIES_MAX:
            return None
        return [(part.name, text) for text in sorted(self._texts)]


@final
class Like(Node):
    """LIKE: `%` stands for any run of characters, `_` for any one."""

    __slots__ = ("_part", "_runs")

    def __init__(self, part: Node, pattern: str, escape: str) -> None:
        super().__init__(BOOLEAN, 1 + part.depth)
        self._part = part
        # What stands between the `%`, each a list of characters; "" is any one.
        self._runs = _runs_of(pattern, escape)

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self._runs)

    def value(self, subject: Subject) -> object:
        """See Node."""
        part = self._part.value(subject)
        if part is None:
            return None
        return isinstance(part, str) and _like(part, self._runs)


@final
class IsNull(Node):
    """IS NULL: never unknown."""

    __slots__ = ("_part",)

    def __init__(self, part: Node) -> None:
        super().__init__(BOOLEAN, 1 + part.depth)
        self._part = part

    def value(self, subject: Subject) -> object:
        """See Node."""
        return self._part.value(subject) is None


@final
class Arithmetic(Node):
    """+ - * / %"""

    __slots__ = ("_left", "_operator", "_right")

    def __init__(self, operator: int, left: Node, right: Node) -> None:
        super().__init__(NUMBER, 1 + max(left.depth, right.depth))
        self._operator = operator
        self._left = left
        self._right = right

    def value(self, subject: Subject) -> object:
        """Unknown for what is no number, and for a division by zero."""
        left = number_of(self._left.value(subject), subject)
        right = number_of(self._right.value(subject), subject)
        if left is None or right is None:
            return None
        try:
            if isinstance(left, int) and isinstance(right, int):
                return _integers(self._operator, left, right)
            return _floats(self._operator, float(left), float(right))
        except (OverflowError, ZeroDivisionError):
            return None


@final
class Negative(Node):
    """A minus sign before a name or a bracket."""

    __slots__ = ("_part",)

    def __init__(self, part: Node) -> None:
        super().__init__(NUMBER, 1 + part.depth)
        self._part = part

    def value(self, subject: Subject) -> object:
        """See Node."""
        number = number_of(self._part.value(subject), subject)
        return None if number is None else -number


# -- values


def deepest(parts: list[Node]) -> int:
    """The depth of the deepest."""
    depth = 0
    for part in parts:
        depth = max(depth, part.depth)
    return depth


def plain(value: object) -> object:
    """A property's value as selectors see it.  Bytes and structures are there, and equal to nothing."""
    if isinstance(value, Typed):
        inner: object = value.value
        if value.token in _INTEGERS or value.token == "f32":
            return inner
        return inner if isinstance(inner, str) else b""
    return value


def comparable(value: object, converts: bool) -> object:
    """The same for all values that `compare` can find equal, as a key; None for what equals nothing."""
    if isinstance(value, str):
        if not converts:
            return value
        holds = _boolean_of(value)
        if holds is not None:
            return holds
        number = _number_in(value)
        return value if number is None else number
    return value if isinstance(value, (bool, int, float)) else None


def truth(value: object, subject: Subject) -> bool | None:
    """The value as a condition; what is neither true nor false is unknown."""
    if isinstance(value, bool):
        return value
    if subject.converts and isinstance(value, str):
        return _boolean_of(value)
    return None


def _boolean_of(text: str) -> bool | None:
    lower = text.lower()
    if lower == "true":
        return True
    return False if lower == "false" else None


def number_of(value: object, subject: Subject) -> int | float | None:
    """The value as a number, if it is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if subject.converts and isinstance(value, str):
        return _number_in(value)
    return None


def _number_in(text: str) -> int | float | None:
    if not text or len(text) > NUMBER_LENGTH_MAX:
        return None
    for character in text:
        if character not in _NUMERALS:
            return None
    try:
        return float(text) if "." in text or "e" in text or "E" in text else int(text)
    except ValueError:
        return None


def compare(operator: int, left: object, right: object, subject: Subject) -> bool | None:
    """The comparison of two values: unknown when one is; false, whatever the operator, when they are not alike."""
    if left is None or right is None:
        return None
    if isinstance(left, str) and isinstance(right, str):
        return _ordered(operator, -1 if left < right else 1 if left > right else 0)
    if isinstance(left, bool) or isinstance(right, bool):
        return _compare_booleans(operator, truth(left, subject), truth(right, subject))
    first = number_of(left, subject)
    second = number_of(right, subject)
    if first is None or second is None:
        return False
    if isinstance(first, int) and isinstance(second, int):
        return _ordered(operator, -1 if first < second else 1 if first > second else 0)
    # Not by way of float(), which would round large integers.
    if first != first or second != second:
        return operator == DIFFERENT
    return _ordered(operator, -1 if first < second else 1 if first > second else 0)


def _compare_booleans(operator: int, left: bool | None, right: bool | None) -> bool:
    if left is None or right is None:
        return False
    if operator == EQUAL:
        return left is right
    return operator == DIFFERENT and left is not right


def _ordered(operator: int, order: int) -> bool:
    """Does `order` (below 0: the left one is less) fulfil the operator?"""
    if operator == EQUAL:
        return order == 0
    if operator == DIFFERENT:
        return order != 0
    if operator == LESS:
        return order < 0
    if operator == LESS_EQUAL:
        return order <= 0
    if operator == GREATER:
        return order > 0
    return order >= 0


def _integers(operator: int, left: int, right: int) -> int:
    """Integers stay integers; division cuts towards zero, as in Java."""
    if operator == ADD:
        return left + right
    if operator == SUBTRACT:
        return left - right
    if operator == MULTIPLY:
        return left * right
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient if operator == DIVIDE else left - quotient * right


def _floats(operator: int, left: float, right: float) -> float:
    if operator == ADD:
        return left + right
    if operator == SUBTRACT:
        return left - right
    if operator == MULTIPLY:
        return left * right
    if operator == DIVIDE:
        return left / right
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


# -- LIKE


def _runs_of(pattern: str, escape: str) -> list[list[str]]:
    runs: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if escape and character == escape and at < len(pattern):
            runs[-1].append(pattern[at])
            at += 1
        elif character == "%":
            runs.append([])
        else:
            runs[-1].append("" if character == "_" else character)
    return runs


def _like(text: str, runs: list[list[str]]) -> bool:
    """Do the runs stand in `text` in this order, the first at its beginning and the last at its end?

    Each of the others is taken where it is found first, so nothing is tried twice.
    """
    first = runs[0]
    if len(runs) == 1:
        return len(text) == len(first) and _stands(text, 0, first)
    last = runs[-1]
    end = len(text) - len(last)
    if len(first) > end or not _stands(text, 0, first) or not _stands(text, end, last):
        return False
    at = len(first)
    for run in runs[1:-1]:
        found = _find(text, at, end, run)
        if found < 0:
            return False
        at = found + len(run)
    return True


def _find(text: str, start: int, end: int, run: list[str]) -> int:
    """Where `run` first stands within text[start:end]; -1: nowhere."""
    if "" not in run:
        return text.find("".join(run), start, end)
    at = start
    while at + len(run) <= end:
        if _stands(text, at, run):
            return at
        at += 1
    return -1


def _stands(text: str, at: int, run: list[str]) -> bool:
    """Does `run` stand at this place?  The text is long enough."""
    for character in run:
        if character and text[at] != character:
            return False
        at += 1
    return True
