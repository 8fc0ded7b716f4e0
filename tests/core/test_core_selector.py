"""Selectors: what each operator of JMS 2.0 §3.8 selects, what is refused, and what is bounded."""

import pytest
from core_doubles import COMPILED
from core_messages import message
from core_queues import broker_with
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.message import Fields, Message, Typed
from gateway.core.selector_parser import InvalidSelector, parse_selector

pytestmark = pytest.mark.skipif(
    COMPILED, reason="sets the decoded fields of a message, which the compiled core keeps to itself"
)

BROKER = broker_with()


def sample(**properties: object) -> Message:
    """A message with these properties."""
    made = message(BROKER, "orders", persistent=True, priority=7)
    fields = Fields()
    fields.properties = list(properties.items())
    fields.subject = "invoice"
    fields.correlation_id = "c-1"
    fields.group_id = "g"
    made._fields = fields
    return made


def selects(text: str, *, converts: bool = False, failures: int = 0, **properties: object) -> bool:
    return parse_selector(text, 4096, 64, converts).matches(sample(**properties), failures)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 5", True),
        ("a <> 5", False),
        ("a != 6", True),
        ("a < 6 AND a <= 5 AND a > 4 AND a >= 5", True),
        ("a = 5.0", True),
        ("a = 0x5", True),
        ("a = 05", True),
        ("a = 5L", True),
        ("f = 1.5E0", True),
        ("f = .15e1", True),
        ("f = 1.5d", True),
        ("s = 'it''s'", True),
        ("s = 'its'", False),
        ("s > 'a'", True),
        ("b = TRUE", True),
        ("b <> false", True),
        ("b", True),
        ("NOT b", False),
        ("b AND NOT (a = 6)", True),
        ("a = 6 OR s LIKE 'it%'", True),
        ("A = 5", False),
        ("$x.y_1 = 1", True),
    ],
)
def test_3_8_1_1_literals_identifiers_and_comparisons(text: str, expected: bool) -> None:
    given = {"a": 5, "f": 1.5, "s": "it's", "b": True, "$x.y_1": 1}
    assert selects(text, **given) is expected


@pytest.mark.parametrize(
    "text", ["and = 1", "a = 5 AnD b = 6 oR c iS nULL", "a between 1 and 9 and NOT b in ('x')"]
)
def test_3_8_1_1_key_words_are_written_in_any_case(text: str) -> None:
    if text.startswith("and"):
        with pytest.raises(InvalidSelector):
            selects(text)
    else:
        assert selects(text, a=5, b="6")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + 2 * 3 = 11", True),
        ("(a + 2) * 3 = 21", True),
        ("-a = 0 - 5", True),
        ("+a = 5", True),
        ("- -a = 5", True),
        ("a / 2 = 2", True),
        ("-a / 2 = -2", True),
        ("a / 2.0 = 2.5", True),
        ("a % 3 = 2", True),
        ("-a % 3 = -2", True),
        ("a - 1 - 1 = 3", True),
        ("a / 0 = 1", False),
        ("a / 0 IS NULL", True),
        ("f / 0 IS NULL", True),
    ],
)
def test_3_8_1_1_arithmetic_in_order_of_precedence(text: str, expected: bool) -> None:
    assert selects(text, a=5, f=1.5) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age BETWEEN 15 AND 19", True),
        ("age BETWEEN 16 AND 19", False),
        ("age NOT BETWEEN 15 AND 19", False),
        ("age NOT BETWEEN 16 AND 19", True),
        ("none BETWEEN 1 AND 2", False),
        ("none NOT BETWEEN 1 AND 2", False),
        ("Country IN ('UK', 'US', 'France')", True),
        ("Country IN ('UK')", False),
        ("Country NOT IN ('UK')", True),
        ("none IN ('UK')", False),
        ("none NOT IN ('UK')", False),
        ("none IS NULL", True),
        ("none IS NOT NULL", False),
        ("age IS NOT NULL", True),
    ],
)
def test_3_8_1_1_between_in_and_is_null(text: str, expected: bool) -> None:
    assert selects(text, age=15, Country="US") is expected


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("'12%3'", "123", True),
        ("'12%3'", "12993", True),
        ("'12%3'", "1234", False),
        ("'l_se'", "lose", True),
        ("'l_se'", "loose", False),
        (r"'\_%' ESCAPE '\'", "_foo", True),
        (r"'\_%' ESCAPE '\'", "bar", False),
        ("'%'", "", True),
        ("''", "", True),
        ("''", "x", False),
        ("'a%b%c'", "aXbYc", True),
        ("'a%b%c'", "acb", False),
        ("'ab%ba'", "aba", False),
        ("'%a_c%'", "xxabcyy", True),
        ("'%a_c%'", "xxabyy", False),
        ("'a.c'", "abc", False),
        ("'%é_'", "caféx", True),
    ],
)
def test_3_8_1_1_like(pattern: str, value: str, expected: bool) -> None:
    assert selects(f"phone LIKE {pattern}", phone=value) is expected
    assert selects(f"phone NOT LIKE {pattern}", phone=value) is not expected


def test_like_of_what_is_not_there_is_unknown_either_way() -> None:
    assert not selects("phone LIKE '%'")
    assert not selects("phone NOT LIKE '%'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t AND u", False),
        ("NOT (t AND u)", False),
        ("f AND u", False),
        ("NOT (f AND u)", True),
        ("t OR u", True),
        ("f OR u", False),
        ("NOT (f OR u)", False),
        ("NOT u", False),
        ("u = u", False),
        ("u + 1 > 0", False),
    ],
)
def test_3_8_1_2_three_valued_logic(text: str, expected: bool) -> None:
    """`u` is unknown: there is no such property."""
    assert selects(text, t=True, f=False) is expected


