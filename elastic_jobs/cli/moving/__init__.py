"""Moving in: definitions of another agent, ours or Azure's, or of a job database, brought to this agent."""
