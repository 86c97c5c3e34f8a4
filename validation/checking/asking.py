"""One request to a server under test, from start to stop."""

import asyncio
import time
from collections.abc import Iterator

from validation.checking import Answer
from validation.programs import ProgramError
from validation.serving.load import loading
from validation.serving.plan import Class
from validation.serving.run import ClientTruth, Served, ServerFailedError, ServerUnderTest
from validation.stage import Room

_AT_ONCE, _PROMPT_TOKENS, _OUTPUT_TOKENS = 4, 32, 16
_HANG_UP_SECONDS = 3.0


def asked(name: str, server: ServerUnderTest, room: Room) -> Iterator[Answer]:
    """Whether it starts, and answers some requests at once."""
    why = server.unable(room.machine)
    if why:
        yield Answer(name, good=False, words=why)
        return
    began = room.now()
    try:
        served = server.start(room)
        yield Answer(f"{name} starts", good=True, words=f"answers after {room.now() - began:.1f} s")
        yield from (Answer(f"{name}: {one.name}", one.held, one.found) for one in served.checks)
        truths = asyncio.run(_answered(served, server, room))
        yield _judged(name, truths)
    except (ServerFailedError, ProgramError) as error:
        yield Answer(name, good=False, words=str(error))
    finally:
        server.stop()


async def _answered(served: Served, server: ServerUnderTest, room: Room) -> list[ClientTruth]:
    until = time.time() + room.left() + _HANG_UP_SECONDS
    async with loading(served, until, server.alive) as load:
        kind = Class("", _PROMPT_TOKENS, _OUTPUT_TOKENS)
        return list(await asyncio.gather(*(load.ask("check", kind) for _ in range(_AT_ONCE))))


def _judged(name: str, truths: list[ClientTruth]) -> Answer:
    broken = [one.why for one in truths if one.outcome != "ok"]
    tokens = sum(one.output_tokens or 0 for one in truths)
    seconds = max(one.end for one in truths) - min(one.start for one in truths)
    words = f"{len(truths)} requests at once, {tokens} tokens in {seconds:.2f} s"
    good = not broken and tokens == _AT_ONCE * _OUTPUT_TOKENS
    return Answer(f"{name} answers", good, "; ".join([words, *broken[:1]]))
