"""The one exception meant for users: a sentence that names the file, what was expected, what was found, and what to do."""


class InputError(ValueError):
    """Something a user gave (a file, a sheet, a config entry) cannot be used.

    The message is one sentence. It is shown without a traceback; the traceback goes to the job's log.
    """
