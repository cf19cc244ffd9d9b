"""The one exception for users: a sentence that names the file or key, the problem, and the fix."""


class InputError(ValueError):
    """Something a user provided (a file, a sheet, a config entry) cannot be used.

    The message is one sentence: file or key, problem, fix. It is shown without a traceback, which goes to the job's log.
    """

    def __init__(self, message: str) -> None:
        """Keep the sentence as text that can be written anywhere: bytes of file names that are not UTF-8 become `\\udce9`."""
        super().__init__(message.encode("utf-8", "backslashreplace").decode("utf-8"))
