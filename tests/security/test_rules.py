"""gateway/security/rules.py"""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.destination import QUEUE, TOPIC
from gateway.core.pattern import MANY, ONE, Pattern
from gateway.security.rules import (
    ANONYMOUS,
    ANYBODY,
    PUBLISH,
    RECEIVE,
    SUBSCRIBE,
    Area,
    BadRule,
    Rule,
    Rules,
    Who,
    covers,
    level_of,
    overlaps,
)


def pattern(text: str) -> Pattern:
    return Pattern(tuple([ONE if x == "*" else MANY if x == ">" else x for x in text.split(".")]))


def rule(
    allow: bool, actions: str, *destinations: str, users: tuple[str, ...] = (), groups: tuple[str, ...] = ()
) -> Rule:
    return Rule(
        allow,
        frozenset(actions.split()),
        frozenset(users),
        frozenset(groups),
        tuple([Area.parse(text) for text in destinations]),
    )


ANN = Who("ann", frozenset({"staff"}), "c1")
BOB = Who("bob", frozenset(), "c2")
NOBODY = Who(None, frozenset(), "c3")


def test_without_rules_everything_is_allowed() -> None:
    rules = Rules([])
    assert rules.may_publish(NOBODY, TOPIC, "a")
    assert rules.may_subscribe(NOBODY, TOPIC, pattern(">"), True)
    assert rules.may_receive(NOBODY, TOPIC, "a")
    assert not rules.restrict_receive


def test_with_rules_what_none_of_them_fits_is_denied() -> None:
    rules = Rules([rule(True, PUBLISH, "topic:a.>")])
    assert rules.may_publish(ANN, TOPIC, "a.b")
    assert not rules.may_publish(ANN, TOPIC, "b")
    assert not rules.may_publish(ANN, QUEUE, "a.b")
    assert not rules.may_subscribe(ANN, TOPIC, pattern("a.>"), False)


def test_the_first_rule_that_fits_decides() -> None:
    rules = Rules([rule(False, PUBLISH, "topic:a.secret"), rule(True, PUBLISH, "topic:a.>")])
    assert not rules.may_publish(ANN, TOPIC, "a.secret")
    assert rules.may_publish(ANN, TOPIC, "a.other")


@pytest.mark.parametrize(
    ("users", "groups", "who", "fits"),
    [
        (("ann",), (), ANN, True),
        (("ann",), (), BOB, False),
        ((), ("staff",), ANN, True),
        ((), ("staff",), BOB, False),
        ((ANYBODY,), (), BOB, True),
        ((ANYBODY,), (), NOBODY, False),
        ((ANONYMOUS,), (), NOBODY, True),
        ((ANONYMOUS,), (), BOB, False),
        ((), (), NOBODY, True),
    ],
)
def test_whom_a_rule_is_about(users: tuple[str, ...], groups: tuple[str, ...], who: Who, fits: bool) -> None:
    rules = Rules([rule(True, PUBLISH, "topic:>", users=users, groups=groups)])
    assert rules.may_publish(who, TOPIC, "a") is fits


def test_places_for_names_and_ids() -> None:
    rules = Rules([rule(True, "publish subscribe", "topic:home.{user}.>", "queue:inbox-{client_id}")])
    assert rules.personal
    assert rules.may_publish(ANN, TOPIC, "home.ann.x")
    assert not rules.may_publish(BOB, TOPIC, "home.ann.x")
    assert not rules.may_publish(NOBODY, TOPIC, "home.ann.x")
    assert rules.may_publish(BOB, QUEUE, "inbox-c2")
    assert rules.may_subscribe(ANN, TOPIC, pattern("home.ann.*"), False)
    assert not rules.may_subscribe(ANN, TOPIC, pattern("home.*.x"), False)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("me@plant.example", "me@plant/example"),
        ("pump-3.plant.example", "pump-3/plant/example"),
        ("CN=a,O=b+c", "CN=a,O=b+c"),
        ("{client_id}", "{client_id}"),
        ("{user}", "{user}"),
        ("*", "*"),
        (">", ">"),
        ("a.>", "a/>"),
        (".", "/"),
        ("$SYS", "$SYS"),
    ],
)
def test_a_name_stands_for_one_level_whatever_it_contains(name: str, level: str) -> None:
    rules = Rules([rule(True, "publish subscribe", "topic:home.{user}", "queue:q-{user}.x")])
    who = Who(name, frozenset(), "c")
    assert rules.may_publish(who, TOPIC, f"home.{level}")
    assert rules.may_publish(who, QUEUE, f"q-{level}.x")
    assert not rules.may_publish(ANN, TOPIC, f"home.{level}")
    assert not rules.may_publish(who, TOPIC, f"home.{name}.") and not rules.may_publish(who, TOPIC, "home.c")
    assert not rules.may_subscribe(who, TOPIC, pattern("home.*"), False)
    assert not rules.may_subscribe(who, TOPIC, pattern("home.>"), False)


