"""Catches a CUDA source that does not compile for real devices, by NVRTC from its package, else by nvcc."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest

from boltz import kernels
from boltz.kernels.cuda import launch

ARCHITECTURES = ["sm_80", "sm_90"]
SOURCES = sorted({name for name, _ in launch.ENTRIES.values()})
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")  # CuPy adds these on its own


@cache
def _nvrtc() -> ctypes.CDLL | None:
    spec = find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    found = [path for folder in folders or [] for path in Path(folder).glob("*/lib/libnvrtc.so.*")]
    found = [path for path in found if re.fullmatch(r"libnvrtc\.so\.\d+", path.name)]
    return ctypes.CDLL(str(sorted(found)[-1])) if found else None


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    assert library[f"nvrtcGet{what}Size"](program, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert library[f"nvrtcGet{what}"](program, buffer) == 0
    return buffer.raw


def compile_with_nvrtc(library: ctypes.CDLL, code: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """Binary (empty on failure) and what the compiler said."""
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None) == 0
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = library.nvrtcCompileProgram(program, len(options), given)
    log = _text(library, program, "ProgramLog").rstrip(b"\0").decode().strip()
    binary = b"" if failed else _text(library, program, "CUBIN")
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return binary, log


def compile_with_nvcc(code: str, options: tuple[str, ...], folder: Path) -> tuple[bytes, str]:
    """Binary (empty on failure) and what the compiler said."""
    (folder / "kernels.cu").write_text(code)
    output = folder / "kernels.cubin"
    command = ["nvcc", "-cubin", *options, "-o", str(output), str(folder / "kernels.cu")]
    done = subprocess.run(command, capture_output=True, text=True)
    return (output.read_bytes() if done.returncode == 0 else b""), (done.stdout + done.stderr).strip()


def compiled(code: str, options: tuple[str, ...], folder: Path) -> tuple[bytes, str]:
    library = _nvrtc()
    if library is not None:
        return compile_with_nvrtc(library, code, (*options, *CUPY_OPTIONS))
    if shutil.which("nvcc"):
        return compile_with_nvcc(code, options, folder)
    pytest.skip("neither NVRTC (pip package nvidia-cuda-nvrtc) nor nvcc is installed: CUDA sources are not compiled")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("name", SOURCES)
def test_source_compiles_without_a_word(name: str, real: str, architecture: str, tmp_path: Path) -> None:
    """Catches syntax that only g++ takes, a missing header, a warning, an entry that the launchers would not find."""
    binary, log = compiled(launch.source(name), (*launch.options(real), f"-arch={architecture}"), tmp_path)
    assert log == ""
    for entry, (source, _) in launch.ENTRIES.items():
        assert (source == name) == (f"boltz_{entry}_{launch.SUFFIX[real]}".encode() in binary), entry


@pytest.mark.parametrize("planted", ["word unused_one() { word left; return 1; }", "word broken( {"])
def test_compiler_would_complain(planted: str, tmp_path: Path) -> None:
    """A warning and an error planted in a source are seen, so silence above means something."""
    options = (*launch.options("float"), "-arch=sm_80")
    _, log = compiled(launch.source("update.cu") + planted, options, tmp_path)
    assert log != ""


def test_every_primitive_has_an_entry_and_a_launcher() -> None:
    left_to_a_blas, left_to_cupy = (
        {"product", "contraction"},
        {*launch.__all__, "categorical_from_mean", "categorical_sample"},
    )
    assert set(kernels.PRIMITIVES) - left_to_a_blas - left_to_cupy <= set(launch.ENTRIES)
    assert all(callable(getattr(launch, name)) for name in kernels.PRIMITIVES)


def test_every_source_is_compiled_above() -> None:
    """Catches a source file that no entry names, which nothing here would look at."""
    assert {path.name for path in files("boltz.kernels.cuda").iterdir() if path.name.endswith(".cu")} == set(SOURCES)


def test_nothing_depends_on_the_order_of_atomics() -> None:
    """Only an integer flag is set atomically: sums in floating point would change from run to run."""
    folder = files("boltz.kernels.cuda")
    texts = [folder.joinpath(name).read_text() for name in [*SOURCES, "philox.cuh"]]
    assert set(re.findall(r"\batomic\w*", "\n".join(texts))) == {"atomicOr"}
    assert not re.search(r"__(exp|log|fdivid|expf|logf)\w*\(|#include <", "\n".join(texts))
