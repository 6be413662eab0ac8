"""Narration: pages made of blocks, their writers, and pictures, from facts and run directories.

Nothing here loads torch or runs a network; one file of ``pages`` is one page.
"""
