"""Pages of the story besides the first: other roads into the same stages, a graph each."""
