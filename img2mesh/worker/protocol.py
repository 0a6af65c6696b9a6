"""What a worker process reads and writes: a task a line in, a message a line out, all as JSON.

A message has a ``kind``:

``ready``   it can take a task; ``host``, ``pid``
``stage``   ``stage`` and ``fraction`` of the task it is at
``done``    ``result`` and ``rss``, the bytes of memory it now holds
``failed``  ``error`` (one sentence), ``why`` (see below), ``rss``
``lost``    sent by the parent's end of the pipes: the process is gone; ``error`` says how
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Message = dict[str, Any]

#: ``input``: the task's input is bad; ``setup``: an extra is missing; ``full``: no task can write.
Why = Literal["input", "setup", "full", "error"]

#: Called with a stage and the fraction of it that is done.
ReportProgress = Callable[[str, float], None]

#: What a worker does with a task: returns what there is to know about a finished one, as JSON.
Function = Callable[[Mapping[str, Any], ReportProgress], dict[str, Any]]
