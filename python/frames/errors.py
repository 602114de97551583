"""The one exception type for everything that a user of the package can cause."""


class FramesError(Exception):
    """What was given, what was expected and what to do, in one line.

    The command line prints the message and exits with status 1; nothing else is ever shown for it.
    """
