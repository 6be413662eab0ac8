"""Experiments: arms × tasks × seeds of ordinary runs, and what they are to be compared on.

``plan`` is the file, ``cells`` the runs it stands for, ``running`` their processes. Nothing is trained here.
"""
