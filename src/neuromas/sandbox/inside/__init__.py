"""What runs inside a sandbox: the standard library alone, Python 3.9 and newer, no import of this package.

``start`` is given to the interpreter as text, with the texts of the others as arguments.
"""
