"""Many photos: every item done, failed or set aside with a reason; never lost, never done twice.

``items`` and ``manifest`` say what there is to do, ``work`` does one item in a worker process,
``scheduler`` hands items to an ``Executor`` (``local`` processes or a ``cluster``), ``folder``
keeps the journal, ``history`` reads it, ``sheet`` draws the contact sheet, ``display`` tells,
``planning`` checks all that was asked and ``door`` ties them together.
"""
