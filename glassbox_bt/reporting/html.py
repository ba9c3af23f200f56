"""Renders a report as one self-contained HTML page: style and drawings inside, no script, nothing fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glassbox_bt.reporting.figures import Look, to_svg
from glassbox_bt.reporting.report import Figure, Report, plain_text

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["html_page", "plain_page"]


def html_page(report: Report) -> str:
    """The report as a page; the same report gives the same text."""
    return _environment().get_template("report.html.j2").render(report=report)


def plain_page(title: str, paragraphs: tuple[str, ...], links: tuple[tuple[str, str], ...] = ()) -> str:
    """A small page in the same style; ``links`` are (text, target)."""
    template = _environment().get_template("plain.html.j2")
    return template.render(title=title, paragraphs=paragraphs, links=links)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("glassbox_bt.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain_text
    environment.filters["drawing"] = _drawing
    environment.filters["swatch"] = _swatch
    return environment


def _drawing(figure: Figure) -> str:
    """The figure's ``<svg>`` with its title and description; made here, so it needs no escaping."""
    from markupsafe import Markup

    svg = to_svg(figure.picture, figure.key)
    end = svg.index(">") + 1
    names = Markup('<title id="{key}-title">{title}</title><desc id="{key}-desc">{words}</desc>').format(
        key=figure.key, title=plain_text(figure.title), words=plain_text(figure.alternative)
    )
    return Markup(svg[:end]) + names + Markup(svg[end:])


def _swatch(look: Look) -> str:
    """Dash pattern of a legend entry as an SVG attribute; empty for a solid line."""
    return " ".join(f"{part * look.width:g}" for part in look.dash)
