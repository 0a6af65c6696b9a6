"""Many photos: every item done, failed or quarantined with a reason; never lost, never done twice.

``items`` and ``manifest`` say what there is to do, ``scheduler`` hands items to an ``Executor``
(``local`` processes or a ``cluster``), ``folder`` keeps the journal, ``history`` reads it,
``sheet`` draws the contact sheet, ``display`` shows progress, ``planning`` checks all that was
asked and ``run`` ties them together.
"""
