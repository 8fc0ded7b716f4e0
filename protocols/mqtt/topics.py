"""Topic names and filters: what they may be (§4.7)."""

from protocols.mqtt.errors import MalformedPacket, ProtocolViolation
from protocols.mqtt.strings import has_control_characters, text_of


def check_topic_name(raw: bytes, control_characters: bool = True) -> str:
    """The topic name in `raw`; with control characters only where they are welcome.

    Raises MalformedPacket or ProtocolViolation.
    """
    name = text_of(raw)
    if not name:
        # §3.3.2.1; where an alias stands for it, the name is not looked at.
        raise ProtocolViolation("an empty topic name")
    if not control_characters and has_control_characters(name):
        raise MalformedPacket("a control character in a topic name")
    if "+" in name or "#" in name:
        # [MQTT-3.3.2-2]
        raise MalformedPacket("a wildcard in a topic name")
    return name


def filter_error(text: str) -> str:
    """What is wrong with a topic filter, `$share/` included; empty when nothing is (§4.7.1, §4.8.2)."""
    if not text:
        return "an empty topic filter"
    if text.startswith("$share/"):
        parts = text.split("/", 2)
        if len(parts) < 3 or not parts[1] or not parts[2]:
            return "a shared subscription without a name or a filter"
        if "+" in parts[1] or "#" in parts[1]:
            return "a wildcard in the name of a shared subscription"
        text = parts[2]
    return wildcard_error(text)


def wildcard_error(text: str) -> str:
    """What is wrong with the wildcards of a topic filter, which are whole levels (§4.7.1); empty when nothing is."""
    if "#" not in text and "+" not in text:
        return ""
    levels = text.split("/")
    last = len(levels) - 1
    for at, level in enumerate(levels):
        if "#" in level and (level != "#" or at != last):
            return "# is not the last level"
        if "+" in level and level != "+":
            return "+ is not a whole level"
    return ""
