# ruff: noqa: E501
"""A real browser: mqtt.js, stompjs and no library at all, among themselves and with devices and scripts."""

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

from clients import Paho, Stomp
from web_peers import Pages, Relay, WebGateway


def open_libraries(page: Any, pages: Pages) -> None:
    """The page with mqtt.js and stompjs."""
    page.goto(f"http://127.0.0.1:{pages.port}/libraries.html")


def got(page: Any, count: int) -> list[list[str]]:
    """The first `count` messages that the page has received."""
    page.wait_for_function(f"got.length >= {count}")
    messages = page.evaluate("got")
    assert isinstance(messages, list)
    return messages


def test_stomp_in_the_browser_and_an_mqtt_device(page: Any, pages: Pages, web: WebGateway) -> None:
    open_libraries(page, pages)
    page.evaluate("url => startStomp(url)", web.url)
    page.evaluate("""() => new Promise((resolve) => {
        script.watchForReceipt("r", resolve);
        script.subscribe("/topic/sensors.*.temperature", (m) => got.push([m.headers.destination, m.body]), { receipt: "r" });
    })""")
    with Paho(web.ports["mqtt"]) as device:
        device.subscribe("rooms/+/light", 1)
        page.evaluate("script.publish({ destination: '/topic/rooms.attic.light', body: 'on é' })")
        assert device.inbox.take(1) == [("rooms/attic/light", "on é".encode())]
        device.publish("sensors/192.168.0.1/temperature", "21.5 °C".encode(), 1)
    assert got(page, 1) == [["/topic/sensors.192/168/0/1.temperature", "21.5 °C"]]


def test_mqtt_in_the_browser_and_a_stomp_script(page: Any, pages: Pages, web: WebGateway) -> None:
    open_libraries(page, pages)
    page.evaluate("url => startMqtt(url, { protocolVersion: 5 })", web.url)
    page.evaluate("device.subscribeAsync('a/#', { qos: 2 })")
    with Stomp(web.ports["stomp"]) as script:
        script.subscribe("/queue/jobs")
        page.evaluate("device.publishAsync('$queue/jobs', 'from the browser', { qos: 2 })")
        assert script.inbox.take(1) == [("/queue/jobs", b"from the browser")]
        script.publish("/topic/a.b", b"from the script")
    assert got(page, 1) == [["a/b", "from the script"]]


def test_no_library_at_all(page: Any, pages: Pages, web: WebGateway) -> None:
    page.goto(f"http://127.0.0.1:{pages.port}/bare.html")
    page.evaluate(
        """(url) => new Promise((resolve) => {
        window.got = [];
        window.socket = new WebSocket(url, "gateway.json");
        socket.onopen = () => socket.send(JSON.stringify({ op: "subscribe", id: 1, sub: "s", from: "queue:jobs", ack: "client" }));
        socket.onmessage = (event) => {
            const message = JSON.parse(event.data);
            if (message.op === "ok" && message.id === 1) resolve();
            if (message.op !== "message") return;
            got.push([message.to, message.body]);
            socket.send(JSON.stringify([
                { op: "begin", tx: "t" },
                { op: "publish", tx: "t", to: "topic:done", body: { job: message.body } },
                { op: "ack", tx: "t", tag: message.tag },
                { op: "commit", tx: "t", id: 2 },
            ]));
        };
    })""",
        web.url,
    )
    with Paho(web.ports["mqtt"]) as device, Stomp(web.ports["stomp"]) as script:
        device.subscribe("done", 1)
        script.publish("/queue/jobs", b"backup")
        assert [(topic, json.loads(body)) for topic, body in device.inbox.take(1)] == [
            ("done", {"job": "backup"})
        ]
    assert got(page, 1) == [["queue:jobs", "backup"]]


def test_a_session_waits_for_its_page(page: Any, pages: Pages, web: WebGateway) -> None:
    open_libraries(page, pages)
    page.evaluate("url => startMqtt(url, { clientId: 'tab', clean: false })", web.url)
    page.evaluate("device.subscribeAsync('news', { qos: 1 })")
    page.evaluate("device.endAsync()")
    with Paho(web.ports["mqtt"]) as device:
        device.publish("news", b"while you were away", 1)
    page.evaluate("device.reconnect()")
    assert got(page, 1) == [["news", "while you were away"]]
    assert "connect true" in page.evaluate("events")


