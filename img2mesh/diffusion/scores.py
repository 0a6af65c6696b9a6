"""The scores there are, by name. No torch."""

from __future__ import annotations

from typing import Literal

#: DreamFusion's, Score Jacobian Chaining's and ProlificDreamer's.
Kind = Literal["sds", "sjc", "vsd"]
