"""What a page of JupyterLab shows: pictures, in any light, and what axe finds to complain of."""

import base64
import io
import re
import time
from itertools import product
from pathlib import Path

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

SHOTS = Path(__file__).parent / "screenshots"


def picture(page, alt, timeout=20_000):
    """The pixels of the picture whose alt text matches; waits until it is there."""
    image = page.get_by_role("img", name=re.compile(alt)).last
    image.wait_for(timeout=timeout)
    data = base64.b64decode(image.get_attribute("src").split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), int)


def show(page, alt, name, likeness=0.9):
    """Takes a screenshot, in which the picture with that alt text has to be seen."""
    path = SHOTS / f"{name}.png"
    wanted = picture(page, alt)
    image = page.get_by_role("img", name=re.compile(alt)).last
    deadline = time.monotonic() + 20
    while True:
        image.scroll_into_view_if_needed()
        page.screenshot(path=path)
        box = image.bounding_box()
        if box and shows(Image.open(path), box, wanted, likeness):
            return
        assert time.monotonic() < deadline, f"{path.name} does not show {alt!r} at {box}"


def shows(screenshot, box, wanted, likeness=0.9):
    """Whether the picture is in that part of the screenshot: their pixels have to go together."""
    page = screenshot.convert("L")
    # Text puts a picture half a pixel down the page, and the browser draws it at one of the two rows. Lines
    # of one pixel that lie beside each other have little in common: 0.75, on each other 1.00.
    return any(_alike(page, box, wanted, *shift) > likeness for shift in product((0, -1, 1), repeat=2))


def _alike(page, box, wanted, right, down):
    left, top = round(box["x"]) + right, round(box["y"]) + down
    seen = page.crop((left, top, left + round(box["width"]), top + round(box["height"])))
    seen = np.asarray(seen.resize(wanted.shape[::-1]), float)
    return np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] if seen.std() > 0 else 0


def show_in_other_lights(page, alt, name):
    """The panel with that picture on a dark page, and on one zoomed to 200 %: every control is seen."""
    wide = page.viewport_size
    assert audit(page) == []
    try:
        theme(page, "Dark")
        page.wait_for_function(  # a dropdown's arrow is the browser's, in the theme's colours
            """() => [...document.querySelectorAll('.course-panel select')].every(select => {
            const style = getComputedStyle(select); return style.appearance === 'auto'
                && style.colorScheme === 'dark' && style.backgroundImage === 'none' })"""
        )
        show(page, alt, f"{name}_dark")
        assert audit(page) == []
        page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
        page.set_viewport_size({"width": 640, "height": 900})  # what 200 % leaves of 1280
        page.wait_for_function(
            """() => [...document.querySelectorAll('.course-panel')].every(panel => {
            const right = part => part.getBoundingClientRect().right;
            const parts = [...panel.querySelectorAll('select, input, img, .noUi-target')];
            return right(panel) <= innerWidth && parts.length > 2
                && parts.every(part => right(part) <= right(panel)) })"""
        )
        show(page, alt, f"{name}_dark_200", likeness=0.7)  # drawn smaller, it loses its thin lines
    finally:
        page.set_viewport_size(wide)
        page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
        theme(page, "Light")


def theme(page, name):
    page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {name}'}})")
    page.wait_for_function(
        f"() => document.body.dataset.jpThemeLight === '{'true' if name == 'Light' else 'false'}'"
    )
    # Gone a moment later. JupyterLab takes it away twice, and complains, if a change follows at once.
    page.locator("#jupyterlab-splash").wait_for(state="detached")


# A slider's handle has no name in ipywidgets 7 and 8: that is forgiven where a number box with a name is
# linked to it, in the same row.
SLIDERS = """nodes => nodes.filter(selector => {
    const handle = document.querySelector(selector);
    const box = handle.closest('.widget-hbox')?.querySelector('input[type=number]');
    return !(handle.matches('.noUi-handle') && box?.labels[0]?.innerText.trim()
        && Number(box.value) === Number(handle.ariaValueNow));
})"""


def audit(page, within=".jp-OutputArea-output"):
    """What axe finds wrong, serious or critical, in the outputs of the notebook: one line each."""
    # JupyterLab's <body> has no height, for all that stands in it is placed absolutely; to axe, whatever lies
    # outside of it is hidden, and a hidden text has no contrast.
    page.evaluate("document.body.style.height = '100vh'")
    found = []
    for wrong in Axe().run(page, context=within).response["violations"]:
        selectors = [node["target"][0] for node in wrong["nodes"]]
        if wrong["id"] == "aria-input-field-name":
            selectors = page.evaluate(SLIDERS, selectors)
        if selectors and wrong["impact"] in ("serious", "critical"):
            found.append(f"{wrong['id']} ({wrong['impact']}): {wrong['help']}: {selectors}")
    return found