def test_pages_come_back_after_the_server_restarts(page: Any, pages: Pages, web: WebGateway) -> None:
    open_libraries(page, pages)
    page.evaluate("url => startMqtt(url, { clientId: 'tab', clean: false })", web.url)
    page.evaluate("device.subscribeAsync('news', { qos: 1 })")
    page.evaluate("url => startStomp(url)", web.url)
    web.stop(signal.SIGKILL)
    page.wait_for_function("events.filter((event) => event.startsWith('close')).length >= 2")
    page.evaluate("events.length = 0")
    web.start()
    page.wait_for_function("events.filter((event) => event.startsWith('connect')).length >= 2")
    # The session, and what it subscribed to, has survived; stompjs leaves subscribing again to its user.
    assert "connect true" in page.evaluate("events")
    page.wait_for_function("device.connected && !device.reconnecting")
    with Paho(web.ports["mqtt"]) as device:
        page.evaluate("device.subscribeAsync('ready', { qos: 1 })")
        device.publish("news", b"again", 1)
        assert got(page, 1) == [["news", "again"]]
        device.subscribe("stomp", 1)
        page.evaluate("script.publish({ destination: '/topic/stomp', body: 'me too' })")
        assert device.inbox.take(1) == [("stomp", b"me too")]


def test_pages_of_another_site_are_refused(page: Any, pages: Pages, web: WebGateway) -> None:
    page.goto(f"http://evil.example:{pages.port}/bare.html")
    for host in ("127.0.0.1", "evil.example"):
        code = page.evaluate(
            """(url) => new Promise((resolve) => {
            new WebSocket(url, "gateway.json").onclose = (event) => resolve(event.code);
        })""",
            f"ws://{host}:{web.ports['ws']}/",
        )
        assert code == 1006
        sent = page.evaluate(
            "url => fetch(url, { method: 'POST', mode: 'no-cors', body: 'x' }).then((r) => r.status, () => 0)",
            f"http://{host}:{web.ports['ws']}/queues/q",
        )
        assert sent == 0
    with urllib.request.urlopen(f"{web.http}/queues/q") as answer:
        assert answer.status == 204


def test_events_in_the_browser(page: Any, pages: Pages, web: WebGateway) -> None:
    page.goto(f"http://127.0.0.1:{pages.port}/bare.html")
    page.evaluate(
        """(url) => new Promise((resolve) => {
        window.got = [];
        window.source = new EventSource(url + "/events?destination=topic:a.>");
        source.onopen = resolve;
        source.onmessage = (event) => got.push([event.lastEventId, JSON.parse(event.data).body]);
    })""",
        web.http,
    )
    page.evaluate(
        "url => fetch(url + '/topics/a.b', { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: 'é\\n2' })",
        web.http,
    )
    assert got(page, 1)[0][1] == "é\n2"


