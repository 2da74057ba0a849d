"""JupyterLab and Chromium, driven as a learner would: no sleeping, only waiting for conditions."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import TimeoutError, sync_playwright

FLAGS = [
    "--no-sandbox",  # CI runs as root, and Chromium's sandbox refuses root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # nothing but 127.0.0.1 is asked for
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str | None:
    """Chromium or Chrome as installed here; $CHROMIUM names another. None: there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def lab(root: Path, *options: str, command=(sys.executable, "-m", "jupyterlab"), **variables: str):
    """A JupyterLab of its own over `root`; yields (address, token, pid). It reads no settings of the user's.

    Args:
        options: more arguments for it.
        command: what starts it.
        variables: put into its environment.
    """
    home = Path(tempfile.mkdtemp(prefix="lab-"))
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # a pop-up asks
        "docmanager-extension/plugin": {"autosave": False},  # after two minutes, over the stored notebook
    }
    for name, values in settings.items():
        file = home / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
               "IPYTHONDIR": "ipython"}  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    env |= {name: str(home / folder) for name, folder in folders.items()} | variables
    port, token, log = _free_port(), secrets.token_hex(16), home / "lab.log"
    command = [*command, "--no-browser", "--allow-root", "--expose-app-in-browser",
               "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", *options]  # fmt: skip
    with log.open("w") as out:
        server = subprocess.Popen(
            command, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2).read()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", token, server.pid
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def browser_page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        try:
            yield browser.new_context(viewport={"width": 1280, "height": 1200}).new_page()
        finally:
            browser.close()


def open_notebook(page, address: str, token: str, path: str) -> None:
    """Opens a notebook in JupyterLab and waits until its kernel is idle."""
    page.goto(f"{address}/lab/tree/{path}?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp !== undefined", timeout=90_000)
    page.evaluate("async () => { await jupyterapp.started; await jupyterapp.restored; }")
    page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook").wait_for(timeout=60_000)
    page.wait_for_function(
        """() => { const s = jupyterapp.shell.currentWidget?.sessionContext;
        return s && s.isReady && s.session?.kernel?.connectionStatus === 'connected'
               && s.session.kernel.status === 'idle' }""",
        timeout=90_000,
    )


def run_all(page) -> bool:
    """Runs every cell: whether none raised."""
    return _commanded(page, "async () => await jupyterapp.commands.execute('notebook:run-all-cells')")


def run_cells(page, *texts: str) -> bool:
    """Runs, for each text, the code cell that contains it: whether all were found and none raised."""
    return _commanded(
        page,
        """async (texts) => {
        const notebook = jupyterapp.shell.currentWidget.content;
        for (const text of texts) {
            const holds = cell => cell.model.type === 'code' && cell.model.sharedModel.source.includes(text);
            notebook.activeCellIndex = notebook.widgets.findIndex(holds);
            if (!holds(notebook.activeCell)) throw new Error('no code cell contains: ' + text);
            if (!await jupyterapp.commands.execute('notebook:run-cell')) return false;
        } return true; }""",
        texts,
    )


def _commanded(page, code: str, argument=None) -> bool:
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.ready; }")
    page.set_default_timeout(300_000)
    try:
        return page.evaluate(code, argument)
    finally:
        page.set_default_timeout(30_000)


def stop_while_it_runs(page, code: str, begun: str) -> tuple[str, int]:
    """Runs code in the kernel, presses the notebook's stop button once it has printed `begun`, again if
    that was not heard; the error's name ("" if the code ended by itself), and how often it was pressed."""
    page.evaluate(
        """(code) => { window.said = ''; window.error = null;
        const k = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const f = k.requestExecute({code}); f.onIOPub = m => { const c = m.content;
        if (m.header.msg_type === 'stream') window.said += c.text; };
        f.done.then(reply => { window.error = reply.content.ename || '' }); }""",
        code,
    )
    # Looked at by the clock: a page that a busy machine does not draw has no frames to look at.
    page.wait_for_function("begun => window.said.includes(begun)", arg=begun, timeout=90_000, polling=100)
    stop = page.locator("[data-command='notebook:interrupt-kernel'], [data-icon='ui-components:stop']").first
    presses, error = 0, None
    while error is None and presses < 3:
        stop.click()
        presses += 1
        with contextlib.suppress(TimeoutError):
            page.wait_for_function("() => window.error !== null", timeout=20_000)
        error = page.evaluate("window.error")
    return error, presses


def memory_meter(page) -> str:
    """What JupyterLab's memory meter says, once it does: "Mem: 102.64 / 1907.35 MB"."""
    says = "document.querySelector('#jp-main-statusbar').innerText.match(/Mem: [0-9.]+ [/] [0-9.]+ MB/)"
    page.wait_for_function(f"() => {says}")
    return page.evaluate(f"() => {says}[0]")


def shut_down(page) -> None:
    """Ends the notebook's kernel, as its last line asks the learner to."""
    page.evaluate("async () => { await jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")


def kernel_says(page, code: str) -> str:
    """Runs code in the notebook's kernel; what it printed."""
    return page.evaluate(
        """async (code) => { let t = '';
        const k = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const f = k.requestExecute({code}); f.onIOPub = m => { const c = m.content;
        if (m.header.msg_type === 'stream') t += c.text;
        if (m.header.msg_type === 'error') t += c.ename + ': ' + c.evalue }; await f.done; return t }""",
        code,
    )
