"""Checks of arguments: what passes comes back ready for use, what does not is named."""

import datetime
import math
from fractions import Fraction

import numpy as np
import pytest

from course_utils.checks import (
    check_between,
    check_choice,
    check_flag,
    check_guess,
    check_positive,
    check_size,
    check_whole,
)
from tests.running import answer

NO_NUMBERS = (None, "1", True, np.True_, 1j, np.timedelta64(1, "s"), datetime.timedelta(1), [1], np.ones(1))


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
def test_whole_numbers_of_any_make_become_an_int(value):
    whole = check_whole("n", value, 0, 3)
    assert whole == 3 and type(whole) is int


@pytest.mark.parametrize("value", [*NO_NUMBERS[:-1], 2.0, np.float32(2), -1, 4])
def test_what_is_no_whole_number_in_range_is_named(value):
    with pytest.raises(ValueError, match="^n must be a whole number from 0 to 3, got "):
        check_whole("n", value, 0, 3)


@pytest.mark.parametrize("value", [0, 2, 0.5, np.float32(1.5), np.int16(2), Fraction(1, 3)])
def test_numbers_of_any_make_lie_between(value):
    check_between("zoom", value, 2.0)
    check_guess(value)
    assert value == 0 or check_positive("zoom", value, "turns") is value


@pytest.mark.parametrize("value", [*NO_NUMBERS, math.nan, math.inf, -1, 2.1])
def test_what_does_not_lie_between_is_named(value):
    with pytest.raises(ValueError, match="^zoom must be a number from 0 to 2, got "):
        check_between("zoom", value, 2.0)


@pytest.mark.parametrize("value", [*NO_NUMBERS, math.nan, math.inf, 0, -1])
def test_what_is_not_positive_is_named(value):
    with pytest.raises(ValueError, match="^pause must be a positive number of seconds, not "):
        check_positive("pause", value, "seconds")


@pytest.mark.parametrize("value", [*NO_NUMBERS[1:], math.nan, math.inf])
def test_a_guess_is_a_number_or_none(value):
    assert check_guess(None) is None
    with pytest.raises(TypeError, match="^my_guess must be a plain number such as 100, not "):
        check_guess(value)


def test_flags_are_pythons_or_numpys():
    for value in (True, False, np.True_, np.False_):
        assert check_flag("shuffle", value) is bool(value)
    for value in (None, 0, 1, "no", np.int8(1), np.ones(1, bool)):
        with pytest.raises(ValueError, match="^shuffle must be True or False, got "):
            check_flag("shuffle", value)


def test_a_choice_is_one_of_a_few_words():
    assert check_choice("rule", "ceil", ("ceil", "floor")) == "ceil"
    for value in ("round", None, ["ceil"]):
        with pytest.raises(ValueError, match="^rule must be one of 'ceil', 'floor'; got "):
            check_choice("rule", value, ("ceil", "floor"))


def test_a_size_is_two_whole_numbers_in_an_order():
    assert check_size("target_size", np.array([3, 4])) == (3, 4)
    for value in (None, 8, (8,), (8, 8, 1), (0, 8), (8.5, 8), {3, 4}, {3: 4}, "88"):
        with pytest.raises(ValueError, match=r"^target_size must be \(height, width\), two whole numbers"):
            check_size("target_size", value)


def test_no_library_is_needed():
    code = "import json, sys, course_utils.checks; print(json.dumps(sorted({'numpy'} & set(sys.modules))))"
    assert answer(code) == []
