"""What every panel is: controls above a sentence and a picture, with or without a kernel."""

import html
import os
import threading
from collections.abc import Sequence

import ipywidgets as widgets

from ..plots import Picture

SIDES = [64, 128, 256, 512, 1024, 2048]

# ipywidgets draws the arrow of a dropdown as a dark picture, which a dark theme hides. The browser's own
# arrow follows the theme, and JupyterLab says on its <body> which one is on.
# And JupyterLab takes the arrow keys, which choose in a dropdown, for its own: they move to another cell. An
# attribute that its toolkit, Lumino, knows leaves a control its keys; Escape goes back to the cell. More
# attributes name the panel and have its new sentence read aloud. A widget can set one in no other way.
STYLE = """<style onload="const panel = this.closest('.course-panel');
    Object.entries({role: 'group', 'aria-label': 'TITLE', 'aria-live': 'polite'})
        .forEach(attribute => panel.setAttribute(...attribute));
    panel.addEventListener('focusin', event => { event.target.dataset.lmSuppressShortcuts = '' });
    panel.addEventListener('keydown', event => {
        if (event.key === 'Escape') panel.closest('.jp-Cell')?.focus() })">
.course-panel .widget-dropdown > select {
  appearance: auto; -webkit-appearance: auto; background-image: none; padding-right: 4px;
}
[data-jp-theme-light="false"] .course-panel .widget-dropdown > select { color-scheme: dark; }
.course-panel .jupyter-widgets :focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2) !important;
}
.course-panel .widget-inline-hbox { max-width: calc(100% - 4px); }
</style>"""


class Panel:
    """Controls above a sentence and a picture. A plain class, not a Widget.

    Override `draw`. A subclass of Widget that also returns a picture shows nothing on ipywidgets 7.7.1
    (Colab); a plain class that returns text, PNG and its box's view works on 7 and 8, and a notebook
    opened without a kernel still shows the PNG.

    Attributes:
        title: what the panel is called.
        box: the widget to show.
        controls: name -> control; set `.value` to drive the panel.
        view: the sentence and the picture below it.
        problem: what went wrong with the last drawing; empty if nothing did.
        shown: the `Picture` on show.
        calls: how often the picture was drawn.
    """

    title = ""

    def __init__(self, rows: list[list[widgets.Widget]], actions: Sequence[widgets.Widget] = ()):
        self.controls = {c.description: c for row in rows for c in row if c.description}
        # Sentence and picture are one value: two would reach the browser one after the other, and disagree.
        self.view, self.problem = widgets.HTML(), widgets.HTML()
        style = widgets.HTML(STYLE.replace("TITLE", self.title), layout={"display": "none"})
        above = [*map(_row, rows), *([_row(actions)] if actions else [])]
        self.box = widgets.VBox([*above, self.view, self.problem, style])
        self.box.add_class("course-panel")
        self.calls, self.shown, self._drawing, self._lock = 0, None, False, threading.RLock()
        for control in self.controls.values():
            control.observe(self.redraw, names="value")
        self.redraw()

    def draw(self) -> tuple[str, Picture]:
        """The sentence (plain text) and the picture for the controls as they stand.

        It may set a control that has gone out of range: that does not draw anew.
        """
        raise NotImplementedError

    def redraw(self, _change: object = None) -> None:
        """Draws anew. A thread that wants it waits for another that draws."""
        with self._lock:
            self._redraw()

    def _redraw(self) -> None:
        if self._drawing:  # `draw` itself has set a control, and what it is drawing shows that already
            return
        self._drawing = True
        try:
            sentence, self.shown = self.draw()
            self.calls += 1
            # The picture's own words would say the sentence a second time.
            picture = f'<div aria-live="off">{self.shown.html}</div>'
            self.view.value = f"<p>{html.escape(sentence)}</p>{picture}"
            self.problem.value = ""
        except Exception as error:
            # An exception in a callback is shown nowhere in a notebook: say it here.
            self.problem.value = (
                f'<p role="alert"><b>{html.escape(f"{type(error).__name__}: {error}")}</b></p>'
            )
            if "PYTEST_CURRENT_TEST" in os.environ:
                raise
        finally:
            self._drawing = False

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        bundle = {"text/plain": type(self).__name__, "application/vnd.jupyter.widget-view+json": view}
        if self.shown:  # else the first drawing failed, and the box says why
            bundle |= {"text/plain": self.shown.alt, "image/png": self.shown.base64}
        return bundle


def _row(controls: Sequence[widgets.Widget]) -> widgets.HBox:
    """Controls side by side; on a narrow page, or one zoomed to 200 %, they go on in the next line."""
    return widgets.HBox(controls, layout={"flex_flow": "row wrap"})


def dropdown(description: str, options: list, value) -> widgets.Dropdown:
    # Wide enough for the longest description, which ipywidgets would cut.
    return widgets.Dropdown(
        description=description, options=options, value=value, style={"description_width": "initial"}
    )


def number_and_slider(description: str, least, most, value, step=1):
    """A number box and a slider that move together, and their links."""
    # A slider has no accessible name (ipywidgets 7 and 8), so a named number box goes with it.
    box, slider = (
        (widgets.BoundedIntText, widgets.IntSlider)
        if isinstance(step, int)
        else (widgets.BoundedFloatText, widgets.FloatSlider)
    )
    limits = {"min": least, "max": most, "step": step, "value": value}
    box = box(description=description, style={"description_width": "initial"}, **limits)
    slider = slider(readout=False, continuous_update=False, **limits)
    return box, slider, [widgets.link((slider, a), (box, a)) for a in ("value", "max")]
