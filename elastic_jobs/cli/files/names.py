"""Names of definitions as names of files, in a way that can be read back and means the same on every file system.

Letters, digits, blanks and ``_ - . ( ) + , @`` of ASCII stay; every other character becomes ``%XX`` for each byte of
its UTF-8 form. So do a ``.``, ``-`` or blank at the beginning, a ``.`` or blank at the end, and the first letter of
names that Windows keeps for devices (``CON``, ``COM1``). What would be longer than 80 characters is cut, and gets ``~``
with 12 digits of the name's SHA-256 behind it; the whole name then stands in the file only.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections.abc import Iterable

_KEPT = frozenset(string.ascii_letters + string.digits + " _-.()+,@")
_LONGEST = 80
_DIGITS = 12
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])( *$| *\.)", re.IGNORECASE)
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_CUT = re.compile(rf"(.*)~([0-9a-f]{{{_DIGITS}}})", re.DOTALL)


def file_stem(name: str) -> str:
    """The name of the file, without its extension, for a definition of this name."""
    text = "".join(character if character in _KEPT else _percent(character) for character in name)
    if text[:1] in {".", "-", " "} or _DEVICE.match(text):
        text = _percent(text[0]) + text[1:]
    if text[-1:] in {".", " "}:
        text = text[:-1] + _percent(text[-1])
    return text if len(text) <= _LONGEST else _shortened(name, text)


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """The file name of each of these names. Those that a file system without case would mix up get their digits."""
    names = list(names)
    stems = {name: file_stem(name) for name in names}
    folded: dict[str, int] = {}
    for stem in stems.values():
        folded[stem.lower()] = folded.get(stem.lower(), 0) + 1
    return {
        name: stem if folded[stem.lower()] == 1 or _CUT.fullmatch(stem) else _shortened(name, stem)
        for name, stem in stems.items()
    }


def fits(stem: str, name: str) -> bool:
    """Whether a file may hold the definition of this name."""
    cut = _CUT.fullmatch(stem)
    if cut is not None:
        return cut[2] == _digest(name)
    decoded = name_of(stem)
    return decoded is not None and unicodedata.normalize("NFC", decoded) == unicodedata.normalize("NFC", name)


def name_of(stem: str) -> str | None:
    """The name that a file's name stands for; None when it was cut, or has a ``%`` that is none of these."""
    if _CUT.fullmatch(stem) or "%" in _ENCODED.sub("", stem):
        return None
    raw = b""
    position = 0
    for match in _ENCODED.finditer(stem):
        raw += stem[position : match.start()].encode("utf-8", "surrogateescape") + bytes([int(match[1], 16)])
        position = match.end()
    raw += stem[position:].encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))


def _shortened(name: str, text: str) -> str:
    return f"{text[: _LONGEST - _DIGITS - 1]}~{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8")).hexdigest()[:_DIGITS]
