"""What the README shows is what the command prints."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_board_in_the_readme_is_that_of_its_command(capsys, monkeypatch):
    from surprax import cli

    command, board = re.search(
        r"\.venv/bin/(surprax play [^\n]+)\n```\n\n```text\n(.*?)```", README.read_text(), re.S
    ).groups()
    words = command.partition(" --plot")[0].split()
    monkeypatch.chdir(README.parent)
    monkeypatch.setattr("sys.argv", words)
    cli.main()
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shown = [line.rstrip() for line in board.splitlines() if line != "…"]
    assert [line for line in shown if line not in printed] == []
