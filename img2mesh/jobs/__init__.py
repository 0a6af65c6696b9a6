"""One input from file to finished folder: the way that every job takes, whoever asked for it.

``request`` says what is wanted, ``job`` names and digests an input, ``execute`` runs it, and
``delivery`` places its files, of which ``mesh_files`` encodes those of the mesh.
"""