@pytest.mark.parametrize("name", ["a/b", "/", "a\0b", ""])
def test_a_name_without_a_level_of_its_own_fits_nowhere(name: str) -> None:
    rules = Rules([rule(True, "publish subscribe", "topic:home.{user}")])
    who = Who(name, frozenset(), "c")
    for level in (name, name.replace("/", "."), "*"):
        assert not rules.may_publish(who, TOPIC, f"home.{level}")
    assert not rules.may_subscribe(who, TOPIC, pattern("home.*"), False)


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_two_names_have_the_same_level(one: str, other: str) -> None:
    levels = [level_of(one), level_of(other)]
    assert all(level is None or "." not in level for level in levels)
    assert one == other or levels[0] != levels[1] or levels == [None, None]


def test_a_name_does_not_reach_what_is_hidden() -> None:
    rules = Rules([rule(True, "publish subscribe", "topic:{client_id}.>")])
    for name in ("$SYS", "$x"):
        who = Who("u", frozenset(), name)
        assert not rules.may_subscribe(who, TOPIC, Pattern((name, MANY)), False)
        assert not rules.may_publish(who, TOPIC, f"{name}.a")


def test_topics_that_are_one_users_share_no_route_with_anothers() -> None:
    rules = Rules([rule(True, SUBSCRIBE, "topic:${user}.>"), rule(False, SUBSCRIBE, "topic:>")])
    assert rules.receivers(TOPIC, "$ann.x") != rules.receivers(TOPIC, "$bob.x")


@pytest.mark.parametrize("text", ["topic:{user}{client_id}", "queue:a.{user}-{user}"])
def test_two_names_in_one_level_could_be_told_apart_by_nobody(text: str) -> None:
    with pytest.raises(BadRule, match="one name"):
        Area.parse(text)


@pytest.mark.parametrize("text", ["queue:{foo}.>", "topic:a.{User}", "topic:x{clientid}y"])
def test_a_place_that_is_none_is_refused_since_a_rule_that_denies_would_deny_nothing(text: str) -> None:
    with pytest.raises(BadRule, match="is no place"):
        Area.parse(text)


def test_braces_around_what_is_no_word_are_a_name() -> None:
    assert Area.parse("topic:{0b1e-4f}.x").levels == ("{0b1e-4f}", "x")


def test_a_subscription_must_be_covered_by_the_rule_that_allows_it() -> None:
    rules = Rules([rule(True, SUBSCRIBE, "topic:a.>")])
    assert rules.may_subscribe(ANN, TOPIC, pattern("a.>"), False)
    assert rules.may_subscribe(ANN, TOPIC, pattern("a.*.c"), False)
    assert not rules.may_subscribe(ANN, TOPIC, pattern(">"), False)
    assert not rules.may_subscribe(ANN, TOPIC, pattern("*.b"), False)


def test_what_may_not_be_subscribed_to_is_not_received_by_a_wider_subscription() -> None:
    rules = Rules([rule(False, SUBSCRIBE, "topic:a.secret.>"), rule(True, SUBSCRIBE, "topic:>")])
    assert rules.restrict_receive
    assert rules.may_subscribe(ANN, TOPIC, pattern("a.>"), False)
    assert not rules.may_subscribe(ANN, TOPIC, pattern("a.secret.x"), False)
    assert not rules.may_receive(ANN, TOPIC, "a.secret.x")
    assert rules.may_receive(ANN, TOPIC, "a.other")


