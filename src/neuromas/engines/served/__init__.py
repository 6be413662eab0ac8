"""Engines whose model is served by other processes, spoken to over HTTP."""
