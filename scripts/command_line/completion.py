"""Completion of `synvlp` in bash and zsh: `source <(synvlp completion)`.

Written here, for what jsonargparse makes of this parser with shtab is a script of 290 MB: it spells out the
options of every class within every class. This completes subcommands, programs, layers after `-c`, and the
options of the subcommand that stand for every model and data set; those of one class are printed by
`synvlp options CLASS`.
"""

from __future__ import annotations

import argparse
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from scripts.command_line.command_line import CommandLine
from scripts.command_line.parser import Parser
from scripts.command_line.words import WORDS
from synthesis.configuration import ROOT, shipped

_SCRIPT = string.Template("""\
[ -n "$$ZSH_VERSION" ] && autoload -Uz bashcompinit && bashcompinit
_synvlp() {
  local word="$${COMP_WORDS[COMP_CWORD]}" before="$${COMP_WORDS[COMP_CWORD-1]}" options=""
  if [ "$$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($$(compgen -W "$words" -- "$$word")); return
  fi
  if [ "$$before" = "-c" ] || [ "$$before" = "--config" ]; then
    COMPREPLY=($$(compgen -W "$layers" -- "$$word") $$(compgen -f -X '!*.yaml' -- "$$word")); return
  fi
  case "$${COMP_WORDS[1]}" in
$cases
  esac
  if [[ "$$word" == -* ]]; then
    compopt -o nospace 2>/dev/null
    COMPREPLY=($$(compgen -W "$$options" -- "$$word"))
  else
    COMPREPLY=($$(compgen -f -- "$$word"))
  fi
}
complete -o filenames -F _synvlp synvlp
""")


class _Built(Exception):
    """Carries the parser out of the command line that has built it."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser


class _Unparsed(CommandLine):
    def parse_arguments(self, parser: Any, args: Any) -> None:
        raise _Built(parser)


def options_of_subcommands() -> Mapping[str, list[str]]:
    """Return the options of `fit`, `validate`, `test` and `predict`, as they are typed."""
    try:
        _Unparsed(
            LightningModule,
            LightningDataModule,
            parser_class=Parser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            parser_kwargs={"parser_mode": "omegaconf+"},
            args=[],
        )
    except _Built as built:
        subcommands = built.parser.subcommands()
    return {
        name: sorted(option for option in parser._option_string_actions if re.match(r"--[a-z]", option))
        for name, parser in subcommands.items()
    }


def completion_script() -> str:
    """Return the script that a shell is to read."""
    options = options_of_subcommands()
    cases = "\n".join(f'    {name}) options="{" ".join(those)}" ;;' for name, those in options.items())
    layers = sorted(path.relative_to(ROOT).as_posix() for path in shipped("configs").rglob("*.yaml"))
    return _SCRIPT.substitute(words=" ".join([*options, *WORDS]), layers=" ".join(layers), cases=cases)


def main(args: Sequence[str] | None = None) -> None:
    """Print the script."""
    parser = argparse.ArgumentParser("synvlp completion", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shell", nargs="?", choices=("bash", "zsh"), help="the script is the same for both")
    parser.parse_args(args)
    print(completion_script(), end="")
