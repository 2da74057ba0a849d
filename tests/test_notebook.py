"""What cells need around the lesson."""

import pytest

from course_utils import claim
from tests.running import run


def test_a_claim_is_a_sentence_that_can_fail(capsys):
    claim(2 > 1, "Two is more than 1.")
    assert capsys.readouterr().out == "Two is more than 1.\n"
    with pytest.raises(AssertionError, match="Not true here: One is more than 2"):
        claim(1 > 2, "One is more than 2.")
    claim(1 > 2, "One is more than 2.", asked=False)
    assert capsys.readouterr().out == "One is more than 2. (Nothing is claimed on these pictures.)\n"


def test_quiet_silences_what_c_code_writes_and_no_exception():
    code = "import os, course_utils as c\nwith c.quiet():\n    os.write(2, b'noise')\nos.write(2, b'heard')"
    assert run("-c", code).stderr == "heard"
    raised = run("-c", code.replace("os.write(2, b'noise')", "raise ValueError('seen')"), fails=True)
    assert "ValueError: seen" in raised.stderr
