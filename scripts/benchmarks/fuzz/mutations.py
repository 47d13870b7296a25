"""Damage to a file's bytes, by disks and networks, or by an attacker."""

import re
from random import Random

_EXTREMES = (0, 1, 2**7 - 1, 2**7, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b"../", b"99999999999999999999", b"\xff\xfe")
_DIGITS = re.compile(rb"\d+")
_ENDS = 512


def mutate(random: Random, data: bytes, other: bytes) -> bytes:
    """Return the bytes after one to four mutations; `other` is a file of the same format to splice with."""
    damaged = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        random.choice(_DAMAGE)(random, damaged, other)
    return bytes(damaged)


def _place(random: Random, data: bytearray) -> int:
    """Return a random position, or one near an end, where headers and directories are."""
    n = len(data)
    near = random.random()
    if near < 0.4:
        return random.randrange(min(n, _ENDS) + 1)
    return random.randrange(max(0, n - _ENDS), n + 1) if near < 0.6 else random.randrange(n + 1)


def _flip_bit(random: Random, data: bytearray, other: bytes) -> None:
    at = _place(random, data)
    if at < len(data):
        data[at] ^= 1 << random.randrange(8)


def _set_integer(random: Random, data: bytearray, other: bytes) -> None:
    """Overwrite bytes with an extreme or random integer, of any size and byte order."""
    at, size = _place(random, data), random.choice((1, 2, 4, 8))
    value = random.choice((*_EXTREMES, random.getrandbits(64))) % 2 ** (8 * size)
    if at + size <= len(data):
        data[at : at + size] = value.to_bytes(size, random.choice(("little", "big")))


def _set_number(random: Random, data: bytearray, other: bytes) -> None:
    """Replace a number written in digits, as in JSON or the header of npy."""
    found = list(_DIGITS.finditer(bytes(data[:100_000])))
    if found:
        start, end = random.choice(found).span()
        data[start:end] = random.choice((str(random.choice(_EXTREMES)).encode(), *_WORDS))


def _truncate(random: Random, data: bytearray, other: bytes) -> None:
    del data[_place(random, data) :]


def _delete(random: Random, data: bytearray, other: bytes) -> None:
    at = _place(random, data)
    del data[at : at + random.choice((1, 2, 4, 16, 100))]


def _insert(random: Random, data: bytearray, other: bytes) -> None:
    at = _place(random, data)
    data[at:at] = random.choice((*_WORDS, random.randbytes(random.choice((1, 2, 4, 16, 100)))))


def _repeat(random: Random, data: bytearray, other: bytes) -> None:
    """Repeat a piece many times, as in nested brackets and endless rows."""
    at = _place(random, data)
    piece = bytes(data[at : at + random.choice((1, 2, 8, 64))])
    data[at:at] = piece * random.choice((1, 2, 100, 20_000))


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    at, size = random.randrange(len(other) + 1), random.choice((4, 16, 100, len(other)))
    to = _place(random, data)
    data[to : to + random.choice((0, size))] = other[at : at + size]


_DAMAGE = (_flip_bit, _flip_bit, _set_integer, _set_integer, _set_number, _truncate, _delete, _insert, _repeat, _splice)
