"""Training the published view generators on renders: Zero123++, its ControlNets, Zero-1-to-3.

``sheets`` and ``pairs`` read renders, ``chances`` fixes every chance of a sample, ``rates`` and
``objective`` are the recipes' closed forms, ``sheet_model`` and ``pair_model`` compute the loss,
``loop`` trains, ``start`` and ``export`` read and write the official folder layouts. Needs the
extras ``train`` and ``diffusion``.
"""
