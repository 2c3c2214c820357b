"""Catches breaches of the house rules a parser can see: which way imports go, what may import what, sizes, no pickle.

foreign <- errors <- kernels <- arrays, rng, numerics, checks, scale <- units, nn <- models <- targets <- sampling <-
{estimators <- diagnostics, training <- networks} <- evaluation <- {sklearn, cli}. parallel stands on kernels and
checks, storage on the first two alone, html on nothing, data on kernels, rng, checks, scale and storage, and plotting
on data and estimators.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.looping import for_each

import boltz
import boltz.kernels

ROOTS = {"boltz": Path(boltz.__file__).parent, "boltz.kernels": Path(boltz.kernels.__file__).parent}

BASE = {"foreign", "errors", "kernels", "arrays", "rng", "numerics", "checks", "scale"}
MODELS = BASE | {"units", "nn", "storage"}
SAMPLING = MODELS | {"models", "targets", "parallel"}
TRAINING = SAMPLING | {"sampling", "data", "presets", "progress"}
ALLOWED: dict[str, set[str]] = {
    "foreign": {"html"},
    "system": set(),
    "errors": {"foreign"},
    "kernels": set(),
    "rng": {"errors", "checks"},
    "numerics": {"errors", "arrays"},
    "checks": {"foreign", "errors", "arrays"},
    "arrays": {"errors"},
    "scale": {"errors", "arrays", "checks", "foreign"},
    "parallel": {"errors", "arrays", "checks", "kernels", "system"},
    "storage": {"foreign", "errors", "system"},
    "html": set(),
    "presets": {"errors", "checks"},
    "progress": {"foreign", "errors", "checks"},
    "data": {"foreign", "errors", "arrays", "checks", "rng", "kernels", "scale", "units", "storage", "parallel"},
    "units": BASE | {"scale"},
    "nn": BASE,
    "models": MODELS,
    "targets": MODELS | {"models"},
    "sampling": SAMPLING,
    "estimators": SAMPLING | {"sampling", "html"},
    "diagnostics": SAMPLING | {"sampling", "estimators", "html"},
    "training": TRAINING,
    "networks": TRAINING | {"training"},
    "plotting": SAMPLING | {"sampling", "data", "estimators"},
    "evaluation": TRAINING | {"training", "networks", "estimators", "diagnostics", "plotting", "html", "progress"},
}
ABOVE = {"cli", "sklearn"}  # may import everything, and nothing but the other one imports them
NUMBA = {
    f"kernels.cpu.{part}"
    for part in ("bernoulli", "vectors", "philox", "products", "dense", "notice", "teams", "programs", "nade", "panels")
}
ONLY = {
    "numba": NUMBA,
    "llvmlite": NUMBA,
    "cupy": {"kernels.cuda.launch", "arrays"},
    "click": {"cli"},
    "rich": {"cli", "progress"},
    "IPython": {"progress"},
    "matplotlib": {"plotting"},
    "safetensors": set(),
    "pooch": {"data"},
    "threadpoolctl": {"parallel"},
    "sklearn": {"sklearn"},
}  # outside package -> the only modules (or packages) that import it
LAZY = {"cupy", "pooch", "rich", "IPython"}  # never at the top of a module
BANNED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

MACHINES = {"BoltzmannMachine", "HelmholtzMachine", "Model"}  # classes of machine, and the name of either
TABLES = {"sampling.drawing", "sampling.inference", "estimators.marginals"}  # what differs between them, a row for each

MOST_LINES, MOST_PARAMETERS, MOST_IN_A_FUNCTION = 500, 6, 60
WIDE = {
    "data.loading.load": 11,  # likewise, all but the name optional
    "training.train.train": 11,  # the documented public function, all settings by name
    "networks.fine_tune.fine_tune": 8,  # likewise
    "networks.fine_tune.resume_tuning": 7,  # likewise
    "evaluation.evaluate.evaluate": 18,  # public, all but the model optional
    "evaluation.compare.compare": 11,
    "evaluation.diagnose.diagnose": 10,
    "evaluation.log_z.log_z": 11,
    "evaluation.report.report": 7,
    "units.Units.anneal": 7,  # the argument list of its kernel
    "units.bernoulli.Bernoulli.anneal": 7,
    "units.spin.Spin.anneal": 7,
    "units.gaussian.Gaussian.anneal": 7,
    "units.categorical.Categorical.anneal": 7,
    "units.rectified.Rectified.anneal": 7,
    "units.drelu.DReLU.anneal": 7,
    "units.counts.Counts.anneal": 7,
    "units.binomial.Binomial.anneal": 7,
    "models.builders.rbm": 8,  # public, all but the numbers of units optional
    "models.autoregressive.made": 7,  # likewise
    "models.autoregressive.pixelcnn": 11,
    "models.builders.vae": 20,
    "models.builders.sbn": 10,
    "models.wiring.graph": 8,
    "models.wiring.boltzmann": 9,
    "models.wiring.multimodal": 7,
    "sampling.recognition.sampled": 7,  # the step is of training alone
    "sampling.recognition.draw": 7,  # likewise
    "sampling.sample.sample": 7,  # public, all but the model optional
    "sampling.chains.run_chains": 9,  # public, all but the model and the sweeps optional
    "estimators.ais.ais": 7,  # public, all but the model optional
    "estimators.reverse_ais.reverse_ais": 8,
    "estimators.replica_exchange.exchange_log_z": 7,
    "estimators.posterior_ais.posterior_ais": 7,
    "diagnostics.layers.layer_gains": 7,
    "models.adversarial.aae": 14,  # public, all but the numbers of units optional
    "training.beginning.begun": 7,  # what boltz.train is given
    "training.pairwise.fit_pairwise": 9,  # public, all but the machine and the rows optional
}  # function -> how many parameters it may have, more than others


def modules() -> dict[str, Path]:
    """Every module of the package by its name below boltz; a package has the name of its folder."""
    found = {}
    for root, folder in ROOTS.items():
        for path in sorted(folder.rglob("*.py")):
            if root == "boltz" and path.is_relative_to(ROOTS["boltz.kernels"]) and folder != ROOTS["boltz.kernels"]:
                continue
            parts = (*root.split(".")[1:], *path.relative_to(folder).with_suffix("").parts)
            found[".".join(p for p in parts if p != "__init__")] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


@cache
def imports(tree: ast.Module) -> tuple[tuple[str, bool], ...]:
    """What a module imports anywhere, as dotted names, and whether at its top level."""
    return tuple(_imports(tree))


def _imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in top


def inside(dotted: str) -> str | None:
    """The name below boltz of what is imported: its module, "" for the public package itself; None for the outside."""
    if dotted.split(".")[0] != "boltz":
        return None
    name = dotted.removeprefix("boltz").removeprefix(".")
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def package(name: str) -> str:
    return name.split(".")[0]


def test_the_package_is_seen_whole() -> None:
    some = {
        "",
        "errors",
        "kernels",
        "kernels.cpu.products",
        "nn.dense",
        "training.train",
        "models.boltzmann",
        "models.helmholtz",
    }
    assert some <= set(MODULES)
    for name in MODULES:
        known = name == "" or package(name) in ALLOWED or package(name) in ABOVE
        assert known, f"boltz.{name} is new: say in this test what it may import"


@for_each("name", sorted(set(MODULES) - {""}))
def test_imports_go_one_way(name: str) -> None:
    if package(name) in ABOVE:
        return
    for dotted, _ in imports(TREES[name]):
        other = inside(dotted)
        if other is None or package(other) == package(name) != "":
            continue
        assert other != "", f"boltz.{name} imports the public package ({dotted}): name the module"
        fine = package(other) in ALLOWED[package(name)]
        assert fine, f"boltz.{name} must not import boltz.{other}"


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import one another in a circle (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        path.append(name)
        for other in sorted(edges.get(name, ())):
            if other not in number:
                visit(other)
            if other in path:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            group = path[path.index(name) :]
            del path[path.index(name) :]
            if len(group) > 1:
                found.append(group)

    for name in edges:
        if name not in number:
            visit(name)
    return found


def test_no_imports_go_in_a_circle() -> None:
    edges = {name: {inside(dotted) or "" for dotted, _ in imports(tree)} - {name, ""} for name, tree in TREES.items()}
    edges[""] = set()  # the public names load on first use
    assert circles(edges) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]


def beside_the_package(folder: str) -> dict[str, set[str]]:
    """Which modules of a folder of scripts each of them imports: in full below the folder, or with leading dots."""
    root = Path(__file__).parents[1] / folder
    paths = {
        ".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p for p in root.rglob("*.py")
    }
    edges: dict[str, set[str]] = {}
    for name, path in paths.items():
        here = name if path.stem == "__init__" else name.rpartition(".")[0]
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                parent = ".".join(part for part in (here if node.level else "", node.module) if part)
                members = {f"{parent}.{alias.name}" for alias in node.names}
                found |= (members & set(paths)) or {parent}
        edges[name] = (found & set(paths)) - {name}
    return edges


@pytest.mark.parametrize("folder", ["benchmarks", "scripts", "examples"])
def test_no_imports_of_scripts_go_in_a_circle(folder: str) -> None:
    edges = beside_the_package(folder)
    assert circles(edges) == []
    if folder == "benchmarks":
        assert "contenders.jax_loops" in edges["contenders.jax_directed"] and "turns" in edges["compare"]


def test_the_command_line_computes_nothing() -> None:
    """It asks and prints; numpy is for the files that two commands write."""
    for name, tree in TREES.items():
        if package(name) == "cli" and name not in ("cli.sample", "cli.features"):
            assert not [dotted for dotted, _ in imports(tree) if dotted.split(".")[0] in ("numpy", "scipy")], name
    assert len([name for name in MODULES if package(name) == "cli"]) <= 22


def test_no_two_modules_of_a_package_have_one_stem() -> None:
    """As data/table.py and data/tables.py would: nobody could tell which is meant."""
    stems: dict[tuple[str, str], str] = {}
    for name in MODULES:
        parent, _, leaf = name.rpartition(".")
        stem = (parent, leaf.removesuffix("s").removesuffix("e"))
        assert stem not in stems, f"boltz.{name} and boltz.{stems[stem]} differ by an ending only"
        stems[stem] = name


def test_the_public_package_imports_nothing_of_itself_at_first() -> None:
    assert [dotted for dotted, top in imports(TREES[""]) if top and inside(dotted) is not None] == []


def test_every_public_name_is_where_the_table_says() -> None:
    for name in boltz.__all__:
        assert getattr(boltz, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        boltz.nothing  # noqa: B018


def test_kernels_know_nothing_of_boltz() -> None:
    for name in MODULES:
        if package(name) == "kernels":
            others = {inside(dotted) for dotted, _ in imports(TREES[name])} - {None}
            assert all(package(other or "") == "kernels" for other in others), name
            text = MODULES[name].read_text(encoding="utf-8")
            assert 'import_module("boltz.")' not in text and "from boltz import" not in text


@pytest.mark.parametrize("outside", sorted(ONLY))
def test_only_some_import(outside: str) -> None:
    for name, tree in TREES.items():
        for dotted, top in imports(tree):
            if dotted.split(".")[0] == outside:
                assert {name, package(name)} & ONLY[outside], f"boltz.{name} must not import {outside}"
                assert not (top and outside in LAZY), f"boltz.{name} must import {outside} where it is used"


@for_each("name", sorted(MODULES))
def test_no_pickle_and_no_eval(name: str) -> None:
    for dotted, _ in imports(TREES[name]):
        assert dotted.split(".")[0] not in BANNED, f"boltz.{name} imports {dotted}"
    for node in ast.walk(TREES[name]):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        assert called not in {"eval", "exec", "loads_pickle"}, f"boltz.{name} line {node.lineno} calls {called}"
        for keyword in node.keywords:
            if keyword.arg == "allow_pickle":
                fine = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                assert fine, f"boltz.{name} line {node.lineno} allows pickle"
        if (
            called == "load"
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) in ("np", "numpy")
        ):
            assert any(k.arg == "allow_pickle" for k in node.keywords), f"boltz.{name} line {node.lineno}: np.load"


@for_each("name", sorted(MODULES))
def test_modules_are_short(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"boltz.{name} has {lines} lines, at most {MOST_LINES}"


def functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its dotted name, methods and inner functions included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # no function is defined in there
        name = f"{prefix}.{getattr(child, 'name', '')}".strip(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions(child, name if named else prefix)


FUNCTIONS = {name: node for module, tree in TREES.items() for name, node in functions(tree, module)}


@for_each("module", sorted(set(MODULES) - {""}))
def test_functions_are_small(module: str) -> None:
    for name, node in functions(TREES[module], module):
        if package(name) == "sklearn" and name.endswith(".__init__"):
            continue  # estimators have all settings by name, and keep them as they are
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        assert lines <= MOST_IN_A_FUNCTION, f"boltz.{name} has {lines} lines, at most {MOST_IN_A_FUNCTION}"
        if package(name) == "kernels":
            continue
        arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count, most = len([a for a in arguments if a not in ("self", "cls")]), WIDE.get(name, MOST_PARAMETERS)
        assert count <= most, f"boltz.{name} takes {count} parameters, at most {most}"


def test_wide_functions_are_still_there() -> None:
    assert set(WIDE) <= set(FUNCTIONS) and min(WIDE.values()) > MOST_PARAMETERS


def names_machines(*nodes: ast.AST | None) -> bool:
    """Whether a class of machine is named anywhere in some expressions."""
    named = [each for node in nodes if node is not None for each in ast.walk(node)]
    return bool(MACHINES & {getattr(each, "id", None) or getattr(each, "attr", None) for each in named})


def asks_for_class(node: ast.AST) -> bool:
    """Whether a machine is asked for its class here: isinstance, a class pattern, or a comparison with a class."""
    if isinstance(node, ast.Call):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return called in ("isinstance", "issubclass") and names_machines(*node.args[1:])
    if isinstance(node, ast.MatchClass):
        return names_machines(node.cls)
    return isinstance(node, ast.Compare) and any(
        getattr(each, "id", getattr(each, "attr", None)) in MACHINES for each in (node.left, *node.comparators)
    )


def keyed_by_class(node: ast.AST) -> bool:
    """Whether this is a table with a class of machine as a key, or registers a function for one."""
    if isinstance(node, ast.Dict):
        return any(getattr(key, "id", getattr(key, "attr", None)) in MACHINES for key in node.keys)
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "register" and names_machines(*node.args)  # type: ignore[attr-defined]


@for_each("name", sorted(set(MODULES) - {""}))
def test_machines_answer_for_themselves(name: str) -> None:
    """Outside models, a machine is asked for what it has, and what differs between classes stands in a table."""
    if package(name) == "models":
        return
    for node in ast.walk(TREES[name]):
        line = f"boltz.{name} line {getattr(node, 'lineno', 0)}"
        assert not asks_for_class(node), f"{line} asks a machine for its class: ask what it has, or use a table"
        assert name in TABLES or not keyed_by_class(node), f"{line} is one more table keyed by class of machine"


def test_the_tables_have_a_row_for_each_class() -> None:
    for name in TABLES:
        rows = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Dict) and keyed_by_class(node)]
        keys = [getattr(key, "id", "") for node in rows for key in node.keys]
        assert sorted(keys) == ["BoltzmannMachine", "HelmholtzMachine"], name


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(model, BoltzmannMachine)",
        "isinstance(model, boltz.BoltzmannMachine | HelmholtzMachine)",
        "issubclass(kind, (int, HelmholtzMachine))",
        "type(model) is BoltzmannMachine",
        "match model:\n    case HelmholtzMachine():\n        pass",
    ],
)
def test_the_parser_sees_who_asks_for_a_class(source: str) -> None:
    assert any(asks_for_class(node) for node in ast.walk(ast.parse(source)))


def test_settings_of_training_are_given_by_name() -> None:
    """What boltz.train takes by position has nothing to do with the kind of machine."""
    arguments = FUNCTIONS["training.train.train"].args
    assert [a.arg for a in arguments.args] == [
        "model",
        "x",
        "out",
        "held_out",
        "force",
        "watch",
        "extra",
        "progress",
        "minutes",
        "weights",
        "labels",
    ]
    assert arguments.kwarg is not None and arguments.kwarg.arg == "settings"


@pytest.mark.parametrize(
    "source", ["from boltz.estimators import exact", "import boltz.cli", "from boltz import train"]
)
def test_the_parser_sees_what_it_must_forbid(source: str) -> None:
    """The checks above can fail: each of these in boltz.models would."""
    other = inside(imports(ast.parse(source))[0][0])
    assert other is not None and package(other) not in ALLOWED["models"]
