"""Saving, reading and deleting what people define: the agent, credentials, target groups, jobs and steps.

Every change begins by locking the agent's row (``agent.lock_agent``): changes of definitions are rare, and one after
another they need no further thought about races. Every change writes one audit entry in the same transaction.
"""
