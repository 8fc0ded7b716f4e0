"""The text of a selector to its tree (JMS 2.0 §3.8.1.1), with what ActiveMQ adds: `!=`, `%`, and two prefixes.

or      = and ("OR" and)*              comparison = sum [("=" | "<>" | …) sum]
and     = not ("AND" not)*                        | sum ["NOT"] ("BETWEEN" … | "IN" (…) | "LIKE" …)
not     = "NOT" not | comparison                  | sum "IS" ["NOT"] "NULL"
sum     = product (("+" | "-") product)*    product = sign (("*" | "/" | "%") sign)*
sign    = ("+" | "-") sign | literal | name | "(" or ")"
"""

from typing import Final, final

from gateway.core.footprint import text_bytes
from gateway.core.selector import (
    ADD,
    BOOLEAN,
    DIFFERENT,
    DIVIDE,
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    MULTIPLY,
    NUMBER,
    REMAINDER,
    SUBTRACT,
    TEXT,
    Arithmetic,
    Between,
    Comparison,
    In,
    IsNull,
    Junction,
    Like,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Selector,
)

CONVERT_PREFIX: Final = "convert_string_expressions:"
HYPHEN_PREFIX: Final = "hyphenated_props:"

# Kinds of token.
_END: Final = 0
_WORD: Final = 1
_KEYWORD: Final = 2
_STRING: Final = 3
_NUMBER: Final = 4
_SIGN: Final = 5

