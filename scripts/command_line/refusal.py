"""What the parser refuses, said in a few lines: cause, place, what may be meant, where the options are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.command_line.layers import flat_keys, place
from scripts.command_line.leaf import Leaf, innermost
from scripts.command_line.suggestions import classes, near, path_of
from scripts.command_line.type_names import PLAIN, base_of, class_in_words, option_names

LONGEST = 160
"""Characters of a value that are shown."""


def refusal(message: str, words: Sequence[str], prog: str, options: Callable[[], list[str]]) -> str:
    """Return a parser's message in a few lines.

    Args:
        message: As jsonargparse wrote it.
        words: The command line.
        prog: How this program is called.
        options: Returns the dotted options of the subcommand.
    """
    leaf = innermost(message)
    for pattern, explain in _KINDS:
        if match := re.search(pattern, leaf.text):
            return "\n".join(explain(match, leaf, _Asked(words, prog, options)))
    lines = [line.strip() for line in leaf.text.splitlines() if line.strip()]
    start = f"{_shown(leaf.key)}: " if leaf.key else ""
    asked = _Asked(words, prog, options)
    return "\n".join([f"{start}{_cut(' '.join(lines), 400)}", *asked.found(leaf.key), asked.help(leaf.owner)])


@dataclass(frozen=True)
class _Asked:
    """What was typed, and the lines that say so."""

    words: Sequence[str]
    prog: str
    options: Callable[[], list[str]]

    def found(self, key: str) -> list[str]:
        """Return a line with the argument, or file and line, that set a key."""
        while key:
            where = place(key, self.words)
            if where:
                return [f"  given: {where}"]
            key = key.rpartition(".")[0]
        return []

    def meant(self, wanted: str, known: Sequence[str]) -> list[str]:
        """Return a line with what is like a name."""
        alike = near(wanted, known)
        return [f"  did you mean {' or '.join(alike)}?"] if alike else []

    def help(self, owner: str) -> str:
        """Return the line that says how to see what there is."""
        if owner:
            return f"  its options: {self.prog} options {owner}"
        return f"  all options: {self.prog} fit --help; of a class: {self.prog} options CLASS"


def _shown(key: str) -> str:
    return key.removesuffix(".init_args") or "the command line"


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _unknown_option(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    first = match["name"].split()[0]
    if re.match(r"-[a-z]\w", first):
        return [f"{first}: not expected; write -{first}", asked.help("")]
    if not leaf.owner and leaf.text.startswith("unrecognized") and not first.startswith("-"):
        return [f"{first}: not expected; write options as --key=value, files after -c", asked.help("")]
    name = first.lstrip("-").partition("=")[0]
    if match.groupdict().get("group"):
        name = f"{match['group']}.{name}"
    key = f"{leaf.key}.{name}".lstrip(".")
    stem = key.rpartition(".")[0]
    own = [f"{leaf.key}.{option}" for option in option_names(leaf.owner)] if leaf.owner else asked.options()
    known = [option for option in (*own, *flat_keys(asked.words)) if not _same(option, key)]
    beside = [option for option in own if option.rpartition(".")[0] == stem and option in known]
    if leaf.owner or beside:
        alike = near(name, beside) or near(name, known)
    else:  # perhaps its beginning is wrong
        tops = list(dict.fromkeys(option.partition(".")[0] for option in asked.options()))
        alike = near(name.partition(".")[0], tops) if "." in name else near(name, tops)
        alike = [top for top in alike if top != name.partition(".")[0]] or near(name, known)
    hint = [f"  did you mean {' or '.join(dict.fromkeys(alike))}?"]
    if not alike:
        hint = ["  correct the name, or leave it out"]
    said = (
        f"{key}: {leaf.owner} has no option {name}" if leaf.owner else f"{first}: no option of this command"
    )
    return [said, *asked.found(key), *hint, asked.help(leaf.owner)]


def _same(one: str, other: str) -> bool:
    return one.replace(".init_args", "") == other.replace(".init_args", "")


def _unknown_class(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    parts = match.groupdict()
    inside = "name" not in parts  # inside `Problem with given class_path`
    name = leaf.owner if inside else parts["name"] or (leaf.value or "").strip("'\"")
    key = leaf.key.removesuffix(".init_args")
    base = base_of(leaf.outer if inside else leaf.owner, key)
    known = [path_of(found) for found in classes(base)]
    kind = base.__name__ if base is not None else "class"
    said = f"{_shown(key)}={_cut(name) or repr('')}: no {kind} of that name"
    if "base" in parts:
        said = f"{_shown(key)}={_cut(name)}: is no {parts['base'].rpartition('.')[2]}"
    if name.endswith((".yaml", ".yml", ".json")):
        said = f"{_shown(key)}={name}: no such file"
    hint = asked.meant(name, known)
    if not hint and base is not None and known:
        listed = ", ".join(path.rpartition(".")[2] for path in known)
        hint = [f"  there are: {_cut(listed, 400)}"]
    hint = hint or ["  correct the name"]
    return [said, *asked.found(key), *hint, f"  all classes: {asked.prog} options"]


def _wrong_type(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    value = leaf.value or ""
    found = re.findall(r"(?:Expected a|Not of type|Not a valid subclass of) (?:<class ')?([\w.]+)", leaf.text)
    kinds = [class_in_words(name.rstrip(".")) for name in found]
    literals = [
        word
        for inside in re.findall(r"Literal\[(.*?)\]", leaf.text)
        for word in re.findall(r"'(.*?)'", inside)
    ]
    kinds = [kind for kind in kinds if kind != "a Literal"]
    expected = " or ".join(dict.fromkeys([*([f"one of {', '.join(literals)}"] if literals else []), *kinds]))
    hint = asked.meant(value, literals) if literals else []
    if "a whole number" in kinds and re.fullmatch(r"-?\d+\.0+|-?\d+(\.\d+)?[eE]\d+", value):
        hint = [f"  did you mean {round(float(value))}?"]
    if not hint and found and not set(kinds) <= set(PLAIN.values()):
        hint = ["  give the name of a class, or {class_path: …, init_args: {…}}"]
    shown = value if value[:1] in ("'", '"', "[", "{") else repr(value)
    return [
        f"{_shown(leaf.key)}: {_cut(shown)} is not {expected}",
        *asked.found(leaf.key),
        *hint,
        asked.help(leaf.owner),
    ]


def _no_mapping(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    return [
        f"{_shown(leaf.key)}: {match['kind']} given; write a mapping {{name: value}} or a class path",
        *asked.found(leaf.key),
        asked.help(leaf.owner),
    ]


def _required(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    names = [name.strip() for name in match["name"].split(",")]
    if not leaf.owner:
        keys = ", ".join(name.partition(".")[2] or name for name in names)
        return [
            f"{keys}: not given; give a whole configuration first: -c configs/pretrain.yaml",
            asked.help(""),
        ]
    keys = ", ".join(f"{leaf.key}.{name}" for name in names)
    return [
        f"{keys}: not given, or null ({leaf.owner} needs {'it' if len(names) == 1 else 'them'})",
        *asked.found(leaf.key),
        f"  give it in a layer or as --{leaf.key}.{names[0]}=…",
        asked.help(leaf.owner),
    ]


def _group(match: re.Match[str], leaf: Leaf, asked: _Asked) -> list[str]:
    return [
        f"{_shown(leaf.key)}: {_cut(match['name'])!r} is neither a file nor a mapping of its options",
        *asked.found(leaf.key),
        f"  give its options one by one, --{leaf.key}.…=…, or as a mapping {{name: value}}",
        asked.help(leaf.owner),
    ]


_Explain = Callable[[re.Match[str], Leaf, _Asked], list[str]]
_KINDS: tuple[tuple[str, _Explain], ...] = (
    (r"Group '(?P<group>.+?)' does not accept option '(?P<name>.+?)'", _unknown_option),
    (r"does not accept option '(?P<name>.+?)'", _unknown_option),
    (r"Option '(?P<name>.+?)' is not accepted", _unknown_option),
    (r"unrecognized arguments: (?P<name>.+)", _unknown_option),
    (r"Import path (?P<name>\S*?) ?does not correspond to a subclass of (?P<base>\S+)", _unknown_class),
    (r"Import path (?P<name>\S+) does not implement protocol (?P<base>\S+)", _unknown_class),
    (r"Expected a dot import path string: ?(?P<name>.*)", _unknown_class),
    (r"Unexpected import path format: ?(?P<name>.*)", _unknown_class),
    (r"module '[\w.]+' has no attribute '\w+'|No module named '[\w.]+'", _unknown_class),
    (r"Importing '\S+' is not allowed", _unknown_class),
    (r"'(?P<kind>\w+)' object has no attribute 'keys'", _no_mapping),
    (r"argument of type '(?P<kind>\w+)' is not iterable", _no_mapping),
    (r"arguments? (?:are|is) required: (?P<name>.+)", _required),
    (r'Key "(?P<name>\S+)" is required', _required),
    (r"Unable to load config '(?P<name>.*?)'", _group),
    (r"Expected a |Not a valid subclass of|Not of type", _wrong_type),
)


def unresolved(error: Exception, words: Sequence[str]) -> str:
    """Return what is wrong with a `${…}`, in a few lines.

    Args:
        error: OmegaConf's.
        words: The command line.
    """
    text = str(error)
    key = re.search(r"full_key: (\S+)", text)
    where = re.sub(r"\[\d+\]", "", key[1].partition(".")[2]) if key else ""
    first = text.partition("\n")[0]
    lines = [f"{where or 'the configuration'}: {first}; correct the ${{…}}"]
    value = text.partition("input '")[2].partition("'")[0]
    if type(error).__name__ == "GrammarParseError":
        lines = [f"{where}: {value or 'its value'} is no reference; write ${{run_dir}} or another key"]
    elif found := re.search(r"Environment variable '(\w+)' not found", first):
        lines = [
            f"{where}: no environment variable {found[1]}; set it, or write ${{oc.env:{found[1]},default}}"
        ]
    elif found := re.search(r"resolved to '(?:\w+\.)(.+?)'\)", first):
        wanted = found[1]
        alike = near(
            wanted, [key for key in flat_keys(words) if not _same(key, where) and not _same(key, wanted)]
        )
        lines = [
            f"{where}: follows ${{{wanted}}}, which is not in the configuration",
            *([f"  did you mean {' or '.join(alike)}?"] if alike else []),
            f"  or give it a value of its own: --{where}=…",
        ]
    given = place(where, words) if where else None
    return "\n".join([lines[0], *([f"  given: {given}"] if given else []), *lines[1:]])
