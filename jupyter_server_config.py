"""JupyterLab reads this when it is started here: its memory meter then shows the limit in force."""

from course_utils.memory import memory_limit

c.ResourceUseDisplay.mem_limit = memory_limit().bytes  # noqa: F821 (Jupyter defines it)
