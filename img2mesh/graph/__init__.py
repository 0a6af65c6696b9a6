"""The engine: typed stages wired by parameter names, and a cache of what they made.

It knows nothing of pictures or meshes: copy this folder elsewhere and it works. See docs/cache.md.
"""

from img2mesh.graph.events import Event, Finished, Planned, Progressed, Reused, Started, Waiting
from img2mesh.graph.graph import Graph
from img2mesh.graph.runner import Codec, Leaf, Outcome, Runner
from img2mesh.graph.stage import Run, Stage, stage
from img2mesh.graph.store import Item, Store

__all__ = ["Codec", "Event", "Finished", "Graph", "Item", "Leaf", "Outcome", "Planned", "Reused"]
__all__ += ["Progressed", "Run", "Runner", "Stage", "Started", "Store", "Waiting", "stage"]
