"""What the Tab key offers, by the protocol between typer and the shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from ruska.cli.main import app


@pytest.fixture
def offered(monkeypatch, capsys):
    """The words that are offered in place of the last one of a line."""

    def ask(line: str, shell: str = "bash") -> list[str]:
        monkeypatch.setenv("_RUSKA_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setattr(sys, "argv", ["ruska"])
        with pytest.raises(SystemExit):
            app(prog_name="ruska", standalone_mode=False)
        return capsys.readouterr().out.split()

    return ask


def test_commands_options_methods_models_and_settings_are_offered(offered):
    assert offered("ruska de") == ["denoise", "deblur", "demo"]
    assert {"--method", "--memory"} <= set(offered("ruska denoise a.tif --me"))
    assert offered("ruska denoise a.tif --method blinds") == ["blindspot"]
    assert "auto" in offered("ruska denoise a.tif --method a")
    assert offered("ruska deblur a.tif --dtype ") == ["auto", "same", "float32"]
    assert "ruska-em-3" in offered("ruska denoise a.tif --model ruska")
    assert offered("ruska denoise a.tif --method noise2void --set learn") == ["learning_rate="]
    assert offered("ruska denoise a.tif --method n --set learn") == []
    trainable = offered("ruska train ")
    assert {"prior", "blindspot"} <= set(trainable)
    assert not {"gaussian", "deblur"} & set(trainable)
    assert offered("ruska denoise ") == []  # so that the shell offers files


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "pwsh"])
def test_each_shell_has_a_script_that_asks_ruska(shell, monkeypatch, capsys):
    monkeypatch.setenv("_RUSKA_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit):
        app(prog_name="ruska", standalone_mode=False)
    script = capsys.readouterr().out
    assert f"complete_{'powershell' if shell == 'pwsh' else shell}" in script.lower()
    if found := shutil.which(shell):
        assert subprocess.run([found, "-n", "-c", script], capture_output=True).returncode == 0 or shell == "pwsh"


def test_offering_words_imports_no_network():
    program = (
        "import atexit, sys; sys.argv = ['ruska']; "
        "atexit.register(lambda: print([m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules])); "
        "from ruska.cli.main import app; app(prog_name='ruska')"
    )
    asked = {"_RUSKA_COMPLETE": "complete_bash", "COMP_WORDS": "ruska denoise a --method b", "COMP_CWORD": "4"}
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stdout.split()[:2] == ["bm3d", "blindspot"], done.stderr
    assert done.stdout.split()[2:] == ["[]"]
