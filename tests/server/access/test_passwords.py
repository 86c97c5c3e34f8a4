"""Passwords: who is let in, what it costs, and what a refusal tells."""

import asyncio
import base64
import threading

import bcrypt
import pytest

from exporter.server.access.passwords import MOST_REMEMBERED, MOST_WAITING, BusyError, Passwords

HASHES = {name: bcrypt.hashpw(name.encode() * 2, bcrypt.gensalt(4)).decode() for name in ("alice", "bob")}


class Counted(Passwords):
    """Says how often and against what it checked."""

    def __init__(self) -> None:
        super().__init__()
        self.against: list[str] = []
        real = self.check

        def check(password: bytes, hashed: str) -> bool:
            self.against.append(hashed)
            return real(password, hashed)

        self.check = check


async def test_the_right_password_fits_and_others_do_not() -> None:
    passwords = Passwords()
    assert await passwords.fit(HASHES, b"alice", b"alicealice")
    assert not await passwords.fit(HASHES, b"alice", b"bobbob")
    assert not await passwords.fit(HASHES, b"bob", b"")
    assert not await passwords.fit(HASHES, b"nobody", b"alicealice")


async def test_a_right_password_is_checked_once() -> None:
    passwords = Counted()
    for _ in range(50):
        assert await passwords.fit(HASHES, b"alice", b"alicealice")
    assert passwords.against == [HASHES["alice"]]


async def test_many_scrapes_at_once_are_one_check() -> None:
    passwords = Counted()
    assert all(await asyncio.gather(*(passwords.fit(HASHES, b"alice", b"alicealice") for _ in range(10))))
    assert passwords.against == [HASHES["alice"]]


async def test_a_wrong_password_costs_its_check_each_time() -> None:
    passwords = Counted()
    for _ in range(3):
        assert not await passwords.fit(HASHES, b"alice", b"wrong")
    assert len(passwords.against) == 3


async def test_a_new_hash_makes_the_old_password_wrong() -> None:
    passwords = Passwords()
    assert await passwords.fit(HASHES, b"alice", b"alicealice")
    assert not await passwords.fit({**HASHES, "alice": HASHES["bob"]}, b"alice", b"alicealice")


async def test_a_user_who_is_taken_away_is_remembered_by_nothing() -> None:
    passwords = Passwords()
    assert await passwords.fit(HASHES, b"alice", b"alicealice")
    assert not await passwords.fit({"carol": HASHES["alice"]}, b"alice", b"alicealice")


async def test_a_name_that_nobody_has_is_checked_like_any_other_and_always_against_the_same() -> None:
    passwords = Counted()
    for _ in range(3):
        assert not await passwords.fit(HASHES, b"mallory", b"bobbob")
    assert len(set(passwords.against)) == 1
    assert passwords.against[0] in HASHES.values()


async def test_a_name_that_nobody_has_never_comes_in_by_somebody_elses_password() -> None:
    passwords = Passwords()
    for name in (b"mallory", b"eve", b"trent", b"\xff\xfe"):
        for password in (b"alicealice", b"bobbob"):
            assert not await passwords.fit(HASHES, name, password)
            assert not await passwords.fit(HASHES, name, password)


async def test_of_a_long_password_the_bytes_count_that_bcrypt_looks_at() -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    passwords = Passwords()
    assert await passwords.fit({"a": hashed}, b"a", b"x" * 4000)
    assert not await passwords.fit({"a": hashed}, b"a", b"x" * 71)


async def test_hashes_of_other_programs_are_understood() -> None:
    htpasswd = HASHES["alice"].replace("$2b$", "$2y$")
    assert await Passwords().fit({"alice": htpasswd}, b"alice", b"alicealice")


async def test_only_so_many_wait_while_the_event_loop_goes_on() -> None:
    passwords, go_on = Passwords(), threading.Event()
    passwords.check = lambda _password, _hashed: go_on.wait(20) and False
    waiting = [asyncio.create_task(passwords.fit(HASHES, b"alice", b"%d" % each)) for each in range(MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await passwords.fit(HASHES, b"alice", b"one too many")
    go_on.set()
    assert not any(await asyncio.gather(*waiting))
    assert not await passwords.fit(HASHES, b"alice", b"there is room again")


async def test_what_is_remembered_is_bounded_and_holds_no_password() -> None:
    passwords = Passwords()
    passwords.check = lambda _password, _hashed: True
    for each in range(MOST_REMEMBERED * 2 + 1):
        assert await passwords.fit(HASHES, b"alice", b"secret-%d" % each)
    assert 0 < len(passwords._right) <= MOST_REMEMBERED
    assert b"secret" not in b"".join(passwords._right)
    assert base64.b64encode(b"secret") not in b"".join(passwords._right)
