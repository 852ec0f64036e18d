"""Hostile and broken files, each with what must be said of it. Whatever they would run makes the canary file."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.models.reading import opcodes as op
from torch import nn


@dataclass(frozen=True)
class Case:
    """One file and what is expected of it."""

    name: str
    """Of the file, with its suffix."""
    words: str | None
    """What the refusal must say; ``None`` for a file that is read, harmlessly."""
    write: Callable[[Path, Path], object]
    """Given where to write it, and the canary."""


def torch_zip(
    path: Path,
    content: bytes,
    storages: dict[str, bytes] | None = None,
    others: dict[str, bytes] | None = None,
    root: str = "archive",
) -> None:
    """A file as ``torch.save`` lays it out, with a pickle of one's own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", content)
        archive.writestr(f"{root}/byteorder", b"little")
        for key, numbers in (storages or {}).items():
            archive.writestr(f"{root}/data/{key}", numbers)
        archive.writestr(f"{root}/version", b"3\n")
        for name, other in (others or {}).items():
            archive.writestr(name, other)


def tensor(
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    *,
    offset: int = 0,
    count: int = 4,
    kind: str = "FloatStorage",
    key: str = "0",
    after: bytes = b"",
) -> bytes:
    """Opcodes of one tensor; ``after`` are further arguments of its call."""
    place = op.tuple_(op.text("storage"), op.named("torch", kind), op.text(key), op.text("cpu"), op.number(count))
    hooks = op.call("collections", "OrderedDict")
    shape, steps = op.tuple_(*map(op.number, size)), op.tuple_(*map(op.number, stride))
    parts = [place + b"Q", op.number(offset), shape, steps, b"\x89", hooks]
    return op.named("torch._utils", "_rebuild_tensor_v2") + op.tuple_(*parts, after) + b"R"


def state(value: bytes, **more: bytes) -> bytes:
    """The pickle of ``{"w": value, …}``."""
    return op.whole(op.dict_({"w": value, **more}))


GOOD = struct.pack("<4f", 1, 2, 3, 4)


def _calls() -> Iterator[Case]:
    """Calls that would run something, in an archive of torch."""
    shell = "touch {canary}"
    python = "open({canary!r}, 'w').close()"
    gadgets: list[tuple[str, str, str, list[str]]] = [
        ("system", "os", "system", [shell]),
        ("posix", "posix", "system", [shell]),
        ("nt", "nt", "system", [shell]),
        ("popen", "os", "popen", [shell]),
        ("subprocess", "subprocess", "getoutput", [shell]),
        ("check_output", "subprocess", "check_output", [shell]),
        ("eval", "builtins", "eval", [python]),
        ("eval2", "__builtin__", "eval", [python]),
        ("exec", "builtins", "exec", [python]),
        ("compile", "builtins", "compile", [python, "x", "exec"]),
        ("import", "builtins", "__import__", ["antigravity"]),
        ("importlib", "importlib", "import_module", ["antigravity"]),
        ("open", "builtins", "open", ["{canary}", "w"]),
        ("io", "io", "open", ["{canary}", "w"]),
        ("getattr", "builtins", "getattr", ["os", "system"]),
        ("attrgetter", "operator", "attrgetter", ["system"]),
        ("methodcaller", "operator", "methodcaller", ["system", shell]),
        ("partial", "functools", "partial", [shell]),
        ("runpy", "runpy", "run_path", ["{canary}"]),
        ("run_string", "timeit", "timeit", [python]),
        ("profile", "cProfile", "run", [python]),
        ("pdb", "pdb", "run", [python]),
        ("interact", "code", "InteractiveInterpreter", [python]),
        ("webbrowser", "webbrowser", "open", ["file://{canary}"]),
        ("shutil", "shutil", "copyfile", ["/etc/hostname", "{canary}"]),
        ("pathlib", "pathlib", "Path", ["{canary}"]),
        ("torch_load", "torch", "load", ["{canary}"]),
        ("jit_load", "torch.jit", "load", ["{canary}"]),
        ("hub_load", "torch.hub", "load", ["{canary}"]),
        ("extension", "torch.utils.cpp_extension", "load_inline", ["x", "{canary}"]),
        ("from_bytes", "torch.storage", "_load_from_bytes", ["x"]),
        ("from_file", "torch.storage", "UntypedStorage.from_file", ["{canary}"]),
        ("dotted", "torch", "serialization.os.system", [shell]),
        ("dotted_deeper", "torch._utils", "torch.serialization.os.system", [shell]),
        ("reconstructor", "copyreg", "_reconstructor", ["x"]),
        ("add_extension", "copyreg", "add_extension", ["os", "system"]),
        ("numpy", "numpy.core.multiarray", "_reconstruct", ["x"]),
        ("numpy_scalar", "numpy.core.multiarray", "scalar", ["x"]),
        ("module_of_theirs", "training.utils", "Config", ["x"]),
        ("lambda", "dill._dill", "_create_function", ["x"]),
        ("cloudpickle", "cloudpickle.cloudpickle", "_builtin_type", ["x"]),
        ("joblib", "joblib.numpy_pickle", "NumpyArrayWrapper", ["x"]),
        ("yaml", "yaml", "unsafe_load", ["!!python/object/apply:os.system [x]"]),
        ("socket", "socket", "create_connection", ["x"]),
        ("exit", "sys", "exit", ["x"]),
    ]
    for name, module, function, arguments in gadgets:

        def write(
            path: Path, canary: Path, module: str = module, function: str = function, arguments: list[str] = arguments
        ) -> None:
            texts = [op.text(argument.format(canary=str(canary))) for argument in arguments]
            torch_zip(path, state(op.call(module, function, *texts)))

        yield Case(f"call_{name}.pt", f"{module}.{function}", write)


