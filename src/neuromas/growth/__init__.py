"""Growing and pruning a network: operators on topologies, and what they do to adapters."""
