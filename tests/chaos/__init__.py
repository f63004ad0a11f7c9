"""The engine keeps its laws while processes are killed, messages are lost and servers misbehave.

``plan`` draws everything from a seed, ``mischief`` does it to a running stack (worker processes help with ``points``),
``witness`` and ``facts`` collect what happened, ``proof`` compares that with the laws, ``campaign`` does so many times.
"""
