"""Hooks of MkDocs: README and other files of the repository become pages of the site.

Pages link to each other, to `results/` and to `configs/` by paths in the repository, as any viewer of
Markdown expects. Here each linked file outside `docs/` is added to the site, and the links are rewritten to
where it is in the site. `reference/` is generated: a page for each package, with its public classes.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Pages of the site whose source is not in docs/.
PAGES = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
# The target of a link or a picture, without its anchor: [text](target#anchor), ![text](target).
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
# Packages of the pages of the reference. Those of synthesis are listed: its short names are a few of many.
REFERENCE = {
    "synthesis": (
        "synthesis",
        "synthesis.concepts",
        "synthesis.cases",
        "synthesis.reports",
        "synthesis.images",
        "synthesis.filters",
        "synthesis.store",
    ),
    "datamodules": ("datamodules",),
    "lightning_modules": ("lightning_modules",),
    "callbacks": ("callbacks",),
}


def repository_path(page: str) -> str:
    """Return the path in the repository of the page `page` of the site."""
    if page in PAGES:
        return PAGES[page]
    return page if page.startswith("results/") else f"docs/{page}"


def site_path(path: str) -> str:
    """Return the path in the site of a file of the repository."""
    of_pages = {source: page for page, source in PAGES.items()}
    return of_pages.get(path) or path.removeprefix("docs/")


def targets(markdown: str, path: str) -> list[str]:
    """Return the paths in the repository that a page links to.

    Args:
        markdown: The text of the page.
        path: The path in the repository of the page.
    """
    links = LINK.findall(FENCE.sub("", markdown))
    return [posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in links]


def public_names(package: str) -> list[str]:
    """Return the dotted names of what a package makes public, by reading its source.

    They are those that its `__all__` lists. Without one, they are those of its subpackages, and the
    classes of its modules under their modules' names.

    Args:
        package: Dotted name of a package, such as `callbacks` or `synthesis.filters`.
    """
    folder = ROOT / package.replace(".", "/")
    for node in ast.parse((folder / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [f"{package}.{name}" for name in ast.literal_eval(node.value)]
    names = []
    for path in sorted(folder.iterdir()):
        name = f"{package}.{path.stem}"
        if (path / "__init__.py").is_file():
            names += public_names(name)
        elif path.suffix == ".py":
            classes = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef))
            names += [f"{name}.{a_class.name}" for a_class in classes if not a_class.name.startswith("_")]
    return names


def reference(page: str) -> str:
    """Return the Markdown of a page of the reference: its packages, each class under its shortest name.

    Args:
        page: The top-level package that the page is about.
    """
    text, seen = f"# `{page}`\n", set()
    for package in REFERENCE[page]:
        about = (
            ast.get_docstring(ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text())) or ""
        )
        heading = f"\n## `{package}`\n" if len(REFERENCE[page]) > 1 else ""
        text += f"{heading}\n{about}\n"
        for name in public_names(package):
            if (short := name.rpartition(".")[2]) not in seen:
                seen.add(short)
                text += f"\n::: {name}\n"
    return text


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README, results and whatever else the pages link to, and the pages of the reference.

    Args:
        files: The files of `docs/`.
        config: The configuration of the site.
    """
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for package in REFERENCE:
        files.append(File.generated(config, f"reference/{package}.md", content=reference(package)))
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        linking = waiting.pop()
        for target in targets(linking.content_string, repository_path(linking.src_uri)):
            uri = site_path(target)
            if files.get_file_from_path(uri) is None and (ROOT / target).is_file():
                added = File.generated(
                    config, uri, abs_src_path=str(ROOT / target), inclusion=InclusionLevel.NOT_IN_NAV
                )
                files.append(added)
                if added.is_documentation_page():
                    waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page from paths in the repository to paths in the site.

    Args:
        markdown: The text of the page.
        page: The page.
        config: The configuration of the site.
        files: The files of the site.
    """
    path, uri = repository_path(page.file.src_uri), page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[1]))
        return posixpath.relpath(site_path(target), posixpath.dirname(uri) or ".")

    return LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """End a paragraph before a block of code with one colon: docstrings write two, as reStructuredText does.

    Args:
        html: The page, rendered.
        page: The page.
        config: The configuration of the site.
        files: The files of the site.
    """
    return html.replace("::</p>", ":</p>")
