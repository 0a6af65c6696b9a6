"""Training the network behind the generator ``learned``, from a folder of meshes.

``catalog`` reads the folder, ``solid`` and ``views`` turn one mesh into training items, ``prepare``
does so for all of them, ``light`` and ``augment`` give one item many looks, ``losses`` and ``loop``
train, ``card`` writes down what was done. Needs the extra ``train``; nothing else imports this.
"""
