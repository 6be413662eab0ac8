"""Charts: numbers of runs and experiments as Vega-Lite specifications, and these as SVG, PNG and PDF.

A module for every kind reads what lies on disk, or results already read, and gives ``frame.Chart`` values;
``drawing`` draws them. Altair and vl-convert are loaded inside the functions that need them alone. Pictures
of a topology are no charts: they are in ``report.draw``.
"""
