"""What is stored with results names files without their folders, which often hold the name of a user."""

import re

# An absolute path up to its last separator. It starts a word or follows a quote or bracket, so that neither the
# address of a web page nor an id with slashes counts. The name of a folder may hold spaces, but not at its end: there,
# the next path of the message begins.
_START = r"""(?<![^\s'"(\[=])(?:[A-Za-z]:[\\/]|[\\/]{1,2}|~[\\/])(?=[^\s\\/])"""
_FOLDER = r"""(?:[^\\/:*?"'\n]*[^\\/:*?"'\s(\[=][\\/])*"""
_FOLDERS = re.compile(_START + _FOLDER)


def without_folders(text: str) -> str:
    """Return a message in which absolute paths are shortened to the names of their files.

    For example, "/home/me/data/a.png: no such file" becomes "a.png: no such file".
    """
    return _FOLDERS.sub("", text)
