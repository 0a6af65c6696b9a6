"""Names of folders made from names of inputs: one folder below the output, on every system."""

from __future__ import annotations

#: What Windows does not take in a name, beside control characters; and what turns the direction of
#: writing, and so shows a name as another.
_FORBIDDEN = frozenset('<>:"/\\|?*') | frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
#: Devices of Windows, whatever follows their name after a dot.
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$"}) | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}
#: Bytes a name may take: file systems end at 255, and endings and a hash are put behind it.
_LONGEST = 200


def safe_name(stem: str, *, fallback: str = "photo") -> str:
    """The stem of an input as the name of one folder, unchanged wherever it is one already.

    What a system forbids becomes ``_``, and so do bytes that are no UTF-8 and marks that turn the
    direction of writing; dots and blanks at the ends go; what Windows reserves for devices gets a
    ``_`` in front.

    Args:
        stem: a file's name without its suffix, as the system spelled it.
        fallback: the name where nothing is left.
    """
    kept = "".join(
        "_" if c in _FORBIDDEN or ord(c) < 32 or "\x7f" <= c <= "\x9f"
        or "\ud800" <= c <= "\udfff" else c
        for c in stem
    )  # fmt: skip
    kept = kept.strip(" ") if kept.strip(" .") else fallback
    kept = kept.encode()[:_LONGEST].decode(errors="ignore").rstrip(" .") or fallback
    return f"_{kept}" if kept.split(".")[0].rstrip().casefold() in _DEVICES else kept
