"""The one exception of this benchmark."""

from __future__ import annotations


class PeerError(Exception):
    """An engine cannot be installed, trained or run; the message is the reason that the table gives."""


def last_lines(text: str, count: int = 3) -> str:
    """The end of a program's output in one line, where its error message usually is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])[-400:]
