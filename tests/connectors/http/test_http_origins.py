"""Whose pages may come."""

import pytest

from gateway.connectors.http.origins import allowed, host_allowed, site_allowed


@pytest.mark.parametrize(
    ("origin", "host", "on_loopback", "expected"),
    [
        ("http://localhost:61614", "localhost:61614", True, True),
        ("http://127.0.0.1:8080", "127.0.0.1:61614", True, True),
        ("http://[::1]:8080", "[::1]:61614", True, True),
        ("https://app.localhost", "localhost:61614", True, True),
        ("https://evil.example", "localhost:61614", True, False),
        ("http://evil.example:61614", "evil.example:61614", True, False),
        ("http://localhost:61614", "evil.example:61614", True, False),
        ("http://localhost.evil.example", "localhost:61614", True, False),
        ("http://127.0.0.1.evil.example", "127.0.0.1:61614", True, False),
        ("null", "localhost:61614", True, False),
        ("file://", "localhost:61614", True, False),
        ("http://localhost:bad", "localhost:61614", True, False),
        ("https://broker.example", "broker.example", False, True),
        ("https://broker.example:443", "broker.example", False, True),
        ("http://broker.example:61614", "broker.example:61614", False, True),
        ("https://broker.example", "broker.example:61614", False, False),
        ("https://evil.example", "broker.example", False, False),
        ("http://localhost:3000", "broker.example", False, True),
    ],
)
def test_without_a_list_the_same_host_and_this_machine(
    origin: str, host: str, on_loopback: bool, expected: bool
) -> None:
    assert allowed(origin, host, (), on_loopback) == expected


def test_a_list_says_all_there_is() -> None:
    sites = ("https://a.example",)
    assert allowed("https://a.example", "b", sites, False)
    assert not allowed("https://b.example", "b.example", sites, False)
    assert not allowed("http://localhost", "localhost", sites, True)
    assert allowed("https://evil.example", "b", ("*",), True)


@pytest.mark.parametrize(
    ("host", "sites", "on_loopback", "expected"),
    [
        ("localhost:61614", (), True, True),
        ("127.0.0.1", (), True, True),
        ("[::1]:1", (), True, True),
        ("evil.example:61614", (), True, False),
        ("", (), True, False),
        ("broker.example", (), False, True),
        ("broker.example", ("https://broker.example",), True, True),
        ("evil.example", ("https://broker.example",), True, False),
        ("evil.example", ("*",), True, True),
    ],
)
def test_on_loopback_only_under_names_of_its_own(
    host: str, sites: tuple[str, ...], on_loopback: bool, expected: bool
) -> None:
    assert host_allowed(host, sites, on_loopback) == expected


@pytest.mark.parametrize(
    ("site", "mode", "only_looks", "on_loopback", "expected"),
    [
        (None, None, False, False, True),
        ("same-origin", "cors", False, False, True),
        ("none", "navigate", False, False, True),
        ("same-site", "no-cors", False, True, True),
        ("same-site", "no-cors", False, False, False),
        ("cross-site", "no-cors", False, True, False),
        ("cross-site", "navigate", True, True, True),
        ("cross-site", "navigate", False, True, False),
    ],
)
def test_what_browsers_say_of_requests_without_origin(
    site: str | None, mode: str | None, only_looks: bool, on_loopback: bool, expected: bool
) -> None:
    assert site_allowed(site, mode, only_looks, on_loopback) == expected
