"""``Between``: what a number may be, written beside it in a signature as ``Annotated``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Between:
    """A closed range.

    Attributes:
        least: the smallest value.
        most: the largest.
        off: one value outside that means something of its own, as 0 for "none".
    """

    least: float
    most: float
    off: float | None = None

    def holds(self, value: object) -> bool:
        """Whether a value lies in it; what is no number (None, a text) has no range."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return value == self.off or self.least <= value <= self.most

    def __str__(self) -> str:
        text = f"{_short(self.least)} to {_short(self.most)}"
        return text if self.off is None else f"{_short(self.off)}, or {text}"


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) and abs(number) < 1e12 else f"{number:g}"
