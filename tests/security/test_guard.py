"""gateway/security/guard.py and passwords.py"""

import threading
from collections.abc import Callable

import pytest

from gateway.core.destination import QUEUE, TOPIC, Destination
from gateway.core.flow import Publisher
from gateway.core.pattern import Pattern, literal
from gateway.core.ports import Asker, Credentials
from gateway.security.guard import Guard, User
from gateway.security.passwords import PasswordChecks, hash_password, is_hash, verify
from gateway.security.rules import Area, Rule, Rules

HASH = hash_password("right")
USERS = {"ann": User("ann", HASH, frozenset({"staff"}))}


class Turns:
    """Stands for the loop: what threads post is run when the test says so."""

    def __init__(self) -> None:
        self._posted: list[Callable[[], None]] = []
        self._something = threading.Condition()

    def post(self, work: Callable[[], None]) -> None:
        with self._something:
            self._posted.append(work)
            self._something.notify()

    def run(self) -> None:
        """Wait for one post and run it."""
        with self._something:
            assert self._something.wait_for(lambda: self._posted, timeout=60)
            work = self._posted.pop(0)
        work()


class Answers(Asker):
    def __init__(self) -> None:
        self.given: list[tuple[bool, str | None]] = []

    def answer(self, granted: bool, user: str | None) -> None:
        self.given.append((granted, user))


class World:
    def __init__(
        self,
        users: dict[str, User] = USERS,
        rules: tuple[Rule, ...] = (),
        pending: int = 10,
        certificates: bool = False,
    ) -> None:
        self.turns = Turns()
        self.clock_brought_up_to_date = 0
        self.checks = PasswordChecks(self.turns.post, 1, pending)
        self.guard = Guard(users, Rules(rules), self.checks, self._tick, certificates)

    def _tick(self) -> None:
        self.clock_brought_up_to_date += 1

    def ask(self, user: str | None, secret: bytes | None = None, certificate: str | None = None) -> Answers:
        answers = Answers()
        self.guard.authenticate(Credentials(user, secret, "c", "p", certificate), answers)
        return answers


@pytest.fixture
def world() -> World:
    return World()


def test_a_hash_is_argon2id_and_verifies() -> None:
    assert HASH.startswith("$argon2id$")
    assert is_hash(HASH)
    assert verify(HASH, b"right")
    assert not verify(HASH, b"wrong")
    assert hash_password("right") != HASH


@pytest.mark.parametrize(
    "text", ["", "secret", "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaA", "$2b$12$x"]
)
def test_what_is_no_argon2id_hash(text: str) -> None:
    assert not is_hash(text)
    assert not verify(text, b"secret")


def test_the_right_password_is_answered_in_a_later_turn(world: World) -> None:
    answers = world.ask("ann", b"right")
    assert answers.given == []
    world.turns.run()
    assert answers.given == [(True, "ann")]
    assert world.clock_brought_up_to_date == 1


def test_the_same_password_again_is_answered_at_once(world: World) -> None:
    world.ask("ann", b"right")
    world.turns.run()
    assert world.ask("ann", b"right").given == [(True, "ann")]
    assert world.clock_brought_up_to_date == 1
    # Another one is not.
    answers = world.ask("ann", b"right ")
    assert answers.given == []
    world.turns.run()
    assert answers.given == [(False, None)]


@pytest.mark.parametrize(
    ("user", "secret"), [("ann", b"wrong"), ("ann", None), ("bob", b"right"), ("", b"right")]
)
def test_wrong_names_and_passwords_are_refused_and_counted(
    world: World, user: str, secret: bytes | None
) -> None:
    answers = world.ask(user, secret)
    world.turns.run()
    assert answers.given == [(False, None)]
    assert world.guard.refused == 1


def test_too_long_a_password_is_refused_unhashed(world: World) -> None:
    assert world.ask("ann", b"x" * 5_000).given == [(False, None)]


def test_more_checks_than_may_wait_are_refused_at_once() -> None:
    world = World(pending=1)
    first = world.ask("ann", b"right")
    assert world.ask("ann", b"right").given == [(False, None)]
    world.turns.run()
    assert first.given == [(True, "ann")]


def test_who_gives_no_name_is_nobody_or_whom_the_certificate_names(world: World) -> None:
    assert world.ask(None).given == [(True, None)]
    assert world.ask(None, certificate="device").given == [(True, "device")]


def test_a_name_that_the_certificate_confirms_needs_no_password(world: World) -> None:
    assert world.ask("device", certificate="device").given == [(True, "device")]
    answers = world.ask("ann", b"wrong", certificate="device")
    world.turns.run()
    assert answers.given == [(False, None)]


