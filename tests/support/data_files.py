"""Files of rows as bytes, good and bad."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

BITS = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)
GREY = np.array([[0, 128, 255], [7, 0, 1]], np.uint8)
IMAGES = (np.arange(24) * 10).astype(np.uint8).reshape(2, 3, 4)


def npy_bytes(array, **settings) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **settings)
    return buffer.getvalue()


def npz_bytes(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zip_bytes(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def idx_bytes(array, code: int = 8) -> bytes:
    kind = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[code]
    array = np.asarray(array)
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(kind).tobytes()


def header_bytes(text: str, body: bytes = b"", version: int = 1) -> bytes:
    head = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(head)) + head + body


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }"


def object_npy(_: Path) -> bytes:
    return npy_bytes(np.array([["a", 1]], object))


def lying_size(size: int) -> Callable[[Path], bytes]:
    """An archive whose directory declares another size for its one array."""

    def make(_: Path) -> bytes:
        content = bytearray(npz_bytes(x=GREY))
        at = content.rfind(b"PK\x01\x02")
        content[at + 24 : at + 28] = struct.pack("<I", size)
        return bytes(content)

    return make


def spoiled(content: bytes, position: int, value: int) -> bytes:
    changed = bytearray(content)
    changed[position] = value
    return bytes(changed)


GZ = gzip.compress(idx_bytes(GREY))


BAD_FILES = {
    # name: (file name, content or a function of the folder, a piece of the message)
    "empty npy": ("a.npy", b"", "empty"),
    "empty csv": ("a.csv", b"", "empty"),
    "empty gz": ("a.csv.gz", b"", "empty"),
    "gz of nothing": ("a.csv.gz", gzip.compress(b""), "no rows"),
    "empty idx gz": ("a.idx.gz", gzip.compress(b""), "none of"),
    "unknown format": ("a.dat", b"0 1 0 1\n", "none of .npy"),
    "png": ("a.png", b"\x89PNG\r\n\x1a\n", "none of .npy"),
    "npy no magic": ("a.npy", b"0123456789abcdef", "not in .npy format"),
    "npy short": ("a.npy", b"\x93NUMPY", "not in .npy format"),
    "npy future version": ("a.npy", header_bytes(HEADER, bytes(6), 9), "not in .npy format"),
    "npy cut header": ("a.npy", header_bytes(HEADER)[:40], "damaged"),
    "npy long header": ("a.npy", header_bytes(HEADER + " " * 20000, bytes(6)), "header of 20060 bytes"),
    "npy huge header": ("a.npy", header_bytes(HEADER, bytes(6), 2)[:8] + b"\xff" * 30, "header of"),
    "npy cut data": ("a.npy", npy_bytes(GREY)[:-1], "cut short"),
    "npy extra data": ("a.npy", npy_bytes(GREY) + b"\0", "more bytes"),
    "npy lying shape": ("a.npy", header_bytes(HEADER.replace("3", "99999999")), "cut short"),
    "npy beyond limit": ("a.npy", header_bytes(HEADER.replace("(2", "(99999999999")), "at most 17179869184"),
    "npy overflowing shape": ("a.npy", header_bytes(HEADER.replace("(2, 3)", "(4294967296,) * 3")), "damaged"),
    "npy zero times huge": ("a.npy", header_bytes(HEADER.replace("(2, 3)", "(0, 999999999999999)")), "a.npy"),
    "npy negative shape": ("a.npy", header_bytes(HEADER.replace("(2", "(-2"), bytes(6)), "damaged"),
    "npy many axes": ("a.npy", header_bytes(HEADER.replace("(2, 3)", "(1, 1, 1, 2, 3)"), bytes(6)), "4 axes"),
    "npy code in header": ("a.npy", header_bytes(HEADER.replace("(2, 3)", "__import__('os')")), "damaged"),
    "npy nested header": ("a.npy", header_bytes("{'shape': " + "(" * 5000 + ")" * 4000 + "}"), "damaged"),
    "npy endless digits": ("a.npy", header_bytes(HEADER.replace("3", "1" * 4000)), "damaged"),
    "npy extra key": ("a.npy", header_bytes(HEADER.replace("}", "'more': 1}"), bytes(6)), "damaged"),
    "npy double key": ("a.npy", header_bytes(HEADER.replace("}", "'shape': (3, 2)}"), bytes(6)), "damaged"),
    "npy missing key": ("a.npy", header_bytes("{'descr': '|u1', 'shape': (2, 3)}", bytes(6)), "damaged"),
    "npy wrong order word": ("a.npy", header_bytes(HEADER.replace("False", "'yes'"), bytes(6)), "damaged"),
    "npy unknown type": ("a.npy", header_bytes(HEADER.replace("u1", "q7"), bytes(6)), "plain numbers"),
    "npy structured": ("a.npy", npy_bytes(np.zeros(3, [("a", "f4"), ("b", "i4")])), "plain numbers"),
    "npy text": ("a.npy", npy_bytes(np.array([["a", "b"]])), "plain numbers"),
    "npy dates": ("a.npy", npy_bytes(np.zeros((2, 2), "datetime64[s]")), "plain numbers"),
    "npy complex": ("a.npy", npy_bytes(np.zeros((2, 2), complex)), "plain numbers"),
    "npy objects": ("a.npy", object_npy, "never read"),
    "npy scalar": ("a.npy", npy_bytes(np.uint8(3)), "shape ()"),
    "npy one axis": ("a.npy", npy_bytes(GREY[0]), "shape (3,)"),
    "npy no rows": ("a.npy", npy_bytes(GREY[:0]), "empty"),
    "npy no columns": ("a.npy", npy_bytes(GREY[:, :0]), "empty"),
    "npy nan": ("a.npy", npy_bytes(np.array([[0, 0.5], [0, np.nan]])), "row 2, column 2 is nan"),
    "npy inf": ("a.npy", npy_bytes(np.array([[0, 0.5], [np.inf, 0]], np.float32)), "row 2, column 1 is inf"),
    "npy negative": ("a.npy", npy_bytes(np.array([[0, 1], [1, -1]])), "row 2, column 2 is -1"),
    "npy too large": ("a.npy", npy_bytes(np.array([[0, 256]])), "row 1, column 2 is 256"),
    "npy huge": ("a.npy", npy_bytes(np.array([[0, 2**64 - 1]], np.uint64)), "row 1, column 2 is 1.84467e+19"),
    "npy huge float": ("a.npy", npy_bytes(np.array([[0, 1e300]])), "row 1, column 2 is 1e+300"),
    "npy float grey": ("a.npy", npy_bytes(GREY.astype(np.float32)), "row 1, column 2 is 128"),
    "npy false bool": ("a.npy", header_bytes(HEADER.replace("u1", "b1"), b"\0\1\1\0\2\0"), "row 2, column 2 is 2"),
    "npy image row": ("a.npy", npy_bytes(np.where(np.arange(24) == 17, 300, 5).reshape(2, 3, 4)), "row 2, column 6"),
    "npz not zip": ("a.npz", b"PK\3\4 but no more", "cannot be read"),
    "npz cut": ("a.npz", npz_bytes(x=GREY)[:-30], "cannot be read"),
    "npz without arrays": ("a.npz", zip_bytes({"readme.txt": b"hello"}), "0 arrays"),
    "npz bad member": ("a.npz", zip_bytes({"x.npy": b"hello, this is no array"}), "not in .npy format"),
    "npz extra data": ("a.npz", zip_bytes({"x.npy": npy_bytes(GREY) + b"more"}), "more bytes"),
    "npz cut member": ("a.npz", zip_bytes({"x.npy": npy_bytes(GREY)[:-2]}), "cut short"),
    "npz lying member": ("a.npz", zip_bytes({"x.npy": header_bytes(HEADER.replace("3", "9999"))}), "cut short"),
    "npz declares more": ("a.npz", lying_size(2**31), "declares 2147483648 bytes"),
    "npz declares a little more": ("a.npz", lying_size(1000), "declares 1000 bytes; its header asks for 134"),
    "npz declares less": ("a.npz", lying_size(100), "a.npz"),
    "npz bad crc": ("a.npz", spoiled(npz_bytes(x=GREY), npz_bytes(x=GREY).rfind(b"PK\1\2") + 16, 1), "CRC"),
    "npz encrypted": ("a.npz", spoiled(npz_bytes(x=GREY), npz_bytes(x=GREY).rfind(b"PK\1\2") + 8, 1), "encrypted"),
    "npz bzip2": ("a.npz", zip_bytes({"x.npy": npy_bytes(GREY)}, zipfile.ZIP_BZIP2), "unknown compression"),
    "npz lzma": ("a.npz", zip_bytes({"x.npy": npy_bytes(GREY)}, zipfile.ZIP_LZMA), "unknown compression"),
    "npz two tables": ("a.npz", npz_bytes(pictures=GREY, words=BITS), "'pictures', 'words'"),
    "npz no such split": ("a.npz", npz_bytes(x_test=GREY, x_valid=BITS), "its splits are valid, test"),
    "npz objects": ("a.npz", lambda folder: zip_bytes({"x.npy": object_npy(folder)}), "never read"),
    "npz labels too few": ("a.npz", npz_bytes(x=GREY, y=np.arange(3)), "3 labels; expected 2"),
    "npz wrong shape": ("a.npz", npz_bytes(x=GREY, shape=np.array([5, 5])), "3 columns; expected 25, or 4 packed"),
    "npz wrong n_vars": ("a.npz", npz_bytes(x=GREY, n_vars=np.int32(-3)), "positive whole number"),
    "npz long shape": ("a.npz", npz_bytes(x=GREY, shape=np.array([1, 1, 3])), "2 positive whole number"),
    "npz float shape": ("a.npz", npz_bytes(x=GREY, shape=np.array([1.0, 3.0])), "2 positive whole number"),
    "npz nan": ("a.npz", npz_bytes(x=GREY / np.nan), "array 'x', row 1, column 1 is nan"),
    "csv ragged": ("a.csv", b"0,1\n1,0\n1,0,1\n", "row 3 (line 3) has 3 columns; expected 2"),
    "csv ragged after header": ("a.csv", b"a,b\n0,1\n1\n", "row 2 (line 3) has 1 columns; expected 2"),
    "csv ragged late": ("a.csv", b"0,1\n" * 1500 + b"1\n", "row 1501 (line 1501)"),
    "csv words": ("a.csv", b"0,1\n1,no\n", "row 2 (line 2), column 2 is 'no'; expected a number"),
    "csv words late": ("a.csv", b"h,k\n" + b"0,1\n" * 1500 + b"1,?\n", "row 1501 (line 1502), column 'k' (2) is '?'"),
    "csv half a header": ("a.csv", b"0,no\n1,0\n", "row 1 (line 1), column 2 is 'no'"),
    "csv gap": ("a.csv", b"0,1\n1,\n", "row 2 (line 2), column 2 is ''"),
    "csv blank line": ("a.csv", b"0,1\n\n1,0\n", "line 2 is empty"),
    "csv only header": ("a.csv", b"a,b,c\n", "no rows of numbers"),
    "csv bars": ("a.csv", b"0|1\n1|0\n", "row 1 (line 2), column '0|1' (1) is '1|0'"),
    "csv underscore": ("a.csv", b"0,1\n1_0,0\n", "column 1 is '1_0'; expected a number"),
    "csv nan": ("a.csv", b"0,1\nnan,0\n", "row 2 (line 2), column 1 is 'nan', a missing value"),
    "csv inf": ("a.csv", b"0,1\n1,1e999\n", "row 2, column 2 is inf"),
    "csv too large": ("a.csv", b"0,1\n1,256\n", "row 2, column 2 is 256"),
    "csv mixed": ("a.csv", b"0,0.5\n1,200\n", "row 2, column 2 is 200"),
    "csv negative": ("a.csv", b"0,-1\n1,1\n", "row 1, column 2 is -1"),
    "csv endless line": ("a.csv", b"0," * 2**21 + b"0\n", "line 1 passes 4194304 bytes"),
    "csv binary": ("a.csv", b"0,1\n\xff\xfe,0\n", "line 2 is not text"),
    "csv nul": ("a.csv", b"0,1\n\0,0\n", "row 2"),
    "csv no gz": ("a.csv.gz", b"0,1\n1,0\n", "cannot be read"),
    "csv cut gz": ("a.csv.gz", gzip.compress(b"0,1\n" * 900)[:-9], "cannot be read"),
    "idx one axis": ("a.idx", idx_bytes(GREY[0]), "shape (3,)"),
    "idx no axes": ("a.idx", b"\0\0\x08\0", "0 axes"),
    "idx many axes": ("a.idx", b"\0\0\x08\x09" + bytes(40), "9 axes"),
    "idx cut header": ("a.idx", idx_bytes(GREY)[:9], "damaged idx header"),
    "idx cut": ("a.idx", idx_bytes(GREY)[:-1], "cut short"),
    "idx extra": ("a.idx", idx_bytes(GREY) + b"\0", "more bytes"),
    "idx unknown type": ("a.idx", spoiled(idx_bytes(GREY), 2, 7), "none of .npy"),
    "idx lying": ("a.idx", spoiled(idx_bytes(GREY), 4, 255), "declares 12834570246 bytes"),
    "idx beyond limit": ("a.idx", b"\0\0\x08\2" + b"\xff" * 8, "at most 17179869184"),
    "idx nan": ("a.idx", idx_bytes([[0.5, np.nan]], 13), "row 1, column 2 is nan"),
    "idx cut gz": ("a.idx.gz", GZ[:-9], "cannot be read"),
    "idx gz bad crc": ("a.idx.gz", spoiled(GZ, len(GZ) - 8, GZ[-8] ^ 1), "CRC"),
    "idx gz with rubbish": ("a.idx.gz", GZ + b"rubbish", "cannot be read"),
    "idx gz lying": ("a.idx.gz", gzip.compress(spoiled(idx_bytes(GREY), 4, 1)), "cut short"),
}