_KEYWORDS: Final = frozenset(
    {"AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "ESCAPE", "IS", "NULL", "TRUE", "FALSE"}
)
_COMPARISONS: Final = {
    "=": EQUAL,
    "<>": DIFFERENT,
    "!=": DIFFERENT,
    "<": LESS,
    "<=": LESS_EQUAL,
    ">": GREATER,
    ">=": GREATER_EQUAL,
}
_PRODUCTS: Final = {"*": MULTIPLY, "/": DIVIDE, "%": REMAINDER}
_SIGNS: Final = frozenset("=<>!+-*/%(),")

_INTEGER_MAX: Final = (1 << 63) - 1

_NODE_BYTES: Final = 64
"""What one takes in memory."""
_TEXT_BYTES: Final = 64
"""What a text takes beside its characters: its head, and its place in what holds it."""
_LIST_BYTES: Final = 72
_PLACE_BYTES: Final = 8
"""What a list takes, and a place in it."""


class InvalidSelector(Exception):
    """A selector that cannot be; `str(error)` says what is wrong, fit for the client."""


def parse_selector(text: str, length_max: int, depth_max: int, converts: bool) -> Selector:
    """The selector that `text` is.  Raises InvalidSelector.

    `length_max` is in characters; `depth_max` bounds brackets and signs within each other, and so the evaluation.
    """
    if len(text) > length_max:
        raise InvalidSelector(f"the selector is longer than {length_max} characters")
    rest = text.strip()
    hyphens = False
    while True:
        if rest.startswith(CONVERT_PREFIX):
            converts = True
            rest = rest[len(CONVERT_PREFIX) :]
        elif rest.startswith(HYPHEN_PREFIX):
            hyphens = True
            rest = rest[len(HYPHEN_PREFIX) :]
        else:
            break
    parser = _Parser(_tokens(rest, hyphens), depth_max)
    selector = Selector(text, parser.whole(), converts)
    selector.bytes = text_bytes(text) + parser.bytes
    if selector.one_of is not None:
        selector.bytes += len(selector.one_of) * _NODE_BYTES
    return selector


# -- tokens


@final
class _Token:
    """One word of the text."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: int, text: str) -> None:
        self.kind = kind
        self.text = text


def _tokens(text: str, hyphens: bool) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    size = len(text)
    while at < size:
        character = text[at]
        if character.isspace():
            at += 1
        elif character == "'":
            at = _string(text, at, tokens)
        elif character.isdigit() or (character == "." and text[at + 1 : at + 2].isdigit()):
            at = _numeral(text, at, tokens)
        elif character.isidentifier() or character == "$":
            at = _word(text, at, hyphens, tokens)
        elif character in _SIGNS:
            sign = text[at : at + 2] if text[at : at + 2] in ("<>", "!=", "<=", ">=") else character
            tokens.append(_Token(_SIGN, sign))
            at += len(sign)
        else:
            raise InvalidSelector(f"the selector has {_shown(character)}, which means nothing in one")
    tokens.append(_Token(_END, ""))
    return tokens


def _string(text: str, at: int, tokens: list[_Token]) -> int:
    """A literal in single quotes; two of them stand for one."""
    parts: list[str] = []
    start = at + 1
    while True:
        stop = text.find("'", start)
        if stop < 0:
            raise InvalidSelector("the selector has a text without its closing quote")
        parts.append(text[start:stop])
        if text[stop + 1 : stop + 2] != "'":
            tokens.append(_Token(_STRING, "'".join(parts)))
            return stop + 1
        start = stop + 2


def _numeral(text: str, at: int, tokens: list[_Token]) -> int:
    start = at
    size = len(text)
    while at < size and (text[at].isalnum() or text[at] == "."):
        at += 1
        # The sign of an exponent; in hexadecimal an E is a digit.
        if (
            at < size
            and text[at] in "+-"
            and text[at - 1] in "eE"
            and text[start : start + 2].lower() != "0x"
        ):
            at += 1
    tokens.append(_Token(_NUMBER, text[start:at]))
    return at


def _word(text: str, at: int, hyphens: bool, tokens: list[_Token]) -> int:
    start = at
    size = len(text)
    while at < size:
        character = text[at]
        if not (
            character.isidentifier()
            or character.isdigit()
            or character in "$."
            or (hyphens and character == "-")
        ):
            break
        at += 1
    word = text[start:at]
    if word.upper() in _KEYWORDS:
        tokens.append(_Token(_KEYWORD, word.upper()))
    else:
        tokens.append(_Token(_WORD, word))
    return at


def _number_of(text: str) -> int | float:
    """A number as Java writes it: decimal, 0x…, octal behind a 0, all with L or not; with a point or exponent, D or F."""
    lower = text.lower()
    try:
        if lower.startswith("0x"):
            value = int(lower.removesuffix("l"), 16)
        elif lower.removesuffix("l").isdigit():
            digits = lower.removesuffix("l")
            value = int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits)
        else:
            if lower[0] in "0123456789." and "_" not in lower:
                return float(lower.rstrip("df") if lower[-1] in "df" else lower)
            raise ValueError
    except ValueError:
        raise InvalidSelector(f"the selector has {_shown(text)}, which is no number") from None
    if value > _INTEGER_MAX:
        raise InvalidSelector(f"the selector has {_shown(text)}, which does not fit 64 bits")
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")


# -- the tree


@final
class _Parser:
    """Recursive descent, as deep as `depth_max` allows."""

    __slots__ = ("_at", "_depth", "_depth_max", "_names", "_tokens", "bytes")

    def __init__(self, tokens: list[_Token], depth_max: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._depth_max = depth_max
        # Each name is one node, however often it is asked for.
        self._names: dict[str, Name] = {}
        self.bytes = 0
        """What the tree takes in memory, about."""

    def whole(self) -> Node:
        """All of the text as one condition."""
        node = _condition(self._either())
        if self._tokens[self._at].kind != _END:
            raise InvalidSelector(f"the selector has {self._here()} where it should end")
        return node

    # -- what comes next

    def _here(self) -> str:
        token = self._tokens[self._at]
        return "its end" if token.kind == _END else _shown(token.text)

    def _is(self, kind: int, text: str) -> bool:
        token = self._tokens[self._at]
        return token.kind == kind and token.text == text

    def _skip(self, kind: int, text: str) -> bool:
        """Step over this token if it is next."""
        if self._is(kind, text):
            self._at += 1
            return True
        return False

    def _need(self, kind: int, text: str) -> None:
        if not self._skip(kind, text):
            raise InvalidSelector(f"the selector has {self._here()} where {text} should be")

    def _need_string(self) -> str:
        token = self._tokens[self._at]
        if token.kind != _STRING:
            raise InvalidSelector(f"the selector has {self._here()} where a text in quotes should be")
        self._at += 1
        self.bytes += _TEXT_BYTES + text_bytes(token.text)
        return token.text

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > self._depth_max:
            raise InvalidSelector(f"the selector is nested deeper than {self._depth_max}")

    def _checked(self, node: Node) -> Node:
        if node.depth > self._depth_max:
            raise InvalidSelector(f"the selector is nested deeper than {self._depth_max}")
        self.bytes += _NODE_BYTES
        return node

    def _joined(self, parts: list[Node], decides: bool) -> Node:
        self.bytes += _LIST_BYTES + len(parts) * _PLACE_BYTES
        return self._checked(Junction([_condition(part) for part in parts], decides))

    # -- conditions

    def _either(self) -> Node:
        parts = [self._all()]
        while self._skip(_KEYWORD, "OR"):
            parts.append(self._all())
        if len(parts) == 1:
            return parts[0]
        return self._joined(parts, True)

    def _all(self) -> Node:
        parts = [self._not()]
        while self._skip(_KEYWORD, "AND"):
            parts.append(self._not())
        if len(parts) == 1:
            return parts[0]
        return self._joined(parts, False)

    def _not(self) -> Node:
        if not self._skip(_KEYWORD, "NOT"):
            return self._comparison()
        self._deeper()
        node = Not(_condition(self._not()))
        self._depth -= 1
        return self._checked(node)

    def _comparison(self) -> Node:
        left = self._sum()
        token = self._tokens[self._at]
        if token.kind == _SIGN:
            operator = _COMPARISONS.get(token.text, -1)
            if operator < 0:
                return left
            self._at += 1
            return self._checked(Comparison(operator, left, self._sum()))
        if token.kind != _KEYWORD:
            return left
        if self._skip(_KEYWORD, "IS"):
            inverted = self._skip(_KEYWORD, "NOT")
            self._need(_KEYWORD, "NULL")
            return self._perhaps_not(IsNull(left), inverted)
        inverted = self._skip(_KEYWORD, "NOT")
        if self._skip(_KEYWORD, "BETWEEN"):
            low = self._sum()
            self._need(_KEYWORD, "AND")
            return self._perhaps_not(Between(left, low, self._sum()), inverted)
        if self._skip(_KEYWORD, "IN"):
            return self._perhaps_not(In(_textual(left, "IN"), self._texts()), inverted)
        if self._skip(_KEYWORD, "LIKE"):
            return self._perhaps_not(self._like(_textual(left, "LIKE")), inverted)
        if inverted:
            raise InvalidSelector(f"the selector has {self._here()} behind NOT")
        return left

    def _perhaps_not(self, node: Node, inverted: bool) -> Node:
        checked = self._checked(node)
        return self._checked(Not(checked)) if inverted else checked

    def _texts(self) -> frozenset[str]:
        self._need(_SIGN, "(")
        texts = {self._need_string()}
        while self._skip(_SIGN, ","):
            texts.add(self._need_string())
        self._need(_SIGN, ")")
        return frozenset(texts)

    def _like(self, part: Node) -> Node:
        pattern = self._need_string()
        escape = ""
        if self._skip(_KEYWORD, "ESCAPE"):
            escape = self._need_string()
            if len(escape) != 1:
                raise InvalidSelector("the selector has an ESCAPE that is not one character")
        like = Like(part, pattern, escape)
        self.bytes += _LIST_BYTES + like.runs * (_LIST_BYTES + _PLACE_BYTES) + len(pattern) * _PLACE_BYTES
        return like

    # -- values

    def _sum(self) -> Node:
        node = self._product()
        while True:
            if self._skip(_SIGN, "+"):
                node = self._checked(Arithmetic(ADD, _number(node), _number(self._product())))
            elif self._skip(_SIGN, "-"):
                node = self._checked(Arithmetic(SUBTRACT, _number(node), _number(self._product())))
            else:
                return node

    def _product(self) -> Node:
        node = self._sign()
        while True:
            token = self._tokens[self._at]
            operator = _PRODUCTS.get(token.text, -1) if token.kind == _SIGN else -1
            if operator < 0:
                return node
            self._at += 1
            node = self._checked(Arithmetic(operator, _number(node), _number(self._sign())))

    def _sign(self) -> Node:
        plus = self._is(_SIGN, "+")
        if not plus and not self._is(_SIGN, "-"):
            return self._value()
        self._at += 1
        self._deeper()
        node = _number(self._sign())
        self._depth -= 1
        return node if plus else self._checked(Negative(node))

    def _value(self) -> Node:
        token = self._tokens[self._at]
        if self._skip(_SIGN, "("):
            self._deeper()
            node = self._either()
            self._depth -= 1
            self._need(_SIGN, ")")
            return node
        if token.kind == _KEYWORD and token.text in ("TRUE", "FALSE"):
            self._at += 1
            return Literal(token.text == "TRUE", BOOLEAN)
        if token.kind not in (_WORD, _STRING, _NUMBER):
            raise InvalidSelector(f"the selector has {self._here()} where a value should be")
        self._at += 1
        if token.kind == _WORD:
            return self._name(token.text)
        self.bytes += _NODE_BYTES
        if token.kind == _STRING:
            self.bytes += _TEXT_BYTES + text_bytes(token.text)
            return Literal(token.text, TEXT)
        return Literal(_number_of(token.text), NUMBER)

    def _name(self, text: str) -> Name:
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = Name(text)
            self.bytes += _NODE_BYTES + _TEXT_BYTES + text_bytes(text)
        return name


def _condition(node: Node) -> Node:
    """`node`, which must be something that can be true."""
    if node.kind == NUMBER or node.kind == TEXT:
        raise InvalidSelector("the selector has a value where a condition should be")
    return node


def _number(node: Node) -> Node:
    """`node`, which must be something that can be reckoned with."""
    if node.kind == BOOLEAN or node.kind == TEXT:
        raise InvalidSelector("the selector reckons with something that is no number")
    return node


def _textual(node: Node, operator: str) -> Node:
    """`node`, which must be something that can be text."""
    if node.kind == BOOLEAN or node.kind == NUMBER:
        raise InvalidSelector(f"the selector has {operator} behind something that is no text")
    return node
