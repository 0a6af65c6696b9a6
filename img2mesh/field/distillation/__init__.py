"""The field that guidance pulls into shape: density and colour on a grid, volume rendered.

A signed distance only moves the surface it has; guidance has to make one appear where there was
none, so here every grid point absorbs some light and has a colour (or a latent), all along a ray
feel the gradient, and what comes out is handed on as exact views with depth, to which the signed
distance field is then fitted like to any others (:mod:`img2mesh.field`).
"""
