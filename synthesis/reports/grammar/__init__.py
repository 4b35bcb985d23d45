"""Reports written by a grammar of phrases: thousands a second, without weights."""

from synthesis.reports.grammar.grammar_writer import DEFAULT_PHRASES, GrammarWriter

__all__ = ["DEFAULT_PHRASES", "GrammarWriter"]
