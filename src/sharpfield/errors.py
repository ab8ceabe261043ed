"""The one exception that users are meant to read."""


class InputError(Exception):
    """The user's input is wrong.

    The message is one line that names the file or option, the offending value and the next step.
    The command line prints it without a traceback and exits with code 2.
    """
