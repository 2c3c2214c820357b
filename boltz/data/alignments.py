"""Alignments of sequences: FASTA and A3M text as codes of letters, and the alphabets that say which letter is which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boltz.checks import brief
from boltz.data.dataset import Table
from boltz.errors import FileError, InputError

PROTEIN = "ACDEFGHIKLMNPQRSTVWY-"  # the 20 amino acids and the gap
UNKNOWN = b"XBZJUO*"  # letters of amino acids that are not among them, which count as the gap
AMBIGUOUS = b"NRYSWKMBDHVX"  # codes of nucleic acids for one of several bases, which count as gaps
NUCLEIC = frozenset("ACGTUN-")
ENDINGS = (".fasta", ".fa", ".afa", ".a3m")
LONGEST_LINE = 2**22
MOST_SITES = 2**20
SHOWN = 20
NO_LETTER, LEFT_OUT, ODD = 255, 254, 253  # in the table of codes: refused, dropped, counted as the gap


def is_alignment(path: Path) -> bool:
    """Whether the name of a file says that it is an alignment."""
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def checked_alphabet(letters: Any, name: str = "alphabet") -> str:
    """An alphabet as text, one letter for each state in the order of codes; name is what errors call it.

    Raises InputError.
    """
    if not isinstance(letters, str):
        raise InputError(f"{name} must be text, one letter for each state such as {PROTEIN}, got {brief(letters)}.")
    problem = fault(letters)
    if problem:
        raise InputError(f"{name} must hold 2 or more different letters without blanks or '>', got {problem}.")
    return letters


def fault(letters: str) -> str | None:
    """What is wrong with an alphabet, None for a good one."""
    odd = [letter for letter in letters if not "!" <= letter <= "~" or letter == ">"]
    twice = [letter for letter in letters if letters.count(letter) > 1] if len(letters) < 200 else letters
    if odd or twice:
        return f"{odd[0]!r}" if odd else f"{twice[0]!r} twice"
    return None if len(letters) >= 2 else f"{letters!r}"


def states(alphabet: str) -> str:
    """The kind of units with a state for each letter."""
    return f"categorical:{len(alphabet)}"


def sequences_of(codes: Any, alphabet: str) -> list[str]:
    """Codes (sequences, sites) as text, one letter a site."""
    letters = np.frombuffer(alphabet.encode("ascii"), np.uint8)
    return [bytes(row).decode("ascii") for row in letters[np.asarray(codes)]]


def read_alignment(stream: IO[bytes], place: str, limit: int, alphabet: str | None = None) -> Table:
    """The sequences of FASTA or A3M text as codes (sequences, sites) of an alphabet, by default that of proteins.

    '.' counts as the gap '-', and lower-case letters as upper-case ones where the alphabet has none. In A3M both mark
    insertions and are left out. In proteins the letters XBZJUO* count as the gap; any other letter that the alphabet
    lacks is refused. Raises FileError.
    """
    name = place.lower().removesuffix(".gz")
    reader = _Reader(alphabet or PROTEIN, name.endswith(".a3m"), place)
    rows: list[NDArray[np.uint8]] = []
    for sequence in _sequences(stream, place, limit):
        rows.append(reader.codes(sequence, len(rows[0]) if rows else None))
        if len(rows) * len(rows[0]) > limit:
            raise FileError(f"{place} holds more than {limit} letters.")
    if not rows:
        raise FileError(f"{place} holds no sequences; expected lines that begin with '>', each before a sequence.")
    codes = np.stack(rows)
    if alphabet is None:
        _refuse_nucleic(codes, reader, place)
    return Table(codes, alphabet=reader.alphabet, sequences=True, notes=(reader.note(codes.shape, alphabet is None),))


@dataclass
class _Sequence:
    """A sequence as it is read: the line of its name, its name, and its lines with their numbers."""

    line: int
    name: str
    parts: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0


def _sequences(stream: IO[bytes], place: str, limit: int) -> Iterator[_Sequence]:
    """The sequences of a text one by one; raises FileError."""
    found, count, size = None, 0, 0
    while raw := stream.readline(LONGEST_LINE):
        count, size = count + 1, size + len(raw)
        if len(raw) == LONGEST_LINE or size > limit:
            raise FileError(f"{place}, line {count} passes {LONGEST_LINE} bytes, or the text {limit} bytes.")
        line = raw.removeprefix(b"\xef\xbb\xbf").strip() if count == 1 else raw.strip()
        if line.startswith(b">"):
            if found is not None:
                yield found
            found = _Sequence(count, line[1:].split(None, 1)[0].decode("ascii", "replace") if line[1:].split() else "")
        elif found is not None and line:
            found.parts.append((count, line))
            found.size += len(line)
            if found.size > MOST_SITES:
                raise FileError(f"{place}, line {count}: a sequence has more than {MOST_SITES} letters.")
        elif line and not line.startswith(b"#"):
            shown = line[:SHOWN].decode("ascii", "replace")
            raise FileError(f"{place}, line {count} is {shown!r}; expected a name after '>' before the first sequence.")
    if found is not None:
        yield found


class _Reader:
    """Codes of letters by an alphabet, and what was met on the way."""

    def __init__(self, alphabet: str, insertions: bool, place: str) -> None:
        lower = any(letter.islower() for letter in alphabet)
        if insertions and lower:
            raise FileError(f"{place} marks insertions by lower-case letters, so that its alphabet must have none.")
        self.alphabet, self.insertions, self.place, self.odd, self.lower = alphabet, insertions, place, 0, 0
        self.table = np.full(256, NO_LETTER, np.uint8)
        if alphabet == PROTEIN:
            self.table[list(UNKNOWN)] = ODD
        elif "-" in alphabet and set(alphabet) <= NUCLEIC:
            self.table[list(AMBIGUOUS)] = ODD
        self.table[list(alphabet.encode())] = np.arange(len(alphabet))
        small = np.arange(ord("a"), ord("z") + 1)
        self.small = np.zeros(256, bool)
        if insertions:
            self.table[[*small, ord(".")]] = LEFT_OUT
        else:
            if "." not in alphabet and "-" in alphabet:
                self.table[ord(".")] = alphabet.index("-")
            if not lower:
                self.table[small], self.small[small] = self.table[small - 32], True

    def codes(self, sequence: _Sequence, sites: int | None) -> NDArray[np.uint8]:
        """The codes (sites,) of a sequence; raises FileError where it is no row of the alignment."""
        letters = np.frombuffer(b"".join(part for _, part in sequence.parts), np.uint8)
        found = self.table[letters]
        if (found == NO_LETTER).any():
            raise self._refusal(sequence)
        self.lower += int(self.small[letters].sum())
        found = found[found != LEFT_OUT]
        odd = found == ODD
        if odd.any():
            self.odd += int(odd.sum())
            found[odd] = self.alphabet.index("-")
        called = f"{self.place}, line {sequence.line}: sequence {sequence.name!r:.40}"
        if len(found) == 0:
            raise FileError(f"{called} has no letters.")
        if sites is not None and len(found) != sites:
            raise FileError(
                f"{called} has {len(found)} letters; expected {sites}, as in the first: align the sequences."
            )
        return found

    def _refusal(self, sequence: _Sequence) -> FileError:
        """The error for the first letter that the alphabet lacks."""
        wrong = ((line, np.flatnonzero(self._lacks(part)), part) for line, part in sequence.parts)
        line, places, part = next(each for each in wrong if len(each[1]))
        return FileError(
            f"{self.place}, line {line}, letter {places[0] + 1} is {chr(part[places[0]])!r}; expected letters of "
            f"{self.alphabet}: name others with alphabet= (--alphabet)."
        )

    def _lacks(self, part: bytes) -> NDArray[np.bool_]:
        """Which letters of a line the alphabet lacks."""
        return self.table[np.frombuffer(part, np.uint8)] == NO_LETTER

    def note(self, shape: tuple[int, ...], silent: bool) -> str:
        """What is to be said of how the alignment was read; silent: nobody named the alphabet."""
        rows, sites = shape
        told = [f"{rows:,} aligned sequences of {sites:,} sites, taken as {states(self.alphabet)} units"]
        told[0] += f" ({self.alphabet})" if silent else ""
        if self.odd:
            share = self.odd / (rows * sites)
            told.append(f"{self.odd:,} letters ({share:.2g} of all) are none of these and count as gaps")
        if self.lower:
            told.append(f"{self.lower:,} lower-case letters count as upper-case ones")
        return f"{self.place}: {'; '.join(told)}."


def _refuse_nucleic(codes: NDArray[np.uint8], reader: _Reader, place: str) -> None:
    """Raise FileError where sequences that were read as proteins hold letters of nucleic acids alone."""
    used = {reader.alphabet[code] for code in np.unique(codes)}
    if used <= NUCLEIC:
        found = "".join(sorted(used - {"-"}))
        found += " (others count as gaps)" if reader.odd else ""
        raise FileError(
            f"{place} holds the letters {found or '-'} alone, which may be of nucleic acids: name the alphabet "
            f"(--alphabet), such as ACGT-, ACGU- or {PROTEIN} for proteins."
        )
