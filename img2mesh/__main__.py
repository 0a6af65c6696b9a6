"""``python -m img2mesh``."""

from img2mesh.cli import main

main()
