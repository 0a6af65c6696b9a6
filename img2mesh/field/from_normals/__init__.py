"""Depths from normals alone: integrated view by view, placed by what the other views see."""