def test_an_event_source_whose_connection_breaks_misses_nothing(page: Any, web: WebGateway) -> None:
    relay = Relay(web.ports["ws"])
    page.goto(f"http://127.0.0.1:{relay.port}/")
    page.evaluate(
        """() => new Promise((resolve) => {
        window.got = [];
        window.gaps = [];
        window.opened = 0;
        window.source = new EventSource("/events?destination=topic:a.>");
        source.onopen = () => { opened++; resolve(); };
        source.onmessage = (event) => got.push(JSON.parse(event.data).body);
        source.addEventListener("gap", (event) => gaps.push(JSON.parse(event.data)));
    })"""
    )

    def publish(body: str) -> None:
        request = urllib.request.Request(
            web.http + "/topics/a.b", body.encode(), {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request).close()

    publish("1")
    until(page, "got.length === 1")
    relay.cut()
    publish("2")
    publish("3")
    until(page, "opened === 2")
    publish("4")
    until(page, "got.length >= 4")
    assert page.evaluate("[got, gaps]") == [["1", "2", "3", "4"], []]
    # What a gateway that was started anew cannot know is said to be missing.
    web.stop()
    web.start()
    until(page, "gaps.length === 1")
    publish("5")
    until(page, "got.length >= 5")
    assert page.evaluate("got") == ["1", "2", "3", "4", "5"]
    relay.close()


# -- the live page


def until(page: Any, expression: str) -> None:
    """Wait for something in a page whose policy lets no test evaluate strings inside it."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def test_the_live_page_by_keyboard(page: Any, web: WebGateway, tmp_path: Path) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    response = page.goto(web.http + "/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the messages"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "url"
    page.keyboard.press("Enter")
    page.wait_for_selector("#state[data-state=open]")
    while page.evaluate("document.activeElement.id") != "from":
        page.keyboard.press("Tab")
    page.keyboard.type("sensors.*.*")
    page.evaluate("document.activeElement.value = 'topic:sensors.*.*'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#subscriptions li")
    while page.evaluate("document.activeElement.id") != "to":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('#rows tr').length === 1")
    with Paho(web.ports["mqtt"]) as device, Stomp(web.ports["stomp"]) as script:
        device.publish("sensors/192.168.0.1/temperature", "22 °C".encode(), 1)
        script.publish("/topic/sensors.cellar.humidity", b"<b>61</b>")
    until(page, "document.querySelectorAll('#rows tr').length === 3")
    rows = page.evaluate(
        "[...document.querySelectorAll('#rows tr')].map((r) => [r.cells[1].textContent, r.cells[2].textContent])"
    )
    assert rows == [
        ["topic:sensors.cellar.humidity", "<b>61</b>"],
        ["topic:sensors.192/168/0/1.temperature", "22 °C"],
        ["topic:sensors.attic.temperature", "21.5"],
    ]
    until(page, "document.getElementById('chart-now').textContent.includes('3 in all')")
    assert len(page.get_attribute("#line", "points").split()) == 60
    page.screenshot(path=str(tmp_path / "live.png"), full_page=True)
    assert said == []
    assert {url for url in asked if not url.startswith((web.http, web.url, "data:"))} == set()
    # Everything that can be used has a name for those who do not see it.
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, button')].filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).length"
    )
    assert unnamed == 0
    remove = page.get_by_role("button", name="Unsubscribe from topic:sensors.*.*")
    remove.focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('#subscriptions li').length === 0")
    assert page.evaluate("document.activeElement.id") == "from"


def test_the_live_page_says_what_went_wrong_and_comes_back(page: Any, web: WebGateway) -> None:
    page.goto(web.http + "/")
    page.click("#toggle")
    page.wait_for_selector("#state[data-state=open]")
    page.fill("#from", "nonsense")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('alert').textContent.includes('queue:NAME')")
    page.fill("#from", "topic:>")
    page.keyboard.press("Enter")
    page.wait_for_selector("#subscriptions li")
    web.stop(signal.SIGKILL)
    until(page, "document.getElementById('state').textContent.includes('trying again')")
    web.start()
    page.wait_for_selector("#state[data-state=open]")
    page.click("#publish button")
    until(page, "document.querySelectorAll('#rows tr').length >= 1")


def open_page(page: Any, web: WebGateway) -> None:
    """The live page, connected, and subscribed to all topics."""
    page.goto(web.http + "/")
    page.click("#toggle")
    page.wait_for_selector("#state[data-state=open]")
    page.click("#subscribe button")
    page.wait_for_selector("#subscriptions li")


ALERT = "document.getElementById('alert').textContent"


def test_the_live_pages_errors_go_away(page: Any, web: WebGateway, tmp_path: Path) -> None:
    open_page(page, web)
    page.fill("#to", "nonsense")
    page.click("#publish button")
    until(page, ALERT + ".includes('queue:NAME')")
    page.screenshot(path=str(tmp_path / "error.png"), full_page=True)
    # With the next thing that is asked for,
    page.fill("#to", "topic:a")
    page.click("#publish button")
    assert page.evaluate(ALERT) == ""
    # and by themselves.
    page.fill("#to", "nonsense")
    page.click("#publish button")
    until(page, ALERT + " !== ''")
    until(page, ALERT + " === ''")


def test_the_live_page_cuts_long_bodies(page: Any, web: WebGateway, tmp_path: Path) -> None:
    open_page(page, web)
    bodies = [
        ("text/plain", b"long " * 20_000),
        ("application/json", json.dumps({"k": ["v" * 100] * 100}).encode()),
        ("application/octet-stream", bytes(range(256)) * 400),
        ("application/octet-stream", "é".encode() * 50_000),
        ("text/plain", ("🥕" * 300).encode()),
        ("text/plain", b"short"),
    ]
    for content_type, body in bodies:
        urllib.request.urlopen(
            urllib.request.Request(web.http + "/topics/t", body, {"Content-Type": content_type})
        ).close()
    until(page, f"document.querySelectorAll('#rows tr').length === {len(bodies)}")
    cells = page.evaluate("[...document.querySelectorAll('#rows tr')].map((r) => r.cells[2].textContent)")
    page.screenshot(path=str(tmp_path / "long.png"), full_page=True)
    text, value, packed, packed_text, carrots, short = reversed(cells)
    assert (text[:5], text[-22:]) == ("long ", "… (100,000 characters)")
    assert value.startswith('{"k"')
    assert value.endswith(" characters)")
    assert packed.endswith("… (102,400 bytes, base64)")
    assert packed_text.startswith("éé")
    assert packed_text.endswith("é… (100,000 bytes)")
    assert carrots == "🥕" * 300
    assert short == "short"
    assert max(len(cell) for cell in cells) <= 640
