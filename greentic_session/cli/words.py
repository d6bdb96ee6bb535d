"""Words for people: lengths of time, sizes, and texts that steer no terminal."""

import unicodedata

__all__ = ["brief", "cut", "duration", "shown", "size", "width_of"]


def duration(milliseconds: int | None) -> str:
    """Return a length of time for people, in its two largest units.

    >>> duration(93_784_000)
    '1d 2h'
    """
    if milliseconds is None:
        return "never"
    seconds = milliseconds // 1000
    parts = [(seconds // 86400, "d"), (seconds % 86400 // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s")]
    first = next((number for number, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value}{unit}" for value, unit in parts[first : first + 2])


def brief(milliseconds: int | None) -> str:
    """Return a length of time for people, in its largest unit.

    >>> brief(93_784_000)
    '1d'
    """
    return duration(milliseconds).partition(" ")[0]


def size(count: float) -> str:
    """Return a number of bytes for people.

    >>> size(4300)
    '4.2 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


def shown(text: str) -> str:
    """Return a text without what would steer a terminal: node names and scopes are anybody's."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(map(_columns, text))


def cut(text: str, width: int, dots: str = "...") -> str:
    """Return a text that takes `width` columns at most; dots stand for what is left out.

    >>> cut("a long story", 8)
    'a lon...'
    """
    if width_of(text) <= width:
        return text
    dots = dots[:width]
    kept, left = "", width - len(dots)
    for letter in text:
        left -= _columns(letter)
        if left < 0:
            break
        kept += letter
    return kept + dots


def _columns(letter: str) -> int:
    return 0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
