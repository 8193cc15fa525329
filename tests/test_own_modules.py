"""`polyrl.own_modules`: what `'module:name'` names, and what is told of one that cannot be imported."""

from __future__ import annotations

import pytest

from polyrl.own_modules import import_name


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a module into the working directory, which is searched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")

    def write(name, text):
        file = tmp_path / (name.replace(".", "/") + ".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    return write


def test_it_is_what_the_module_has(written):
    written("nets_of_mine", "def graph_fn(mode, features):\n    return features\n")
    assert import_name("--torso", "nets_of_mine:graph_fn")("train", 3) == 3
    written("package_of_mine.deeper", "value = 7\n")
    assert import_name("--torso", "package_of_mine.deeper:value") == 7


@pytest.mark.parametrize(
    ("name", "text", "value", "words"),
    [
        ("wrong_a", "def make(:\n", "wrong_a:make", r"'wrong_a' cannot be imported: SyntaxError in .*wrong_a\.py, line 1: "),
        ("wrong_b", "x = 1\nx = y\n", "wrong_b:x", r"'wrong_b' cannot be imported: NameError in .*wrong_b\.py, line 2: "),
        ("wrong_c", "import nowhere_c\n", "wrong_c:x", r"cannot be imported: No module named 'nowhere_c'\.$"),
        ("wrong_d", "x = 1\n", "nowhere_d:x", r"No module named 'nowhere_d'\. It is looked for in the working directory, "),
        ("networks_g", "x = 1\n", "network_g:x", r"PYTHONPATH says\. Did you mean 'networks_g'\?$"),
        ("wrong_e", "x = 1\n", "nowhere_e/wrong_e.py:x", r"A module is named as in an import: nowhere_e\.wrong_e:x\."),
        ("wrong_f", "graph_fn = 1\n", "wrong_f:graph_fm", r"'wrong_f' has no 'graph_fm'\. Did you mean 'graph_fn'\?"),
    ],
)
def test_what_cannot_be_had_is_told_with_argument_value_and_place(written, name, text, value, words):
    written(name, text)
    with pytest.raises(ValueError, match=rf"^--torso='{value}': the module .*{words}"):
        import_name("--torso", value)
