"""Files are written whole or not at all, with the permissions that they ought to have."""

import dataclasses
import io
import os
import stat
import threading

import pytest
from matplotlib.figure import Figure

import surprax as sx
from surprax.files import replaced
from surprax.game.scoreboard import Scoreboard
from surprax.plots import save_figure, show

BOARD = Scoreboard((), (), "x", 0, 2, "bit", "discrete")
WRITERS = {
    "evidence.json": lambda path: sx.Normal.evidence([1.0, 2.0]).save(path),
    "ledger.npz": lambda path: sx.Belief.uniform(2).update("toss", [0.0, 1.0]).save(path),
    "board.json": lambda path: BOARD.save(path),
    "picture.png": lambda path: save_figure(Figure(), path),
    "picture.svg": lambda path: save_figure(Figure(), path),
}
each_writer = pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)


@pytest.fixture
def umask():
    """Sets the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
@each_writer
def test_permissions_are_what_the_umask_leaves(name, write, mask, expected, tmp_path, umask):
    umask(mask)
    write(tmp_path / name)
    assert mode(tmp_path / name) == expected
    assert [p.name for p in tmp_path.iterdir()] == [name]


@each_writer
def test_permissions_of_a_file_that_is_replaced_are_kept(name, write, tmp_path, umask):
    path = tmp_path / name
    path.write_text("old")
    path.chmod(0o640)
    write(path)
    assert mode(path) == 0o640
    assert path.read_bytes() != b"old"


def test_what_is_secret_is_secret_while_it_is_written(tmp_path, umask):
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o600)
    with replaced(path, "w") as file:
        assert {mode(p) for p in tmp_path.iterdir()} == {0o600}
        file.write("new")


def begin_and_fail(path, error):
    with replaced(path, "w") as file:
        file.write("half of")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_nothing_else(error, tmp_path):
    path = tmp_path / "x"
    for old in (None, "old"):
        if old is not None:
            path.write_text(old)
        with pytest.raises(error):
            begin_and_fail(path, error)
        assert [p.read_text() for p in tmp_path.iterdir()] == ([] if old is None else [old])


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "board.json"
    BOARD.save(path)
    old = path.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        dataclasses.replace(BOARD, notes=(object(),)).save(path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["board.json"]


def test_a_reader_sees_the_old_file_until_all_is_written(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with replaced(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_writers_at_once_do_not_mix(tmp_path):
    path = tmp_path / "x"
    texts = {str(i) * 200_000 for i in range(8)}
    together = threading.Barrier(len(texts))

    def write(text):
        with replaced(path, "w") as file:
            file.write(text[:100_000])
            together.wait(timeout=30)
            file.write(text[100_000:])

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "here" / "link", tmp_path / "there" / "file"
    link.symlink_to("../there/file")
    for text in ("of a new file", "of the file that is there"):
        with replaced(link, "w") as file:
            file.write(text)
        assert link.is_symlink()
        assert not target.is_symlink()
        assert target.read_text() == text
    assert [p.name for p in tmp_path.rglob("*") if p.name.endswith(".part")] == []


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with replaced(pipe, "w") as file:
        file.write("through")
    reader.join()
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_long_names_and_names_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ж" * 127, "x" * 255, "plain"):
        with replaced(name) as file:
            file.write(b"\n")
    assert (tmp_path / "plain").read_bytes() == b"\n"


@each_writer
def test_no_folder_and_no_file_are_said_in_words(name, write, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder '.*nowhere' to write '{name}' to: make it first"):
        write(tmp_path / "nowhere" / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"no folder '.*file' to write"):
        write(tmp_path / "file" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(IsADirectoryError, match=f"'.*{name}' is a folder. Add a name to it"):
        write(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "file"])


def test_a_file_that_may_not_be_written_to_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anybody but root
    with pytest.raises(PermissionError, match="there already and may not be written to"), replaced(path):
        pass
    assert path.read_text() == "old"


def test_the_same_bytes_on_every_system(tmp_path):
    with replaced(tmp_path / "x", "w") as file:
        assert isinstance(file, io.TextIOWrapper)
        file.write("ä\n")
    assert (tmp_path / "x").read_bytes() == "ä\n".encode()


def test_a_picture_is_shown_by_writing_it_where_there_is_no_notebook(tmp_path, capsys):
    figure = Figure()
    figure.subplots().plot([1, 2])
    show(figure, "a.png", tmp_path / "new")
    assert (tmp_path / "new" / "a.png").stat().st_size > 1000
    assert "wrote" in capsys.readouterr().out
