"""The ``elastic-jobs`` command: a client of the management API over HTTP."""
