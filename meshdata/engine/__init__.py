"""The engine: jobs, leases, timers, work streams and those who wait, over the store; it knows nothing of user code."""
