"""Growing and pruning a network: operators on topologies, adapters of new nodes, stages, lineage.

What a stage trains, and when it ends, is the business of ``training``.
"""
