"""Narration: pages and pictures from facts and run directories; nothing here loads torch."""
