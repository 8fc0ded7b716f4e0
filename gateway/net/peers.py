"""Who is at the other end of a socket, and how our end of it is ended."""

import asyncio


def peer_name(target: asyncio.Transport | None) -> str:
    """The client's address as host:port; `local` for a Unix socket, or where there is none any more."""
    name = None if target is None else target.get_extra_info("peername")
    if not isinstance(name, tuple):
        return "local"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def end_output(target: asyncio.Transport) -> bool:
    """End our direction alone, behind what was written; False where there is nothing to be ended but the whole.

    What the client has sent meanwhile can then still be read: a reset would overtake what it was told last.
    """
    if target.is_closing() or not target.can_write_eof():
        return False
    try:
        target.write_eof()
    except OSError:
        # The client has gone; asyncio's own loop says so here, and whoever ends connections in turn must go on.
        return False
    return True
