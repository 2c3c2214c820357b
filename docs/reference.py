"""Extension of Sphinx that writes the reference: Python names from docstrings, commands from --help, links to both.

A fenced block {names} in a page holds public names, and one that is called {commands} stands for all commands. Both
are replaced by Markdown while the page is read, so that the reference cannot fall behind the program.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from textwrap import dedent, wrap
from typing import Any

PYTHON, COMMANDS = "reference/python", "reference/commands"  # the pages
NAMES = re.compile(r"^```\{names\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ALL_COMMANDS = re.compile(r"^```\{commands\}\n```$", re.MULTILINE)
WIDTH, SHORT = 90, 24  # characters of a line of code, and of a piece of code that is not broken
MODELS = ("rbm", "dbm", "dbn", "sbn", "vae")


def found(name: str) -> Any:
    """What boltz calls by this name, such as train or sklearn.BernoulliRBM; raises AttributeError."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(f"boltz.{module}" if module else "boltz"), last)


def label(name: str) -> str:
    """The anchor of a name."""
    return "name-" + name.lower().replace(".", "-").replace("_", "-") + ("-class" if name[:1].isupper() else "")


def entry(name: str) -> str:
    """Markdown on one public name: how it is called, what it does, and what the objects of a class offer."""
    thing = found(name)
    parts = [f"({label(name)})=", f"### boltz.{name}"]
    if inspect.isclass(thing):
        made = not is_dataclass(thing) and not issubclass(thing, Exception)
        parts += [f"```python\n{signature(name, thing)}\n```"] * made + [*prose(thing), *_members(thing)]
    elif callable(thing):
        parts += [f"```python\n{signature(name, thing)}\n```", *prose(thing)]
    else:
        parts.append(f"{name} = {thing!r}".join("``"))
    return "\n\n".join(parts)


