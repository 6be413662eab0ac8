"""The engine in this process: a backbone with its resident adapters, sampled in batches over token trees."""
