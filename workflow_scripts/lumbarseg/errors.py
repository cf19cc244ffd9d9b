"""The one exception for users: a sentence that names the file or key, the problem, and the fix."""

import re

# Control characters, which end lines and steer terminals, and marks that change the direction of text.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class InputError(ValueError):
    """Something a user provided (a file, a sheet, a config entry) cannot be used.

    The message is one sentence: file or key, problem, fix. It is shown without a traceback, which goes to the job's log.
    """

    def __init__(self, message: str) -> None:
        """Keep the sentence as one line that can be written anywhere.

        Bytes of file names that are not UTF-8 become `\\udce9`, line breaks and other control characters `\\n` and `\\x1b`.
        """
        plain = message.encode("utf-8", "backslashreplace").decode("utf-8")
        super().__init__(_INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), plain))