@pytest.mark.parametrize(
    "text", ["n = 'x'", "n <> 'x'", "s = 5", "s <> 5", "b = 1", "b <> 1", "b > FALSE", "raw = 'x'"]
)
def test_3_8_1_1_values_that_are_not_alike_never_compare(text: str) -> None:
    assert not selects(text, n=5, s="5", b=True, raw=b"x")


def test_text_of_a_number_is_that_number_where_it_is_asked_to_be() -> None:
    assert not selects("n > 4", n="5")
    for text in ("n > 4", "n = 5.0", "n + 1 = 6", "n BETWEEN 4 AND 6", "flag", "flag = TRUE", "NOT other"):
        assert selects(text, converts=True, n="5", flag="true", other="false")
    assert selects("convert_string_expressions:n > 4", n="5")
    assert not selects("n > 4", converts=True, n="5 apples")
    assert not selects("n = 1", converts=True, n="nan")
    assert selects("n = '05'", converts=True, n="05")


def test_names_with_hyphens_where_it_is_asked_for() -> None:
    assert selects("hyphenated_props:content-kind = 'x'", **{"content-kind": "x"})
    assert selects("hyphenated_props:convert_string_expressions:a-b > 1", **{"a-b": "2"})
    assert not selects("a-b > 1", **{"a-b": 2})


def test_3_4_header_fields_by_their_jms_names() -> None:
    for text in (
        "JMSPriority = 7",
        "JMSDeliveryMode = 'PERSISTENT'",
        "JMSType = 'invoice'",
        "JMSCorrelationID = 'c-1'",
        "JMSXGroupID = 'g'",
        "JMSExpiration = 0",
        "JMSTimestamp >= 0",
        "JMSDestination = 'queue:orders'",
        "JMSMessageID IS NULL",
        "JMSReplyTo IS NULL",
        "JMSXUserID IS NULL AND JMSXAppID IS NULL AND JMSXGroupSeq IS NULL",
        "JMSRedelivered = TRUE",
        "JMSXDeliveryCount = 3",
        "JMSXOther = 1",
    ):
        assert selects(text, failures=2, JMSXOther=1), text


def test_typed_properties_are_what_they_stand_for() -> None:
    typed = {"i": Typed("i32", 5), "f": Typed("f32", 1.5), "u": Typed("uuid", "ab"), "l": Typed("list", [1])}
    assert selects("i = 5 AND f = 1.5 AND u = 'ab' AND l IS NOT NULL AND NOT l = 'x'", **typed)


def test_large_integers_are_not_rounded() -> None:
    assert not selects("n = 9223372036854775806", n=9223372036854775807)
    assert not selects("n = 9007199254740993.0", n=9007199254740993)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its end"),
        ("a =", "its end"),
        ("a = 5 b", "where it should end"),
        ("(a = 5", "where ) should be"),
        ("a = 'x", "closing quote"),
        ("a = #", "means nothing"),
        ("5", "where a condition should be"),
        ("'x'", "where a condition should be"),
        ("a + 1", "where a condition should be"),
        ("a = 5 AND 6", "where a condition should be"),
        ("NOT 'x'", "where a condition should be"),
        ("a IS 5", "where NULL should be"),
        ("a IN ()", "text in quotes"),
        ("a IN (5)", "text in quotes"),
        ("5 IN ('x')", "no text"),
        ("a LIKE 5", "text in quotes"),
        ("a LIKE 'x' ESCAPE 'ab'", "not one character"),
        ("a NOT = 5", "behind NOT"),
        ("'x' + 1 = 2", "no number"),
        ("a BETWEEN 1 OR 2", "where AND should be"),
        ("a = NULL", "where a value should be"),
        ("a = 12abc", "no number"),
        ("a = 09", "no number"),
        ("a = 1.2.3", "no number"),
        ("a = 99999999999999999999", "64 bits"),
        ("a == 5", "where a value should be"),
    ],
)
def test_what_is_no_selector_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(InvalidSelector, match="selector") as caught:
        parse_selector(text, 4096, 64, False)
    assert said in str(caught.value)


def test_length_is_bounded() -> None:
    parse_selector("a = 5", 5, 64, False)
    with pytest.raises(InvalidSelector, match="longer than 4"):
        parse_selector("a = 5", 4, 64, False)


@pytest.mark.parametrize(
    "text", ["(" * 70 + "a" + ")" * 70, "NOT " * 70 + "a", "-" * 70 + "a = 1", "a" + "+1" * 70 + "=1"]
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(InvalidSelector, match="nested deeper than 64"):
        parse_selector(text, 4096, 64, False)


def test_many_alternatives_are_not_deep() -> None:
    text = " OR ".join([f"a = {n}" for n in range(300)])
    assert parse_selector(text, 8192, 8, False).matches(sample(a=299))


def test_sums_that_overflow_are_unknown() -> None:
    assert not selects("a * 1.0 > 0", a=10**400)
    assert selects("f * f IS NOT NULL", f=1e300)


@given(st.text(alphabet="abAND OR()'<>=+-*/%_.0123456789xLIKEINBETWEEN,", max_size=60))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        selector = parse_selector(text, 4096, 20, True)
    except InvalidSelector:
        return
    assert selector.matches(sample(a="5", b=True)) in (True, False)


@given(st.text(alphabet="ab%_", max_size=8), st.text(alphabet="ab", max_size=10))
def test_like_agrees_with_its_definition(pattern: str, value: str) -> None:
    import re

    regex = "".join([{"%": ".*", "_": "."}.get(c, c) for c in pattern])
    assert selects(f"s LIKE '{pattern}'", s=value) is (re.fullmatch(regex, value) is not None)
