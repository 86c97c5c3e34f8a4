"""What a server under test does when it does not start."""

from collections.abc import Iterator
from contextlib import contextmanager

from validation.programs import ProgramError
from validation.serving.run import ServerFailedError, ServerUnderTest


@contextmanager
def starting(server: ServerUnderTest) -> Iterator[None]:
    """Its start: whatever goes wrong in it stops what runs already.

    Raises:
        ServerFailedError: a program or the system was in its way; says what, and who.
    """
    try:
        yield
    except (ProgramError, OSError) as error:
        server.stop()
        raise ServerFailedError(f"{server.name}: {error}") from error
    except BaseException:
        server.stop()
        raise
