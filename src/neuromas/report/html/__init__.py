"""A run as one HTML page: ``story`` reads run directories into frozen values, ``render`` writes the page.

``kept`` reads a directory as far as it can be read and says what is missing; a file a section (``headline``,
``several``, ``training``, ``network``, ``traces``, ``answers``, ``family``, ``facts``) tells what lies there
in ``parts``; ``templates/`` has a macro for each kind of part, one style sheet and one script. ``live``
serves the page while a run is written. Nothing here loads torch or writes into a run.
"""
