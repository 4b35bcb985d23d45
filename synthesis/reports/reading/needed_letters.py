"""Letters without which a regular expression cannot match: looking for them is faster than matching."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_parser: Any = re._parser  # type: ignore[attr-defined]  # the parser of `re` itself: its tree, not our guess


def needed_letters(pattern: str) -> frozenset[str]:
    """Return strings of which every text that an expression matches holds at least one.

    Args:
        pattern: A regular expression that heeds the case.

    Returns:
        The strings: of those sets that will do, the one whose shortest string is longest. Empty if the
        expression can match without any letters that are known.
    """
    return _of_sequence(_parser.parse(pattern))


def _of_sequence(items: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    candidates, run = [], ""
    for operation, argument in [*items, (None, None)]:
        if operation is _parser.LITERAL:
            run += chr(argument)
            continue
        candidates += [frozenset({run})] if run else []
        run = ""
        if operation is _parser.SUBPATTERN:
            candidates.append(_of_sequence(argument[-1]))
        elif operation is _parser.BRANCH:
            branches = [_of_sequence(branch) for branch in argument[1]]
            candidates.append(frozenset().union(*branches) if all(branches) else frozenset())
        elif operation in (_parser.MAX_REPEAT, _parser.MIN_REPEAT) and argument[0] > 0:
            candidates.append(_of_sequence(argument[2]))
    return max(
        filter(None, candidates),
        key=lambda strings: (min(map(len, strings)), -len(strings)),
        default=frozenset(),
    )
