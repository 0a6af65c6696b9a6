"""One warm process that does tasks, with what it loaded kept in memory; batches and the page share.

``protocol`` says what goes over the pipes, ``process`` is the parent's end of them, ``main`` the
child's, and ``task`` is what the child does: one job, from file to folder.
"""
