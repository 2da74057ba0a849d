"""Every panel by hand, in a real browser: each control by keyboard, by typing and by mouse; seen by axe.

The panels stand in a notebook of their own, made for this; `tests/test_panels.py` says what makes each.
"""

import ast

import nbformat
import pytest

from tests.running import ROOT
from tests.test_panels import PANELS

from . import MARKS, labdrive
from .looking import audit, theme

pytestmark = MARKS
NAMES = [name for name in PANELS if name != "true, lesions unknown"]  # the same controls as "true"
ROLES = {"Dropdown": "combobox", "Checkbox": "checkbox"} | dict.fromkeys(
    ("BoundedIntText", "BoundedFloatText"), "spinbutton"
)
SET_UP = "from tests.test_panels import PANELS, move"


@pytest.fixture(scope="module")
def opened(xrays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("panels")
    cells = [SET_UP, *(f"panel = PANELS[{name!r}]()\npanel" for name in NAMES)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    # Else JupyterLab asks which kernel.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks/panels.ipynb")
    return folder, {"COURSE_DATA": str(xrays), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def shared(lab_page):
    """The notebook, opened once: its kernel has loaded what the panels need."""
    lab_page.open("panels.ipynb")
    assert labdrive.run_cells(lab_page, SET_UP)
    yield lab_page
    labdrive.shut_down(lab_page)


class Shown:
    """A panel in the page, and what it says in its kernel."""

    def __init__(self, page, name):
        self.page, page.problems[:] = page, []
        page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        assert labdrive.run_cells(page, SET_UP, f"PANELS[{name!r}]()")
        self.box = page.locator(".course-panel")
        self.box.locator("img").wait_for()
        self.box.scroll_into_view_if_needed()

    def asks(self, code):
        return labdrive.kernel_says(self.page, f"print({code})").strip()

    @property
    def alt(self):
        return self.box.locator("img").get_attribute("alt")

    def moved(self, how, *arguments):
        """Moves a control: the picture becomes another, by one call."""
        calls, alt = int(self.asks("panel.calls")), self.alt
        how(*arguments)
        self.page.wait_for_function(
            "before => document.querySelector('.course-panel img').alt !== before", arg=alt, polling=50
        )
        assert int(self.asks("panel.calls")) == calls + 1
        assert self.asks("panel.shown.alt") == self.alt

    def press(self, control, *keys):
        control.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, control, text):
        control.fill(text)
        control.press("Enter")

    def drag(self, slider, share):
        """Drags a handle to that share of its way, in steps as a hand does."""
        handle = slider.locator(".noUi-handle").bounding_box()
        way = slider.locator(".noUi-base").bounding_box()
        y = handle["y"] + handle["height"] / 2
        self.page.mouse.move(handle["x"] + handle["width"] / 2, y)
        self.page.mouse.down()
        self.page.mouse.move(way["x"] + way["width"] * share, y, steps=15)
        self.page.mouse.up()


@pytest.fixture(params=NAMES)
def panel(shared, request):
    shown = Shown(shared, request.param)
    yield shown
    assert shared.problems == []


def test_every_control_by_keyboard_by_typing_and_by_mouse(panel):
    controls = panel.asks("{name: type(control).__name__ for name, control in panel.controls.items()}")
    # The others last: some set a bound to a number.
    for name, kind in sorted(ast.literal_eval(controls).items(), key=lambda item: "Text" not in item[1]):
        control = panel.box.get_by_role(ROLES[kind], name=name, exact=True)
        if kind == "Dropdown":
            last = control.evaluate("select => select.selectedIndex === select.length - 1")
            panel.moved(panel.press, control, "ArrowUp" if last else "ArrowDown")
        elif kind == "Checkbox":
            panel.moved(panel.press, control, "Space")
            panel.moved(control.click)
        else:
            low, high = (float(control.get_attribute(end)) for end in ("min", "max"))
            raised = float(control.input_value()) < high
            panel.moved(panel.type, control, f"{high if raised else low:g}")
            panel.moved(panel.press, control, "ArrowDown" if raised else "ArrowUp", "Enter")
    for slider in panel.box.locator(".widget-slider").all():
        handle = slider.get_by_role("slider")
        now, low, high = (float(handle.get_attribute(f"aria-value{end}")) for end in ("now", "min", "max"))
        if low < high:
            below = now < (low + high) / 2
            panel.moved(panel.drag, slider, 0.9 if below else 0.1)  # one callback a drag
            panel.moved(panel.press, handle, "ArrowLeft" if below else "ArrowRight")


def test_keys_stay_in_the_panel_and_escape_leaves_it(panel):
    active = "() => jupyterapp.shell.currentWidget.content.activeCellIndex"
    here, cells = panel.page.evaluate(active), panel.page.locator(".jp-Cell").count()
    for control in panel.box.locator("select, input, button, .noUi-handle").all():
        panel.press(control, "ArrowDown", "ArrowUp", "d", "d", "m", "a", "x")  # JupyterLab's, elsewhere
        assert control.evaluate("it => it === document.activeElement")
        assert control.evaluate("it => getComputedStyle(it).outlineStyle") != "none"  # it is seen
    panel.page.keyboard.press("Escape")
    assert panel.page.evaluate("() => document.activeElement.classList.contains('jp-Cell')")
    assert panel.page.evaluate(active) == here and panel.page.locator(".jp-Cell").count() == cells
    panel.page.keyboard.press("ArrowUp")
    assert panel.page.evaluate(active) == here - 1


def test_the_kernel_moves_the_page_and_an_error_is_seen(panel):
    move = "move(next(iter(panel.controls.values())))"
    panel.moved(labdrive.kernel_says, panel.page, move)
    assert labdrive.kernel_says(panel.page, f"panel.draw = lambda: 1 / 0\n{move}") == ""
    alert = panel.box.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "ZeroDivisionError: division by zero"
    panel.box.scroll_into_view_if_needed()
    assert audit(panel.page) == []


def test_axe_finds_nothing_serious_in_any_light_and_the_sentence_is_read_aloud(panel):
    assert panel.alt == panel.asks("panel.shown.alt")
    assert panel.page.get_by_role("group", name=panel.asks("panel.title"), exact=True).count() == 1
    assert audit(panel.page) == []
    for part, read in (("p", "polite"), ("img", "off")):  # the picture's words are the sentence again
        live = "it => it.closest('[aria-live]').getAttribute('aria-live')"
        assert panel.box.locator(part).first.evaluate(live) == read
    try:
        theme(panel.page, "Dark")
        assert audit(panel.page) == []
    finally:
        theme(panel.page, "Light")


def test_a_projector_shows_controls_and_picture_together(panel):
    """1280 x 720: who moves a control sees what becomes of the picture, without scrolling."""
    page, wide = panel.page, panel.page.viewport_size
    try:
        page.set_viewport_size({"width": 1280, "height": 720})
        panel.box.scroll_into_view_if_needed()
        room = page.locator(".jp-WindowedPanel-outer").bounding_box()
        assert panel.box.bounding_box()["height"] < room["height"]
    finally:
        page.set_viewport_size(wide)


def test_axe_is_listened_to(shared):
    Shown(shared, "cut")
    assert audit(shared) == []
    spoil = "code => { const panel = document.querySelector('.course-panel'); eval(code) }"
    for code, rule in (
        ("panel.append(document.createElement('input'))", "label"),
        ("panel.querySelector('p').style.color = '#bbb'", "color-contrast"),
        ("panel.querySelector('img').removeAttribute('alt')", "image-alt"),
        ("panel.querySelector('input[type=number]').value = 2", "aria-input-field-name"),  # no longer linked
    ):
        shared.evaluate(spoil, code)
        assert any(line.startswith(rule) for line in audit(shared)), rule
