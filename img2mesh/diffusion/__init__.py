"""The maths of denoising, shared by everything that samples or trains a diffusion model.

Schedules, samplers, guidance, noise sources, reference attention, the reading of weights and the
table of published checkpoints. Knows no pictures, cameras or meshes. Importing this package
imports no torch: pick the module you need.
"""
