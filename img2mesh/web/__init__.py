"""The local web app: photos are dropped on a page, become meshes one after another, and stay there.

``guard`` decides which requests are answered at all, ``uploads`` takes a photo in, ``items`` holds
what is known of one, ``queue`` makes them one at a time in a worker process, ``app`` is the routes
and ``server`` ties them together. The page is in ``assets/``.
"""
