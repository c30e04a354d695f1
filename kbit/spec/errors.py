"""The one error that means: the user can mend this. Every verb prints it as one line and exits with code 2."""


class UserError(Exception):
    """A mistake in what the user gave: the message names the value, what is accepted and where it is set."""


def choice_error(what: str, value: object, accepted: object, where: str) -> UserError:
    """The standard sentence for a value outside a known set."""
    listed = ", ".join(str(item) for item in accepted)
    return UserError(f"{what} {value!r} is not one of {listed} ({where})")


class UnsupportedError(UserError):
    """This model cannot take this quantization spec: a result, recorded in the cell's row, not a fault of the job."""