def test_a_shared_subscription_from_which_nothing_can_be_held_back_is_denied_whole() -> None:
    rules = Rules([rule(False, RECEIVE, "topic:a.secret"), rule(True, SUBSCRIBE, "topic:>")])
    assert not rules.may_subscribe(ANN, TOPIC, pattern("a.*"), True)
    assert rules.may_subscribe(ANN, TOPIC, pattern("b.*"), True)


def test_an_exception_from_what_may_not_be_received_holds_for_a_shared_subscription_too() -> None:
    rules = Rules(
        [
            rule(True, RECEIVE, "topic:a.b"),
            rule(False, RECEIVE, "topic:a.>"),
            rule(True, SUBSCRIBE, "topic:>"),
        ]
    )
    assert rules.may_subscribe(ANN, TOPIC, pattern("a.b"), True)
    assert not rules.may_subscribe(ANN, TOPIC, pattern("a.*"), True)
    assert not rules.may_subscribe(ANN, TOPIC, pattern("a.c"), True)


def test_one_queue_is_read_only_by_who_may_receive_from_it() -> None:
    rules = Rules(
        [
            rule(True, RECEIVE, "queue:jobs", groups=("staff",)),
            rule(False, RECEIVE, "queue:jobs"),
            rule(True, SUBSCRIBE, "queue:>"),
        ]
    )
    assert rules.may_subscribe(ANN, QUEUE, pattern("jobs"), False)
    assert not rules.may_subscribe(BOB, QUEUE, pattern("jobs"), False)
    # What it may not have is left out, queue by queue.
    assert rules.may_subscribe(BOB, QUEUE, pattern(">"), False)
    assert rules.may_subscribe(BOB, QUEUE, pattern("other"), False)


def test_receiving_alone_lets_nobody_subscribe_and_subscribing_brings_receiving() -> None:
    for kind, name in ((QUEUE, "queue:a"), (TOPIC, "topic:a")):
        assert not Rules([rule(True, RECEIVE, name)]).may_subscribe(ANN, kind, pattern("a"), False)
        rules = Rules([rule(True, SUBSCRIBE, name)])
        assert rules.may_subscribe(ANN, kind, pattern("a"), False)
        assert rules.may_receive(ANN, kind, "a")


def test_receive_may_be_allowed_to_some() -> None:
    rules = Rules(
        [
            rule(True, SUBSCRIBE, "topic:b.>"),
            rule(True, RECEIVE, "topic:a.>", groups=("staff",)),
            rule(False, RECEIVE, "topic:a.>"),
            rule(True, SUBSCRIBE, "topic:>"),
        ]
    )
    assert rules.may_receive(ANN, TOPIC, "a.b")
    assert not rules.may_receive(BOB, TOPIC, "a.b")
    assert rules.may_receive(BOB, TOPIC, "b.c")


def test_dollar_topics_are_hidden_from_leading_wildcards_in_rules_too() -> None:
    rules = Rules([rule(True, "publish subscribe", "topic:>")])
    assert not rules.may_subscribe(ANN, TOPIC, pattern("$SYS.>"), False)
    assert rules.may_subscribe(ANN, TOPIC, pattern(">"), False)


@pytest.mark.parametrize("text", ["", "a", "topic:", "tpoic:a", "topic:a*", "queue:>b", "topic"])
def test_a_bad_destination_says_what_to_write(text: str) -> None:
    with pytest.raises(BadRule, match=r"wildcard is a whole level|write topic:NAME"):
        Area.parse(text)


levels = st.lists(st.sampled_from(["a", "b", "*", ">"]), min_size=1, max_size=4).map(".".join)
names = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(".".join)


@given(levels, levels, st.lists(names, max_size=20))
def test_covers_and_overlaps_agree_with_matching(one: str, other: str, some: list[str]) -> None:
    left = pattern(one)
    right = pattern(other)
    under_both = [name for name in some if left.matches(name) and right.matches(name)]
    if covers(left, right):
        assert all(left.matches(name) for name in some if right.matches(name))
        assert overlaps(left, right)
    if under_both:
        assert overlaps(left, right)
    assert overlaps(left, right) == overlaps(right, left)
    assert covers(left, left)


