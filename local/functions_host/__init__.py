"""A stand-in for the Azure Functions host on one machine: HTTP, queue and timer triggers of one Python app.

It keeps the host's rules where an app can notice them (leases, poison queues, back-off, one event loop per worker,
singleton timers) and refuses by name what it does not know. `python -m local.functions_host --help` starts it.
"""
