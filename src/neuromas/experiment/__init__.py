"""Experiments: arms × tasks × seeds of ordinary runs, and what they are to be compared on."""
