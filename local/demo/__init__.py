"""``make demo``: the Azure PowerShell tutorial for elastic jobs, from start to end, on one machine."""
