"""Depths from comparing windows of the views with each other, and moving the surface to them."""
