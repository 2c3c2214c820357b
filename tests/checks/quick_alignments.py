"""Files of spins, codes and aligned sequences: what they become, and what figures of them are called."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import boltz
from boltz.data.alignments import PROTEIN, sequences_of
from boltz.data.masks import known_part
from boltz.errors import FileError, InputError
from boltz.evaluation import reading
from boltz.evaluation.completed import difference
from boltz.evaluation.per_unit import per_unit, unit_of
from boltz.rng import Key
from boltz.units.onehot import codes_of


def loaded(name: str, content: bytes | str | dict[str, Any], **options: Any) -> boltz.Data:
    """What boltz.load_data makes of a file with this content: text, bytes, or arrays of an .npz file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if isinstance(content, dict):
            np.savez(path, **content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return boltz.load_data(path, **options)


def refusal(name: str, content: bytes | str | dict[str, Any], **options: Any) -> str:
    """The sentence by which a file is refused."""
    try:
        found = loaded(name, content, **options)
    except (FileError, InputError) as problem:
        return str(problem)
    raise AssertionError(f"{name} is taken as {found!r}")


def codes(data: boltz.Data) -> list[list[int]]:
    """The codes of the rows of categorical data."""
    assert data.levels == 1 and data.x.dtype == np.uint8
    found: list[list[int]] = codes_of(data.x, data.states).tolist()
    return found


def check_letters_become_codes() -> None:
    """Codes follow the order of the alphabet; lines of a sequence belong together; unknown amino acids are gaps."""
    data = loaded("a.fasta", ">one\nACY\n-W\n>two words\n\nWVXd*\n")
    assert data.kind == "categorical:21" and data.alphabet == PROTEIN
    assert codes(data) == [[0, 1, 19, 20, 18], [18, 17, 20, 2, 20]]
    assert "2 letters (0.2 of all) are none of these and count as gaps" in data.notes[0]
    assert "1 lower-case letters count" in data.notes[0]
    again = loaded("a.fasta", ">one\nACY\n-W\n>two\nWVXD*\n", units=data.request["units"], alphabet=data.alphabet)
    assert codes(again) == codes(data), "a run that goes on reads the same"
    assert codes(loaded("a.fa", ">a\nUG.A\n>b\nAC-a\n", alphabet="ACGU-")) == [[3, 2, 4, 0], [0, 1, 4, 0]]
    assert codes(loaded("a.fa", ">a\nabA\n>b\nbba\n", alphabet="abA")) == [[0, 1, 2], [1, 1, 0]]


def check_insertions_are_left_out() -> None:
    """Lower-case letters and dots of A3M are insertions, which have no column."""
    data = loaded("a.a3m", "#comment\n>one\nAwC..D\n>two\nYggWG\n")
    assert codes(data) == [[0, 1, 2], [19, 18, 5]]


def check_sequences_come_back() -> None:
    """Letters of codes are those that the codes were read from."""
    rows = ["ACDEFGHIKLMNPQRSTVWY-", "-YWVTSRQPNMLKIHGFEDCA"]
    data = loaded("a.fasta", "".join(f">s\n{row}\n" for row in rows))
    assert sequences_of(codes(data), PROTEIN) == rows


def check_lengths_and_letters() -> None:
    """Sequences of other lengths, letters that the alphabet lacks and nucleic acids are refused by file and line."""
    assert "a.fasta, line 3: sequence 'b' has 2 letters; expected 3" in refusal("a.fasta", ">a\nACD\n>b\nAC\n")
    assert "line 4, letter 2 is '7'; expected letters of " + PROTEIN in refusal("a.fasta", ">a\nACD\n>b\nA7D\n")
    assert "line 2, letter 3 is 'E'; expected letters of ACGT-" in refusal("a.fa", ">a\nACE\n", alphabet="ACGT-")
    found = loaded("a.fa", ">a\nACNT-\n>b\nACRTG\n", alphabet="ACGT-")
    assert codes(found) == [[0, 1, 4, 3, 4], [0, 1, 4, 3, 2]] and "2 letters (0.2 of all)" in found.notes[0], (
        found.notes
    )
    assert "may be of nucleic acids: name the alphabet" in refusal("a.fa", ">a\nACGU\n>b\nAC-N\n")


def check_spins_tell_themselves() -> None:
    """-1 and 1 alone are spins, which a note says; -1, 0 and 1 are not."""
    data = loaded("a.csv", "1,-1\n-1,-1\n")
    assert (data.kind, data.levels, data.x.tolist()) == ("spin", None, [[1, -1], [-1, -1]])
    assert data.notes[-1].endswith("a.csv is taken as -1/+1 spins.") and data.request["units"] == "spin"
    assert loaded("a.csv", "1,1\n1,0\n").kind == "bernoulli"
    assert "units='gaussian'" in refusal("a.csv", "1,-1\n0,-1\n")
    assert "row 2, column 1 is 0; expected -1 and 1" in refusal("a.csv", "1,-1\n0,-1\n", units="spin")
    assert "row 1, column 2 is -1; expected whole" in refusal("a.csv", "1,-1\n-1,1\n", units="bernoulli")
    holes = loaded("a.csv", "1,\n-1,1\n", units="spin", missing=True)
    assert holes.known is not None and holes.known.tolist() == [[True, False], [True, True]]
    assert set(np.unique(holes.x)) == {-1, 1}


def check_codes_and_columns() -> None:
    """Codes become one-hot columns, of as many states as are said or as the greatest code shows."""
    text = "0,2\n1,0\n2,1\n"
    data = loaded("a.csv", text, units="categorical")
    assert data.kind == data.request["units"] == "categorical:3" and "from 0 to 2" in data.notes[-1]
    assert data.x.tolist() == [[1, 0, 0, 0, 0, 1], [0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0]]
    assert loaded("a.csv", text, units="categorical:5").x.shape == (3, 10)
    assert "row 1, column 2 is 2; expected whole numbers from 0 to 1" in refusal("a.csv", text, units="categorical:2")
    assert "units='categorical'" in refusal("a.csv", text)
    assert "holds one-hot columns" in refusal("a.csv", "0,0,1\n1,0,0\n", units="categorical:3")
    holes = loaded("a.csv", "0,\n1,1\n", units="categorical:2", missing=True)
    assert holes.known is not None and holes.known.tolist() == [[True, True, False, False], [True] * 4]


def check_alphabet_beside_codes() -> None:
    """Whole numbers beside letters in an .npz file are codes of these; floats, and longer words, say nothing."""
    x, letters = np.array([[0, 3], [1, 2]], np.uint8), np.array(list("ACGT-"))
    data = loaded("a.npz", {"x": x, "alphabet": letters})
    assert (data.kind, data.alphabet, codes(data)) == ("categorical:5", "ACGT-", x.tolist())
    assert codes(loaded("a.npz", {"x": x, "alphabet": np.array([b"A", b"C", b"G", b"T"])})) == x.tolist()
    assert loaded("a.npz", {"x": x % 2, "alphabet": np.array(["off", "on"])}).kind == "bernoulli"
    assert loaded("a.npz", {"x": x / 3, "alphabet": letters}).kind == "bernoulli"
    assert "is 3; expected whole numbers from 0 to 2" in refusal("a.npz", {"x": x, "alphabet": letters[:3]})
    assert "it has 'A' twice" in refusal("a.npz", {"x": x, "alphabet": np.array(list("ACAT"))})


def check_runs_read_alike() -> None:
    """Commands read other files as states of the units of a machine, by the alphabet of its run and no other."""
    assert reading.units_for([boltz.rbm(3, 2, units="spin")]) == {"units": "spin"}
    assert reading.units_for([boltz.rbm(3, 2)]) == {}
    assert reading.alphabet_for("AC-", None) == reading.alphabet_for(None, "AC-") == {"alphabet": "AC-"}
    assert reading.alphabet_for(None, None) == {}
    try:
        reading.alphabet_for("AC-", "CA-")
    except InputError as problem:
        assert "but the run has AC-" in str(problem)
    else:
        raise AssertionError("letters are read in another order than in training")


def check_figures_of_kinds() -> None:
    """Nats a site divide by sites, not columns; a density is called one."""
    layer = boltz.rbm(4, 2, units="categorical:3").layers[0]
    assert per_unit(layer, -8.0) == {"unit": "nats a row", "nats_a_site": -2.0}
    assert per_unit(boltz.rbm(4, 2, units="spin").layers[0], -8.0) == {"unit": "nats a row"}
    assert "density" in unit_of(boltz.rbm(4, 2, units="gaussian").layers[0])


def check_masks_of_units() -> None:
    """What is known of a categorical unit is known of all its columns, and what is recovered are states."""
    data = loaded("a.csv", "0,2,1,1,0,2\n1,0,2,2,0,1\n" * 20, units="categorical:3")
    known = known_part("random:0.5", data, None, Key.from_seed(0)).reshape(40, 6, 3)
    assert (known.all(axis=2) == known.any(axis=2)).all() and 0.2 < known.mean() < 0.8  # 240 fair coins
    completed = data.x.astype(np.float64)
    completed[:, -3:] = [0.2, 0.5, 0.3]
    known = np.repeat([[True] * 4 + [False] * 2], 3, axis=1)
    assert difference({"data": data.x, "known": known, "completed": completed}, True, 3) == {"recovered": 0.75}
