"""The marked parts of the pages, a file a subject: results in, Markdown out.

Nothing here opens a result but ``reading``; which results a part is made of stands in ``../readme.py``.
"""