AREAS = st.sampled_from(
    ["topic:a.>", "topic:a.b", "topic:*", "topic:in.{user}.>", "topic:x-{client_id}", "queue:a"]
)


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([PUBLISH, SUBSCRIBE, RECEIVE]),
            st.lists(AREAS, min_size=1, max_size=2),
            st.sampled_from([(), ("ann",), ("*",)]),
        ),
        max_size=4,
    )
)
def test_destinations_with_equal_receivers_get_equal_answers(
    given_rules: list[tuple[bool, str, list[str], tuple[str, ...]]],
) -> None:
    rules = Rules([rule(allow, action, *areas, users=users) for allow, action, areas, users in given_rules])
    names = ["a", "a.b", "a.c", "b", "in.ann.1", "in.bob", "x-c1", "x-c2", "in.q.z"]
    for one in names:
        for other in names:
            if rules.receivers(TOPIC, one) == rules.receivers(TOPIC, other):
                for who in (ANN, BOB, NOBODY):
                    assert rules.may_receive(who, TOPIC, one) == rules.may_receive(who, TOPIC, other)


def test_destinations_under_the_same_areas_have_equal_receivers_unless_an_area_is_personal() -> None:
    rules = Rules(
        [rule(False, RECEIVE, "topic:secret.>"), rule(True, SUBSCRIBE, "topic:in.{user}.>", "topic:>")]
    )
    assert rules.receivers(TOPIC, "a") == rules.receivers(TOPIC, "b.c")
    assert rules.receivers(TOPIC, "a") != rules.receivers(TOPIC, "secret.x")
    assert rules.receivers(TOPIC, "in.ann.x") == "in.ann.x"


def test_the_rules_that_the_manual_shows_mean_what_it_says() -> None:
    text = (Path(__file__).parent.parent.parent / "gateway/manual/users.md").read_text()
    example = next(part for part in text.split("```") if part.startswith("toml") and "[[rule]]" in part)
    config = tomllib.loads(example.removeprefix("toml"))
    rules = Rules([_rule_of(written) for written in config["rule"]])
    user = config["user"][0]
    device = Who(user["name"], frozenset(user["groups"]), "c")
    own = f"sensors.{user['name']}"
    assert rules.may_subscribe(device, TOPIC, pattern(f"{own}.>"), False)
    assert rules.may_publish(device, TOPIC, f"{own}.secret")
    assert rules.may_receive(device, TOPIC, f"{own}.open")
    assert not rules.may_receive(device, TOPIC, f"{own}.secret")
    assert not rules.may_subscribe(device, TOPIC, pattern(f"{own}.>"), True)
    assert not rules.may_subscribe(device, TOPIC, pattern("sensors.other.>"), False)
    assert rules.may_subscribe(device, QUEUE, pattern("jobs"), False)


def _rule_of(written: dict[str, list[str]]) -> Rule:
    return rule(
        "allow" in written,
        " ".join(written.get("allow") or written["deny"]),
        *written["destinations"],
        users=tuple(written.get("users", ())),
        groups=tuple(written.get("groups", ())),
    )


@pytest.mark.parametrize(
    "text", ["topic:secret.#", "topic:secret/#", "topic:secret.+", "topic:+.a", "topic:a/+", "topic:#"]
)
def test_wildcards_of_mqtt_would_fit_nothing_in_a_rule_and_are_refused(text: str) -> None:
    with pytest.raises(BadRule, match="are written"):
        Area.parse(text)


@pytest.mark.parametrize("text", ["topic: secret.>", "queue:secret "])
def test_blanks_around_a_name_would_make_it_another_and_are_refused(text: str) -> None:
    with pytest.raises(BadRule, match="blanks"):
        Area.parse(text)


def test_a_plus_within_a_level_is_a_name() -> None:
    assert Area.parse("topic:c++.x/y").levels == ("c++", "x/y")
