"""Unpack files into the parts under checksums and compression, and pack them: damage to a part reaches its reader."""

import contextlib
import gzip
import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import safetensors.numpy


class Codec(NamedTuple):
    """A pair of functions: `pack(unpack(file))` is a file with the same content."""

    unpack: Callable[[bytes], list[bytes]]
    pack: Callable[[list[bytes]], bytes]


def _zip_parts(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [part for name in archive.namelist() for part in (name.encode(), archive.read(name))]


def _zip(parts: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in zip(parts[::2], parts[1::2], strict=True):
            archive.writestr(zipfile.ZipInfo(name.decode("latin-1")[:1000] or "empty"), content)
    return file.getvalue()


_PNG = b"\x89PNG\r\n\x1a\n"


def _png_parts(data: bytes) -> list[bytes]:
    """Return type and content of each chunk, with the pixels unpacked."""
    parts, at = [], len(_PNG)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        parts.append(kind + (zlib.decompress(content) if kind == b"IDAT" else content))
        at += 12 + size
    return parts


def _png(parts: list[bytes]) -> bytes:
    packed = [part[:4] + (zlib.compress(part[4:]) if part[:4] == b"IDAT" else part[4:]) for part in parts]
    return _PNG + b"".join(map(png_chunk, packed))


def png_chunk(part: bytes) -> bytes:
    """Return a chunk: size, type and content, checksum."""
    return struct.pack(">I", max(0, len(part) - 4)) + part + struct.pack(">I", zlib.crc32(part))


def _network_parts(data: bytes) -> list[bytes]:
    """Return the description in a file of `jaxnn.save` without its digest, the table of arrays, and the numbers."""
    end = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:end])
    described = json.loads(table.pop("__metadata__")["jaxnn"])
    del described["sha256"]
    return [json.dumps(described).encode(), json.dumps(table).encode(), data[end:]]


def _network(parts: list[bytes]) -> bytes:
    """Return the file with a digest that fits, if the damage leaves a description and arrays that have one."""
    described, table, numbers = parts
    with contextlib.suppress(Exception):
        contents = json.loads(described)
        digest = hashlib.sha256(json.dumps(contents).encode())
        for name, array in sorted(safetensors.numpy.load(_tensors([table, numbers])).items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        described = json.dumps({"sha256": digest.hexdigest()} | contents).encode()
    with contextlib.suppress(ValueError, RecursionError, TypeError):
        table = json.dumps(json.loads(table) | {"__metadata__": {"jaxnn": described.decode("latin-1")}}).encode()
    return _tensors([table, numbers])


def _tensors(parts: list[bytes]) -> bytes:
    return len(parts[0]).to_bytes(8, "little") + b"".join(parts)


GZIP = Codec(lambda data: [gzip.decompress(data)], lambda parts: gzip.compress(parts[0]))
ZIP = Codec(_zip_parts, _zip)
PNG = Codec(_png_parts, _png)
NETWORK = Codec(_network_parts, _network)
