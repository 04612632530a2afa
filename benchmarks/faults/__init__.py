"""Killed, starved and robbed on purpose: whatever happens to a run, the next one goes on and ends with the same."""
