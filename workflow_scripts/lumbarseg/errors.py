"""The one exception for users: a sentence that names the file or key, the problem, and the fix."""


class InputError(ValueError):
    """Something a user provided (a file, a sheet, a config entry) cannot be used.

    The message is one sentence: file or key, problem, fix. It is shown without a traceback, which goes to the job's log.
    """
