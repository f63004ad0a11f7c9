"""Every change of state of an execution. Each is one guarded UPDATE: id + expected state + claim token.

The way of a run goes through the modules in this order: ``starting`` (a run is asked for), ``claims`` (somebody works
on a step or target), ``planning`` (a step's targets are written down), ``slots`` (targets get a place within the
capacity), ``outcomes`` (an attempt ended), ``advancing`` (step and job end, the next step begins). Beside it:
``canceling``, ``repairs`` (lost workers and messages) and ``due`` (what the tick has to do).
"""
