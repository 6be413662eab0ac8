"""What the build adds to docs/: pages from elsewhere in the repository, and a reference from the code."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from website import foreign, reference, repository


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    made = {place: (repository.ROOT / path).read_text("utf-8") for place, path in repository.PAGES.items()}
    texts = {file.src_uri: _filled(file.src_uri, file.content_string) for file in files.documentation_pages()}
    texts |= made
    linked = {path for place, text in texts.items() for path in repository.targets(text, place)}
    for place, text in {**made, **repository.sources(linked)}.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made from the code, and point links at the site's own pages."""
    return repository.relinked(_filled(page.file.src_uri, markdown), page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Give the theme's search dialog, which has none, a name that a screen reader can say."""
    return output.replace(
        'data-md-component="search" role="dialog"',
        'data-md-component="search" role="dialog" aria-label="Search"',
        1,
    )


@cache
def _filled(place: str, markdown: str) -> str:
    """A page with what the code says put in."""
    return reference.filled(markdown) if place.startswith("reference/") else markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site whose pages would fetch anything from elsewhere."""
    if found := foreign.loads(Path(config.site_dir)):
        raise PluginError("the site would fetch from elsewhere: " + "; ".join(found[:5]))
