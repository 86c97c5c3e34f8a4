"""Result files of `components`: written by that command, read again by it and by the exporter that serves them.

A file is one JSON document: what it is, the version of its layout, and a list of dissections (domain/dissection.py),
each in a line of its own. Numbers are written to their last digit, so that what is read is what was written.
"""
