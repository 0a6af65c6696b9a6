"""What becomes of an object that is in several pieces."""

from __future__ import annotations

from typing import Literal

#: ``keep`` leaves separate things separate, ``join`` makes one body with bars, ``largest`` drops
#: every piece but one.
Parts = Literal["keep", "join", "largest"]
