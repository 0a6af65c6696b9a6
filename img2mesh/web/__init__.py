"""The local web app: photos are dropped on a page, become meshes one after another, and stay there.

``guard`` says which requests are answered at all, ``uploads`` takes a photo in, ``items`` says
what is known of one, ``line`` makes them one at a time in a worker process, ``work`` is what that
process does, ``app`` is the routes and ``door`` ties them together. The page is in ``assets/``.
"""