@pytest.mark.parametrize("users", [USERS, {}])
@pytest.mark.parametrize("token", [b"x", b""])
def test_a_token_is_nobodys_proof(users: dict[str, User], token: bytes) -> None:
    world = World(users=users)
    assert world.ask(None, token).given == [(False, None)]
    assert world.ask(None, token, certificate="device").given == [(False, None)]
    assert world.guard.refused == 2


def test_where_nothing_verifies_names_every_name_is_believed_but_against_a_certificate() -> None:
    world = World(users={})
    assert world.ask("anybody", b"anything").given == [(True, "anybody")]
    assert world.ask("anybody", certificate="device").given == [(False, None)]
    assert world.ask("device", b"anything", certificate="device").given == [(True, "device")]


def test_where_certificates_are_shown_a_name_needs_one() -> None:
    """Also from who shows one that names nobody, or none: another field, two names, another listener."""
    world = World(users={}, certificates=True)
    assert world.ask("device").given == [(False, None)]
    assert world.ask("device", b"anything").given == [(False, None)]
    assert world.ask("", b"").given == [(False, None)]
    assert world.guard.refused == 3
    assert world.ask("device", b"anything", certificate="device").given == [(True, "device")]
    assert world.ask(None).given == [(True, None)]


@pytest.mark.parametrize(
    ("users", "groups", "area"),
    [(("ann",), (), "topic:a"), ((), ("staff",), "topic:a"), ((), (), "topic:a.{user}")],
)
def test_a_name_that_rules_look_at_is_not_believed(
    users: tuple[str, ...], groups: tuple[str, ...], area: str
) -> None:
    rule = Rule(True, frozenset({"publish"}), frozenset(users), frozenset(groups), (Area.parse(area),))
    world = World(users={}, rules=(rule,))
    assert world.ask("ann", b"anything").given == [(False, None)]
    assert world.guard.verifies_names


def test_rules_about_everybody_leave_names_as_they_are() -> None:
    rule = Rule(True, frozenset({"publish"}), frozenset(), frozenset(), (Area.parse("topic:a.{client_id}"),))
    assert World(users={}, rules=(rule,)).ask("anybody").given == [(True, "anybody")]


def test_a_certificate_does_not_replace_the_password_of_a_user_who_gives_one(world: World) -> None:
    answers = world.ask("ann", b"wrong", certificate="ann")
    world.turns.run()
    assert answers.given == [(False, None)]
    assert world.ask("ann", certificate="ann").given == [(True, "ann")]


def test_users_do_not_show_their_hashes() -> None:
    assert "argon2" not in repr(USERS["ann"])
    assert "secret" not in repr(Credentials("ann", b"secret", "c", "p"))


def publisher(user: str | None) -> Publisher:
    known = Publisher("c", None)
    known.user = user
    return known


def test_decisions_follow_the_rules_and_are_remembered() -> None:
    rule = Rule(
        True,
        frozenset({"publish", "subscribe"}),
        frozenset(),
        frozenset({"staff"}),
        (Area.parse("topic:a.>"), Area.parse("queue:jobs.*")),
    )
    guard = World(rules=(rule,)).guard
    for _ in range(2):
        assert guard.may_publish(publisher("ann"), Destination(TOPIC, "a.b"))
        assert not guard.may_publish(publisher("ann"), Destination(TOPIC, "b"))
        assert not guard.may_publish(publisher(None), Destination(TOPIC, "a.b"))
    # A queue's name is one level to subscribers and several to rules.
    assert guard.may_subscribe(publisher("ann"), QUEUE, Pattern(("jobs.x",)))
    assert guard.may_subscribe(publisher("ann"), QUEUE, literal("jobs.x"))
    assert not guard.may_subscribe(publisher("ann"), QUEUE, Pattern(("other",)))


def test_remembered_decisions_are_bounded_in_bytes_whatever_the_names() -> None:
    rules = Rules((Rule(True, frozenset({"publish"}), frozenset(), frozenset(), (Area.parse("topic:a.>"),)),))
    checks = PasswordChecks(Turns().post, 1, 1)
    guard = Guard({}, rules, checks, lambda: None, False, 10_000)
    publisher = Publisher("c", None)
    for number in range(1_000):
        assert not guard.may_publish(publisher, Destination(TOPIC, f"denied.{number}" + "x" * (number % 600)))
        assert guard.decisions_bytes <= 10_000
    assert guard.decisions_bytes > 0
    before = guard.decisions_bytes
    assert guard.may_publish(publisher, Destination(TOPIC, "a." + "x" * 60_000))
    publisher.user = "u" * 60_000
    assert guard.may_publish(publisher, Destination(TOPIC, "a.b"))
    assert guard.decisions_bytes == before
    guard.close()