def signature(name: str, function: Any) -> str:
    """How a function is called, with defaults and the type of the result, in lines of moderate width."""
    shown = inspect.signature(function)
    words = [str(each.replace(annotation=inspect.Parameter.empty)) for each in shown.parameters.values()]
    kinds = [each.kind for each in shown.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        words.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    words = [re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", word) for word in words]
    result = shown.return_annotation
    told = "" if result is inspect.Signature.empty else f" -> {str(result).strip(chr(39))}"
    whole = f"boltz.{name}({', '.join(words)}){told}"
    if len(whole) <= WIDTH:
        return whole
    lines = wrap(", ".join(words), WIDTH - 4, break_long_words=False)
    return "\n".join([f"boltz.{name}(", *(f"    {line}" for line in lines), f"){told}"])


def prose(thing: Any) -> list[str]:
    """The docstring as Markdown; the lines on single settings are left to their table."""
    text = inspect.getdoc(thing) or ""
    paragraphs = []
    for part in re.split(r"\n\s*\n", text):
        if _settings(thing) and re.match(r"\w+ = .*:", part):
            continue
        if part.startswith("- "):
            items = re.split(r"\n(?=- )", part)
            paragraphs.append("\n".join(f"- {escaped(' '.join(item[2:].split()))}" for item in items))
            continue
        code = all(line.startswith("    ") for line in part.splitlines())
        paragraphs.append(f"```python\n{dedent(part)}\n```" if code else escaped(" ".join(part.split())))
    return paragraphs


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it as it is, with names of boltz as code."""
    pieces = re.split(r"(`[^`]+`|\bboltz(?:\.\w+)+)", text)
    return "".join(
        piece if piece.startswith("`") else f"`{piece}`" if at % 2 else re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", piece)
        for at, piece in enumerate(pieces)
    )


def _settings(thing: Any) -> bool:
    return inspect.isclass(thing) and is_dataclass(thing) and all("help" in each.metadata for each in fields(thing))


def _members(kind: type[Any]) -> list[str]:
    if _settings(kind):
        return [_table_of_settings(kind)]
    lines = [f"- {_member(name, value)}" for name, value in vars(kind).items() if _told(name, value)]
    return ["It offers:", "\n".join(lines)] if lines else []


def _told(name: str, value: Any) -> bool:
    return not name.startswith("_") and not isinstance(value, type) and bool(_first(value))


def _member(name: str, value: Any) -> str:
    called = f"{name}()" if inspect.isroutine(value) or isinstance(value, classmethod | staticmethod) else name
    return f"`{called}`: {escaped(_first(value))}"


def _first(value: Any) -> str:
    """The first paragraph of the docstring of a method or a property; values of fields have none of their own."""
    own = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    if not (inspect.isroutine(own) or isinstance(own, property) or hasattr(own, "attrname")):
        return ""
    return " ".join((inspect.getdoc(own) or "").split("\n\n")[0].split())


def _table_of_settings(kind: type[Any]) -> str:
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for each in fields(kind):
        choices, need = each.metadata["choices"], each.metadata["needs"]
        text = escaped(each.metadata["help"])
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        text += f" It needs {escaped(need.told())}." if need else ""
        lines.append(f"| `{each.name}` | `{each.default!r}` | {text} |")
    return "\n".join(lines)


def commands() -> str:
    """Markdown on all commands: their help as a terminal shows it, that of boltz train for each model if it differs."""
    from boltz.cli import COMMANDS as KNOWN

    parts = ["(command)=", "## boltz", _block([])]
    for name, sentence in KNOWN.items():
        parts += [f"(command-{name})=", f"## boltz {name}", escaped(sentence), _block([name])]
        if name == "train":
            parts += _models(parts[-1])
    return "\n\n".join(parts)


def _models(general: str) -> list[str]:
    blocks = {model: _block(["train", model]) for model in MODELS}
    differing = {model: block for model, block in blocks.items() if block != general}
    return [part for model, block in differing.items() for part in (f"### boltz train {model}", block)]


def _block(words: list[str]) -> str:
    from click.testing import CliRunner

    from boltz.cli import main

    result = CliRunner().invoke(main, [*words, "--help"], prog_name="boltz", terminal_width=WIDTH)
    assert result.exit_code == 0, result.output
    return f"```text\n{result.output.rstrip()}\n```"


def written(source: str) -> str:
    """A page with its blocks {names} and {commands} replaced."""
    source = NAMES.sub(lambda block: "\n\n".join(map(entry, block[1].split())), source)
    return ALL_COMMANDS.sub(lambda _: commands(), source)


def target(text: str) -> str | None:
    """The page and the anchor that explain a piece of code such as boltz.train(...) or boltz train rbm, if any do."""
    if named := re.match(r"boltz\.((?:sklearn\.)?\w+)", text):
        import boltz

        name = named[1]
        public = name.startswith("sklearn.") or name in boltz.__all__
        return f"{PYTHON}#{label(name)}" if public else None
    if called := re.match(r"boltz ([a-z]+)\b", text):
        from boltz.cli import COMMANDS as KNOWN

        return f"{COMMANDS}#command-{called[1]}" if called[1] in KNOWN else None
    return None


def linked(app: Any, tree: Any, page: str) -> None:
    """Make every piece of code that names something of boltz a link to where the reference explains it.

    Short pieces get a class of their own, which keeps them on one line.
    """
    from docutils import nodes

    for literal in list(tree.findall(nodes.literal)):
        literal["classes"] += ["short"] * (len(literal.astext()) <= SHORT)
        place = None if isinstance(literal.parent, nodes.title | nodes.reference) else target(literal.astext())
        if place is not None and app.builder.format == "html":
            where, _, anchor = place.partition("#")
            uri = f"{app.builder.get_relative_uri(page, where)}#{anchor}"
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), refuri=uri, internal=True))


def setup(app: Any) -> dict[str, Any]:
    """What Sphinx calls."""

    def read(app: Any, page: str, source: list[str]) -> None:
        source[0] = written(source[0])

    app.connect("source-read", read)
    app.connect("doctree-resolved", linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
