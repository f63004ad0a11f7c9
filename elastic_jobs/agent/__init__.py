"""What makes jobs run. Each duty is a service: ``run_once(now)`` for the tick, ``handle(id)`` for a message."""