class _Runs:
    """Runs a shell when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return __import__("os").system, (f"touch {self.canary}",)


def _pickles() -> Iterator[Case]:
    """The tricks of pickles themselves."""
    for protocol in range(6):

        def plain(path: Path, canary: Path, protocol: int = protocol) -> None:
            path.write_bytes(pickle.dumps({"w": _Runs(canary)}, protocol))

        def inside(path: Path, canary: Path, protocol: int = protocol) -> None:
            torch_zip(path, pickle.dumps({"w": _Runs(canary)}, protocol))

        yield Case(f"pickle_{protocol}.pkl", "posix.system" if protocol else "plain pickle", plain)
        yield Case(f"pickle_{protocol}.pt", "posix.system", inside)

    shell = op.text("touch x")
    system = op.named("os", "system")
    nested = op.whole(op.call("os", "system", shell))
    alike = [op.long(n * ((1 << 61) - 1)) for n in range(1, 1000)]  # to Python's hash they are all 0
    rows = [op.tuple_(n, b"N") for n in alike]
    huge = b"\x8b" + struct.pack("<i", 10_001) + (1 << 80_000).to_bytes(10_001, "little")
    tricks: dict[str, tuple[str, bytes]] = {
        "named_only": ("os.system", op.whole(system + b"0}")),
        "stack_global": ("os.system", op.whole(op.short("os") + op.short("system") + b"\x93" + b"0}")),
        "stack_global_memo": (
            "os.system",
            op.whole(op.short("system") + b"\x94" + b"0" + op.short("os") + b"h\0" + b"\x93"),
        ),
        "stack_global_number": ("no text", op.whole(op.number(1) + op.number(2) + b"\x93")),
        "inst": ("os.system", b"(" + b"S'touch x'\nios\nsystem\n."),
        "obj": ("os.system", op.whole(b"(" + system + shell + b"o")),
        "newobj": ("os.system", op.whole(system + op.tuple_(shell) + b"\x81")),
        "newobj_known": ("a new torch.Size", op.whole(op.named("torch", "Size") + op.tuple_(op.tuple_()) + b"\x81")),
        "newobj_ex": ("os.system", op.whole(system + op.tuple_(shell) + b"}" + b"\x92")),
        "extension_1": ("copyreg extension 7", op.whole(b"\x82\x07")),
        "extension_2": ("copyreg extension 258", op.whole(b"\x83\x02\x01")),
        "extension_4": ("copyreg extension 7", op.whole(b"\x84\x07\0\0\0")),
        "setstate": (
            "builtins.type",
            op.whole(op.call("builtins", "type", op.text("X")) + op.dict_({"a": shell}) + b"b"),
        ),
        "build_ordered": (
            "hide its methods",
            op.whole(op.call("collections", "OrderedDict") + op.dict_({"items": shell}) + b"b"),
        ),
        "build_class": (
            "hide its methods",
            op.whole(op.call("collections", "OrderedDict") + op.dict_({"__class__": shell}) + b"b"),
        ),
        "build_dict": ("a state for a dict", op.whole(op.dict_({}) + op.dict_({"x": shell}) + b"b")),
        "call_text": ("a call of a str", op.whole(shell + op.tuple_(shell) + b"R")),
        "call_storage": (
            "a call of torch.FloatStorage",
            op.whole(op.call("torch", "FloatStorage", op.number(1 << 30))),
        ),
        "nested_bytes": ("pickle.loads", op.whole(op.call("pickle", "loads", op.blob(nested)))),
        "nested_text": ("_pickle.loads", op.whole(op.call("_pickle", "loads", op.blob(nested)))),
        "persistent_text": ("protocol 0", op.whole(b"Pos.system\n")),
        "persistent_call": ("persistent id", op.whole(op.tuple_(op.text("module"), system, shell) + b"Q")),
        "persistent_global": ("persistent id", op.whole(system + b"Q")),
        "second_pickle": ("after the end", op.whole(b"}") + nested),
        "memo_bomb": ("memo 4,294,967,295", op.whole(b"}" + b"r\xff\xff\xff\xff")),
        "memo_text": ("memo 99", op.whole(b"}" + b"p99999999999999\n")),
        "memo_missing": ("malformed", op.whole(b"h\x07")),
        "huge_text": ("malformed", op.whole(b"X\xff\xff\xff\x7fabc")),
        "huge_bytes": ("malformed", op.whole(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc")),
        "huge_frame": ("opcode FRAME", op.whole(b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f}")),
        "huge_number": ("malformed", op.whole(b"L" + b"9" * 100_000 + b"L\n")),
        "huge_bytearray": ("bytearray", op.whole(op.call("__builtin__", "bytearray", op.long(1 << 40)))),
        "codec": ("another codec", op.whole(op.call("_codecs", "encode", shell, op.text("rot13")))),
        "many": ("more than 2,000,000", op.whole(b"}0" * 1_100_000 + b"}")),
        "deep": ("nested deeper", op.whole(b"]" * 5000 + b"a" * 4999)),
        "deep_tuple": ("nested deeper", op.whole(op.dict_({"w": b")" + b"\x85" * 100_000}))),
        "cycle": ("holds itself", op.whole(op.dict_({"w": b"]q\1h\1a"}))),
        "cycle_dict": ("holds itself", op.whole(b"}q\1" + op.text("w") + b"h\1s")),
        "laughs": ("when what is shared", op.whole(op.dict_({"w": b"]q\1" + b"h\1\x86q\1" * 60}))),
        "hash_bomb": ("where a name should be", op.whole(b"})" + b"2\x86" * 100 + b"Ns")),
        "hash_numbers": ("number of 61 bits", op.whole(b"}(" + b"".join(n + b"N" for n in alike) + b"u")),
        "hash_set": ("number of 61 bits", op.whole(op.call("builtins", "set", op.list_(*alike)))),
        "hash_ordered": ("number of 61 bits", op.whole(op.call("collections", "OrderedDict", op.list_(*rows)))),
        "long_number": ("a number of 80,001 bits", op.whole(op.dict_({"epoch": huge}))),
        "key_list": ("where a name should be", op.whole(b"}]Ns")),
        "twice": ("set twice", op.whole(b"}" + op.text("w") + b"Ns" + op.text("w") + b"Ns")),
        "no_mark": ("malformed", op.whole(b"t")),
        "empty": ("more or less than one", b"\x80\x02."),
        "leftover": ("more or less than one", op.whole(b"}}")),
        "cut": ("malformed", op.whole(b"}")[:-1]),
        "nothing": ("malformed", b""),
        "unknown_opcode": ("malformed", op.whole(b"\xff")),
        "append_set": ("appended to a set", op.whole(op.dict_({"w": b"\x8f" + op.number(1) + b"a"}))),
        "append_dict": ("appended to a dict", op.whole(b"}Na")),
        "set_of_sets": ("where a name should be", op.whole(b"\x8f(]\x90")),
        "frozen": ("opcode FROZENSET", op.whole(b"(\x91")),
        "buffers": ("malformed|opcode NEXT_BUFFER", op.whole(b"\x97")),
        "value_class": ("OrderedDict", op.whole(op.dict_({"w": op.named("collections", "OrderedDict")}))),
        "list": ("holds a list", op.whole(b"]")),
        "numbers": ("no values by name", op.whole(b"}" + op.number(3) + b"Ns")),
        "spaces": ("os system", op.whole(b"ctorch\nos system\n)R")),
        "newline": ("os\\\\nsystem", op.whole(op.short("os\nsystem") + op.short("x") + b"\x93")),
    }
    for name, (words, content) in tricks.items():

        def write(path: Path, _: Path, content: bytes = content) -> None:
            torch_zip(path, content)

        yield Case(f"trick_{name}.pt", words, write)


def _tensors() -> Iterator[Case]:
    """Tensors that are not what they seem."""
    cases: dict[str, tuple[str | None, bytes, dict[str, bytes]]] = {
        "good": (None, state(tensor()), {"0": GOOD}),
        "transposed": (None, state(tensor((2, 2), (1, 2))), {"0": GOOD}),
        "nan": (None, state(tensor()), {"0": struct.pack("<4f", 1, float("nan"), 3, float("inf"))}),
        "reach": ("reaches beyond", state(tensor((5,), (1,))), {"0": GOOD}),
        "offset": ("reaches beyond", state(tensor(offset=1)), {"0": GOOD}),
        "offset_negative": ("proper storage", state(tensor(offset=-1)), {"0": GOOD}),
        "expand": ("repeats a storage", state(tensor((1 << 40,), (0,))), {"0": GOOD}),
        "stride_bomb": ("repeats a storage", state(tensor((1 << 20, 1 << 20), (0, 0))), {"0": GOOD}),
        "overlap": ("repeats a storage", state(tensor((3, 2), (1, 1))), {"0": GOOD}),
        "stride_negative": ("proper storage", state(tensor((2,), (-1,))), {"0": GOOD}),
        "stride_huge": ("proper storage", state(tensor((2,), (1 << 62,))), {"0": GOOD}),
        "shape_huge": ("proper storage", state(tensor((1 << 62,), (1,))), {"0": GOOD}),
        "empty_huge": ("an empty tensor", state(tensor((0, 1 << 40, 1 << 40), (1, 1, 1))), {"0": GOOD}),
        "empty_strides": ("an empty tensor", state(tensor((0, *[1 << 31] * 3), (1,) * 4)), {"0": GOOD}),
        "dimensions": ("dimensions", state(tensor((1,) * 40, (1,) * 40)), {"0": GOOD}),
        "strides_missing": ("dimensions", state(tensor((2, 2), (1,))), {"0": GOOD}),
        "missing": ("missing", state(tensor(key="9")), {"0": GOOD}),
        "traversal": ("missing", state(tensor(key="../../../etc/passwd")), {"0": GOOD}),
        "short": ("is said to have", state(tensor(count=400)), {"0": GOOD}),
        "long": ("is said to have", state(tensor(count=2, size=(2,))), {"0": GOOD}),
        "terabytes": ("is said to have", state(tensor((1 << 38,), (1,), count=1 << 38)), {"0": GOOD}),
        "types": ("is said to have", state(tensor(), v=tensor(kind="HalfStorage")), {"0": GOOD}),
        "types_same": ("two types", state(tensor(), v=tensor(kind="IntStorage")), {"0": GOOD}),
        "complex": ("complex64", state(tensor((2,), kind="ComplexFloatStorage", count=2)), {"0": GOOD}),
        "quantized_storage": ("qint8", state(tensor(kind="QInt8Storage")), {"0": b"1234"}),
        "quantized": ("a quantized", state(op.call("torch._utils", "_rebuild_qtensor")), {}),
        "conjugate": ("conjugate", state(tensor(after=op.dict_({"conj": b"\x88"}))), {"0": GOOD}),
        "hooks": ("os.system", state(tensor(after=op.named("os", "system"))), {"0": GOOD}),
        "many_views": ("share", state(op.list_(*[tensor((1 << 20,), count=1 << 20)] * 40)), {"0": bytes(4 << 20)}),
        "storage_as_value": ("Storage", state(_storage()), {"0": GOOD}),
        "parameter_attributes": ("attributes of its own", state(_parameter()), {"0": GOOD}),
        "bool": (None, state(tensor(kind="BoolStorage")), {"0": b"\1\0\1\0"}),
        "bool_wild": (None, state(tensor(kind="BoolStorage")), {"0": b"\xff\0\7\0"}),
    }
    for name, (words, content, storages) in cases.items():

        def write(path: Path, _: Path, content: bytes = content, storages: dict[str, bytes] = storages) -> None:
            torch_zip(path, content, storages)

        yield Case(f"tensor_{name}.pt", words, write)
    odd: dict[str, tuple[str, Callable[[], Any]]] = {
        "float8": ("float8_e4m3fn", lambda: torch.zeros(4).to(torch.float8_e4m3fn)),
        "uint16": ("uint16", lambda: torch.zeros(4, dtype=torch.uint16)),
        "sparse": ("sparse", lambda: torch.eye(3).to_sparse()),
        "meta": ("meta device", lambda: torch.ones(3, device="meta")),
        "module": ("torch.nn.modules.linear.Linear", lambda: nn.Linear(2, 2)),
        "numpy": ("numpy", lambda: np.ones(3)),
        "numpy_scalar": ("numpy", lambda: np.float64(1)),
        "path": ("pathlib", lambda: Path("x")),
    }
    for name, (words, make) in odd.items():

        def save(path: Path, _: Path, make: Callable[[], Any] = make) -> None:
            torch.save({"w": make()}, path)

        yield Case(f"odd_{name}.pt", words, save)


def _storage() -> bytes:
    return (
        op.tuple_(op.text("storage"), op.named("torch", "FloatStorage"), op.text("0"), op.text("cpu"), op.number(4))
        + b"Q"
    )


def _parameter() -> bytes:
    return op.call(
        "torch._utils",
        "_rebuild_parameter_with_state",
        tensor(),
        b"\x88",
        op.call("collections", "OrderedDict"),
        op.dict_({"data": op.number(1)}),
    )


def _zips() -> Iterator[Case]:
    """Archives that are not what ``torch.save`` writes."""
    good = state(tensor())

    def edited(change: Callable[[bytearray], object]) -> Callable[[Path, Path], object]:
        def write(path: Path, _: Path) -> None:
            torch_zip(path, good, {"0": GOOD})
            content = bytearray(path.read_bytes())
            change(content)
            path.write_bytes(content)

        return write

    def with_entry(name: str, content: bytes = b"x", root: str = "archive") -> Callable[[Path, Path], object]:
        return lambda path, _: torch_zip(path, good, {"0": GOOD}, {name: content}, root)

    def twice(path: Path, canary: Path) -> None:
        evil = op.whole(op.call("os", "system", op.text(f"touch {canary}")))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", good)
            archive.writestr("archive/data.pkX", evil)
            archive.writestr("archive/version", b"3\n")
            archive.writestr("archive/data/0", GOOD)
        path.write_bytes(path.read_bytes().replace(b"data.pkX", b"data.pkl"))

    def compressed(path: Path, _: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", good)
            archive.writestr("archive/version", b"3\n")
            archive.writestr("archive/data/0", bytes(1 << 20))

    def code_bomb(path: Path, _: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", good, zipfile.ZIP_STORED)
            archive.writestr("archive/constants.pkl", op.whole(b")"), zipfile.ZIP_STORED)
            archive.writestr("archive/version", b"3\n", zipfile.ZIP_STORED)
            for index in range(10):
                archive.writestr(f"archive/code/{index}.py", bytes(8 << 20))

    def link(path: Path, _: Path) -> None:
        torch_zip(path, good, {"0": GOOD})
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo("archive/data/1")
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, "/etc/passwd")

    def renamed(path: Path, _: Path) -> None:
        torch_zip(path, good, {"0": GOOD})
        content = path.read_bytes()
        path.write_bytes(content.replace(b"archive/data.pkl", b"archive/dota.pkl", 1))

    def cut(share: float) -> Callable[[Path, Path], object]:
        def write(path: Path, _: Path) -> None:
            torch.save({"w": torch.arange(1000)}, path)
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

        return write

    yield Case("zip_twice.pt", "twice", twice)
    yield Case("zip_case.pt", "capital", with_entry("archive/DATA.PKL"))
    yield Case("zip_two_pickles.pt", "2 pickles", with_entry("other/data.pkl"))
    yield Case("zip_beside.pt", "beside", with_entry("other/file"))
    yield Case("zip_parent.pt", "leads out", with_entry("archive/../../evil"))
    yield Case("zip_absolute.pt", "leads out", with_entry("/etc/cron.d/evil"))
    yield Case("zip_backslash.pt", "leads out", with_entry("archive\\..\\evil"))
    yield Case("zip_drive.pt", "leads out", with_entry("C:/evil"))
    yield Case("zip_folder.pt", "a folder", with_entry("archive/data/"))
    yield Case("zip_script.pt", "no part of a checkpoint", with_entry("archive/setup.py"))
    yield Case("zip_nested.pt", "no part of a checkpoint", with_entry("archive/inner.zip", b"PK\3\4"))
    yield Case("zip_deeper.pt", "no data.pkl|deeper", lambda p, _: torch_zip(p, good, {}, None, "a/b"))
    yield Case("zip_compressed.pt", "compressed", compressed)
    yield Case("zip_bomb.pt", "zip bomb", code_bomb)
    yield Case("zip_link.pt", "is a link", link)
    yield Case("zip_local_name.pt", "differs from", renamed)
    yield Case("zip_prefix.pt", "not where it should be|overlap", edited(lambda c: c.__setitem__(slice(0, 0), c[:200])))
    yield Case("zip_suffix.pt", "appended", edited(lambda content: content.extend(b"MZ" * 50)))
    yield Case("zip_comment.pt", "comment", edited(lambda content: content.__setitem__(-2, 9)))
    yield Case("zip_count.pt", "parts|cut off|lists more", edited(lambda content: content.__setitem__(-12, 2)))
    yield Case("zip_counts.pt", "lists more", edited(lambda c: c.__setitem__(slice(-14, -10), b"\2\0\2\0")))
    yield Case("zip_directory.pt", "not where", edited(lambda content: content.__setitem__(-6, content[-6] ^ 1)))
    yield Case("zip_encrypted.pt", "encrypted", edited(lambda c: c.__setitem__(c.index(b"PK\1\2") + 8, 1)))
    yield Case("zip_dos_folder.pt", "as a folder", edited(lambda c: c.__setitem__(c.index(b"PK\1\2") + 38, 0x10)))
    yield Case("zip_overlap.pt", "overlap|differs", edited(lambda c: _move_second(c)))
    yield Case(
        "zip_size.pt", "two sizes|overlap|reaches|is said", edited(lambda c: c.__setitem__(c.index(b"PK\1\2") + 20, 9))
    )
    yield Case("zip_big_endian.pt", "lowest byte", edited(lambda c: _replace(c, b"little", b"bigbig")))
    yield Case("zip_other.zip", "no data.pkl", lambda p, _: _other_zip(p, "readme.txt"))
    yield Case("zip_numpy.npz", "save its arrays", lambda p, _: np.savez(p, a=np.ones(2)))
    yield Case("zip_empty.pt", "no weights|nothing", lambda p, _: zipfile.ZipFile(p, "w").close())
    yield Case("zip_named_safetensors.safetensors", "whatever its name", lambda p, _: torch_zip(p, good, {"0": GOOD}))
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        yield Case(f"zip_cut_{share}.pt", "cut off", cut(share))


def _move_second(content: bytearray) -> None:
    """Let the second entry of the directory begin where the first does."""
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    content[second + 42 : second + 46] = bytes(4)


def _replace(content: bytearray, old: bytes, new: bytes) -> None:
    content[:] = content.replace(old, new)


def _other_zip(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")


def _scripts() -> Iterator[Case]:
    """Archives of TorchScript."""

    def script(content: bytes, others: dict[str, bytes] | None = None) -> Callable[[Path, Path], object]:
        more = {
            "archive/constants.pkl": op.whole(b")"),
            "archive/code/__torch__.py": b"import os; os.system('touch x')",
        }
        return lambda path, _: torch_zip(path, content, {"0": GOOD}, more | (others or {}))

    module = op.named("__torch__", "M") + b")\x81"
    yield Case(
        "script_good.pt", None, script(op.whole(module + op.dict_({"w": tensor(), "size": op.number(7)}) + b"b"))
    )
    yield Case("script_traced_code.pt", None, script(op.whole(module + op.dict_({}) + b"b")))
    evil = op.call("os", "system", op.text("touch x"))
    yield Case("script_call.pt", "os.system", script(op.whole(module + op.dict_({"w": evil}) + b"b")))
    fake = op.call("__torch__.os", "system", op.text("touch x"))
    yield Case(
        "script_fake.pt", "a call of __torch__.os.system", script(op.whole(module + op.dict_({"w": fake}) + b"b"))
    )
    yield Case("script_cycle.pt", "holds itself", script(op.whole(module + b"q\1}" + op.text("m") + b"h\1sb")))
    yield Case("script_dots.pt", "called a.b", script(op.whole(module + op.dict_({"a.b": tensor()}) + b"b")))
    yield Case("script_no_module.pt", "no module", script(op.whole(b"}")))
    yield Case("script_state.pt", "no attributes", script(op.whole(module + b"]b")))
    nested = {"archive/extra/inner.pt": b"PK\3\4" + bytes(50)}
    yield Case("script_nested.pt", "archive or a pickle of its own", script(op.whole(module + b"}b"), nested))


def _legacy() -> Iterator[Case]:
    """What torch wrote before zips."""

    def written(change: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
        def write(path: Path, _: Path) -> None:
            torch.save({"w": torch.arange(40)}, path, _use_new_zipfile_serialization=False)
            path.write_bytes(change(path.read_bytes()))

        return write

    def evil(path: Path, canary: Path) -> None:
        torch.save({"w": _Runs(canary)}, path, _use_new_zipfile_serialization=False)

    def tar(path: Path, canary: Path) -> None:
        with tarfile.open(path, "w") as archive:
            for name in ("storages", "tensors", "pickle"):
                content = pickle.dumps(_Runs(canary), 2)
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    def other_tar(path: Path, _: Path) -> None:
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo("../../evil"))

    yield Case("legacy_good.pt", None, written(lambda content: content))
    yield Case("legacy_call.pt", "posix.system", evil)
    yield Case("legacy_cut.pt", "cut off", written(lambda content: content[:-9]))
    yield Case("legacy_cut_early.pt", "malformed", written(lambda content: content[:60]))
    yield Case("legacy_more.pt", "after its end", written(lambda content: content + b"more"))
    yield Case("legacy_count.pt", "is said to have", written(lambda c: c[:-328] + struct.pack("<q", 41) + c[-320:]))
    yield Case("legacy_negative.pt", "is said to have", written(lambda c: c[:-328] + struct.pack("<q", -1) + c[-320:]))
    yield Case(
        "legacy_endian.pt",
        "lowest byte",
        written(lambda c: c.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")),
    )
    yield Case(
        "legacy_magic_only.pt", "malformed", lambda p, _: p.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    )
    yield Case("legacy_tar.pth", "before 0.1.10", tar)
    yield Case("tar.tar", "unpack", other_tar)


def _safetensors() -> Iterator[Case]:
    """Headers of safetensors."""

    def file(told: Any, numbers: bytes = GOOD, size: int | None = None) -> Callable[[Path, Path], object]:
        text = told if isinstance(told, bytes) else json.dumps(told).encode()
        length = struct.pack("<Q", len(text) if size is None else size)
        return lambda path, _: path.write_bytes(length + text + numbers)

    def one(**more: Any) -> dict[str, Any]:
        return {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | more}

    entry = b'{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
    yield Case("safe_good.safetensors", None, file(one()))
    yield Case("safe_named_pt.pt", None, file(one()))
    yield Case("safe_nan.safetensors", None, lambda p, _: save_file({"w": torch.full((3,), float("nan"))}, p))
    yield Case("safe_header_huge.safetensors", "a header of", file(one(), size=(1 << 40) - 1))
    yield Case("safe_header_over.safetensors", "a header of", file(one(), size=500))
    yield Case("safe_twice.safetensors", "stands twice", file(b'{"w":' + entry + b',"w":' + entry + b"}"))
    many = b"{" + b"".join(b'"%d":0,' % at for at in range(200_000)) + b'"0":0}'
    yield Case("safe_twice_of_many.safetensors", "0 stands twice", file(many))
    yield Case("safe_brackets.safetensors", "a header of", file(b'{"w":[' + b"[]," * 5_000_000 + b"[]]}"))
    yield Case("safe_overlap.safetensors", "begins at", file(one() | {"v": one()["w"]}))
    yield Case("safe_hole.safetensors", "begins at", file(one(data_offsets=[4, 20]), GOOD + b"1234"))
    yield Case("safe_beyond.safetensors", "its header tells", file(one(shape=[400], data_offsets=[0, 1600])))
    yield Case("safe_hidden.safetensors", "its header tells", file(one(), GOOD + b"more"))
    yield Case("safe_mismatch.safetensors", "does not fit", file(one(shape=[5])))
    yield Case("safe_negative.safetensors", "no proper shape", file(one(shape=[-4])))
    yield Case("safe_backwards.safetensors", "no proper shape", file(one(data_offsets=[16, 0])))
    yield Case("safe_huge.safetensors", "no proper shape", file(one(shape=[1 << 62, 1 << 62])))
    yield Case(
        "safe_empty_huge.safetensors",
        "does not fit",
        file({"w": {"dtype": "F32", "shape": [0, 1 << 40, 1 << 40], "data_offsets": [0, 0]}}, b""),
    )
    strides = {"w": {"dtype": "F32", "shape": [0, *[1 << 31] * 3], "data_offsets": [0, 0]}}
    yield Case("safe_empty_strides.safetensors", "does not fit", file(strides, b""))
    yield Case("safe_boolean.safetensors", "no proper shape", file(one(shape=[True])))
    yield Case("safe_float8.safetensors", "F8_E4M3", file(one(dtype="F8_E4M3", shape=[16])))
    yield Case("safe_no_json.safetensors", "no JSON", file(b"{this is none}"))
    yield Case("safe_deep.safetensors", "no JSON", file(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))
    yield Case("safe_metadata.safetensors", "no table", file({"__metadata__": {"a": 1}} | one()))
    yield Case("safe_constant.safetensors", "NaN", file(b'{"w":NaN}'))
    yield Case("safe_missing.safetensors", "described wrongly", file({"w": {"dtype": "F32"}}))
    yield Case("safe_cut.safetensors", "its header tells", file(one(), GOOD[:-1]))


def _others() -> Iterator[Case]:
    """What is no checkpoint at all."""

    def picture(kind: str) -> Callable[[Path, Path], object]:
        return lambda path, _: Image.new("RGB", (8, 8)).save(path, kind)

    def objects(path: Path, canary: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, np.array([_Runs(canary)], dtype=object), allow_pickle=True)

    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 600000000\n"
    yield Case("picture.png", "PNG picture", picture("PNG"))
    yield Case("picture.pt", "JPEG picture", picture("JPEG"))
    yield Case("picture.webp", "WebP picture", picture("WEBP"))
    yield Case("objects.npy", "pickled", objects)
    yield Case("array.npy", "one array", lambda path, _: np.save(path, np.ones(3)))
    yield Case("pointer.pt", "git lfs pull", lambda path, _: path.write_bytes(pointer))
    yield Case("pointer.safetensors", "git lfs pull", lambda path, _: path.write_bytes(pointer))
    yield Case("page.pt", "a page", lambda path, _: path.write_bytes(b"\n<!DOCTYPE html><html>Sign in</html>"))
    yield Case("config.json", "JSON file", lambda path, _: path.write_bytes(b'{"a": 1}'))
    yield Case("tags.yaml", "text", lambda path, _: path.write_bytes(b"!!python/object/apply:os.system ['touch x']\n"))
    yield Case("script.pt", "text", lambda path, _: path.write_bytes(b"import os\nos.system('touch x')\n"))
    yield Case("empty.pt", "holds nothing", lambda path, _: path.write_bytes(b""))
    yield Case("zeros.pt", "unknown", lambda path, _: path.write_bytes(bytes(5000)))
    yield Case("noise.pt", "unknown|pickle", lambda path, _: path.write_bytes(bytes(range(255, 0, -1)) * 9))
    yield Case("program.bin", "program", lambda path, _: path.write_bytes(b"\x7fELF" + bytes(60)))
    yield Case("packed.pt.gz", "unpack", lambda path, _: path.write_bytes(gzip.compress(GOOD)))
    yield Case("folder.pt", "folder", lambda path, _: path.mkdir())


CASES = [
    case for part in (_calls, _pickles, _tensors, _zips, _scripts, _legacy, _safetensors, _others) for case in part()
]
