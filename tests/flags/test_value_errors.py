"""Values that a flag does not take are told in words, not by what Python says of a conversion."""

from __future__ import annotations

import pytest
from absl import flags

from polyrl.flags import FLAGS, other_names
from polyrl.flags.value_errors import in_words


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (flags.DEFINE_integer, "1e5", "flag --it=1e5: expected an integer, as 100000"),
        (flags.DEFINE_integer, "32.0", "flag --it=32.0: expected an integer, as 32"),
        (flags.DEFINE_integer, "32.5", "flag --it=32.5: expected an integer"),
        (flags.DEFINE_integer, "many", "flag --it=many: expected an integer"),
        (flags.DEFINE_integer, "", "flag --it=: expected an integer"),
        (flags.DEFINE_integer, "inf", "flag --it=inf: expected an integer"),
        (flags.DEFINE_float, "fast", "flag --it=fast: expected a number"),
    ],
)
def test_what_is_expected_is_told(kind, value, words):
    values = flags.FlagValues()
    kind("it", None, "A flag.", flag_values=values)
    with pytest.raises(flags.IllegalFlagValueError) as error:
        values(["program", f"--it={value}"])
    assert in_words(str(error.value)).startswith(words)
    assert "invalid literal" not in in_words(str(error.value))


@pytest.mark.parametrize(
    ("name", "near", "told"),
    [
        ("environment", False, " Use --env."),
        ("enviroment", True, " Use --env."),
        ("enviroment", False, ""),
        ("gama", True, " Use --discount."),
        ("policy_kwargs", True, " Use --units=64,64, --torso, or --set for the optimizer."),
        ("load-best", True, " Use --checkpoint=best."),
        ("qqq", True, ""),
    ],
)
def test_a_misspelt_name_of_another_library_is_told_if_nothing_here_is_nearer(name, near, told):
    assert other_names.hint(other_names.FLAGS, name, near) == told


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("mode", "test", ">. Use --mode=eval."),
        ("mode", "enjoy", ">. Use --mode=record, or --mode=infer for the steps in text."),
        ("mode", "EVAL", ">. Did you mean 'eval'?"),
        ("mode", "qqq", ">."),
    ],
)
def test_a_choice_of_another_library_or_another_case_is_told(flag, value, told):
    with pytest.raises(ValueError, match="value should be one of") as error:
        FLAGS[flag].parser.parse(value)
    assert str(error.value).endswith(told)
