"""The game: every player puts a probability on every row; who is least surprised in total wins."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

from surprax.beliefs import Mixture
from surprax.data.columns import Column, as_groups
from surprax.families.base import Distribution
from surprax.families.catalogue import FAMILIES, by_name
from surprax.families.catalogue import players as playing_families
from surprax.families.fitting import outside_message
from surprax.families.outcomes import Outcome, Reason
from surprax.game.folds import Folds, Score, score
from surprax.game.scoreboard import Disqualified, Entry, Scoreboard
from surprax.numerics.precision import float64_scope
from surprax.units import Unit, nats_per

__all__ = ["play"]

LONG = 500_000
"""From this many rows on, a game shows its progress (on a terminal)."""

type Player = type[Distribution] | Mixture | Distribution


def play(
    players: Mapping[str, Player] | Iterable[Player | str] | str = "all",
    data: Any = None,
    *,
    by: Any = None,
    folds: int = 10,
    unit: Unit = "bit",
    kind: str = "auto",
    key: jax.Array | None = None,
    drop_missing: bool = False,
    name: str | None = None,
    progress: bool | None = None,
) -> Scoreboard:
    """Rank probability families by how little they are surprised by data.

    A family is fitted to K − 1 parts of the rows and scored on the part that it has not seen, K times over; the score is the mean
    held-out surprise per row, −(1/n) Σ log q(x). A distribution that is given with its parameters is scored as it is.

    Args:
        players: by name, families or mixtures such as `Mixture(Gamma, 2)` (fitted) or distributions (fixed); or a list of them or
            of names of families; or "all".
        data: one column: NumPy, JAX, or a column of any data-frame; finite numbers.
        by: labels of groups, one per row: the game is played within each group, and the surprises add.
        folds: K of the cross-validation, ≥ 2; with fewer rows than that, each row is its own fold.
        unit: of the board: "bit", "nat", "ban" or "deciban".
        kind: "discrete", "continuous", or "auto": discrete if all values are whole numbers. A probability and a density are never
            ranked against each other.
        key: JAX random key to deal rows to folds at random; without one, each run of K rows gives one to every fold.
        drop_missing: leave missing values out instead of refusing them.
        name: of the column, for the board; read off the data where they have one.
        progress: show a progress bar on the terminal (stderr); None: if there is one and the work is long.

    Returns:
        A `Scoreboard`, the least surprised player first; those who could not play are listed with the reason.

    Raises:
        ValueError: in a sentence, for data or players that cannot be used.

    >>> import surprax as sx
    >>> board = sx.play({"fair": sx.Bernoulli(0.5), "fitted": sx.Bernoulli}, [1, 0, 0, 0, 1, 0] * 50)
    >>> board.best.name, round(board.in_unit(board["fair"].held_out), 6)
    ('fitted', 1.0)
    """
    nats_per(unit)
    if kind not in ("auto", "discrete", "continuous"):
        raise ValueError(f'kind is "auto", "discrete" or "continuous"; got {kind!r}.')
    if not isinstance(folds, int) or folds < 2:
        raise ValueError(f"Cross-validation takes at least 2 folds; got folds={folds!r}.")
    if data is None:
        raise ValueError("A game needs data: play(players, data), where data is one column of numbers.")
    name = name or str(getattr(data, "name", None) or "x")
    column = data if isinstance(data, Column) else Column.of(data, name, drop_missing=drop_missing)
    x, rows = column.values, column.rows
    if len(x) < 2:
        raise ValueError(f"{name}: a game takes at least 2 rows; got {len(x)}.")
    notes = [f"{column.missing:,} missing values dropped."] if column.missing else []
    entrants = resolve(players)
    whole = x.dtype.kind in "iub" or bool(np.all(x == np.floor(x)))
    entrants, sidelined, kind, note = _comparable(entrants, kind, whole)
    notes += [note] if note else []

    shown = progress if progress is not None else len(x) >= LONG and sys.stderr.isatty()
    rules = _Rules(min(folds, len(x)), unit, kind, key, name, track=partial(_track, shown=shown))
    if by is None:
        board, _ = _play(entrants, x, rows, rules)
    else:
        board = _play_by_group(
            entrants, x, rows, as_groups(by if rows is None or len(by) == len(x) else np.asarray(by)[rows]), rules
        )
    return replace(board, disqualified=board.disqualified + sidelined, notes=tuple(notes) + board.notes)


@dataclass(frozen=True)
class _Rules:
    """What stays the same for all players of a game."""

    folds: int
    unit: Unit
    kind: str
    key: Any
    name: str
    track: Callable[[Iterable[Any]], Iterable[Any]]


def _track(steps: Iterable[Any], shown: bool, name: str = "playing") -> Iterable[Any]:
    return track(steps, description=name, console=Console(stderr=True), transient=True) if shown else steps


def resolve(players: Any) -> dict[str, Player]:
    """Players by name, from any of the forms that `play` takes."""
    if isinstance(players, str):
        players = list(playing_families()) if players == "all" else [players]
    if not isinstance(players, Mapping):
        named: dict[str, Player] = {}
        for player in players:
            if isinstance(player, str):
                player = by_name(player)
            label = player.__name__ if isinstance(player, type) else repr(player)
            named[label] = player
        players = named
    for label, player in players.items():
        fitted = isinstance(player, Mixture) or (isinstance(player, type) and issubclass(player, Distribution))
        if not (isinstance(player, Distribution) or fitted):
            raise ValueError(
                f"A player is a family, a mixture or a distribution; {label!r} is {player!r}. Families: {', '.join(FAMILIES)}."
            )
        if player.event_dim:
            raise ValueError(
                f"The game is about numbers, one to a row; {label!r} is about vectors or matrices. Leave it out."
            )
        if isinstance(player, Distribution) and player.batch_shape:
            raise ValueError(f"A player is a single distribution; {label!r} is a batch of shape {player.batch_shape}.")
    if not players:
        raise ValueError(f"A game needs at least one player. Families: {', '.join(FAMILIES)}.")
    return dict(players)


def _comparable(
    entrants: dict[str, Player], kind: str, whole: bool
) -> tuple[dict[str, Player], tuple[Disqualified, ...], str, str]:
    """Players whose surprises can be compared on these data; the others, and a note that says what was decided."""
    kinds = {"discrete" if player.discrete else "continuous" for player in entrants.values()}
    note = ""
    if len(kinds) == 1 and kind == "auto":
        (kind,) = kinds
        if whole and kind == "continuous":
            note = "All values are whole numbers; the players are densities, and treat them as measurements."
    elif kind == "auto":
        kind = "discrete" if whole else "continuous"
        other = 'Treat them as measurements with kind="continuous".' if whole else ""
        note = f"Values are {'whole numbers' if whole else 'not whole numbers'}: {kind} families play. {other}".rstrip()
    sidelined = tuple(
        Disqualified(
            label,
            f"it is {'discrete' if player.discrete else 'continuous'}: probabilities and densities are not comparable",
        )
        for label, player in entrants.items()
        if player.discrete != (kind == "discrete")
    )
    out = {d.name for d in sidelined}
    return {label: player for label, player in entrants.items() if label not in out}, sidelined, kind, note


def _play(
    entrants: dict[str, Player], x: np.ndarray, rows: np.ndarray | None, rules: _Rules
) -> tuple[Scoreboard, dict[str, np.ndarray]]:
    """The board, and for each ranked player its held-out log-densities of a sample of the rows, the same for all."""
    extremes = np.array([x.argmin(), x.argmax()])
    dealt = Folds.deal(x, min(rules.folds, len(x)), rules.key)
    results: dict[str, Score] = {}
    entries: list[Entry] = []
    out: list[Disqualified] = []
    for label, player in rules.track(list(entrants.items())):
        start = time.perf_counter()
        reason = _unsupported(player, x, extremes)
        if reason is not None:
            out.append(Disqualified(label, *reason))
            continue
        result = score(player, dealt)
        if not np.all(result.outcome.ok):
            out.append(Disqualified(label, _told(result.outcome, rules.name)))
            continue
        free = 0 if isinstance(player, Distribution) else player.free_parameters(result.distribution)
        worst_row, worst = _worst(result, x, extremes)
        results[label] = result
        entries.append(
            Entry(
                name=label,
                distribution=result.distribution,
                held_out=-float(result.held_out.sum()) / len(x),
                total=-float(result.total),
                free=free,
                aic=float(2 * free - 2 * result.total),
                bic=float(np.log(len(x)) * free - 2 * result.total),
                worst=worst,
                worst_row=int(worst_row if rows is None else rows[worst_row]),
                seconds=time.perf_counter() - start,
            )
        )
    pointwise = {label: result.pointwise[dealt.sample[1]] for label, result in results.items()}
    ranked = _ranked(entries, [(len(x), pointwise)])
    board = Scoreboard(ranked, tuple(out), rules.name, len(x), dealt.count, rules.unit, rules.kind, data=x)
    return board, pointwise


def _told(outcome: Outcome, name: str) -> str:
    """Why there is no fit: to all rows, or to all but one fold."""
    if outcome.code[0] != Reason.MAXIMUM:
        return str(Outcome(outcome.code[0]))
    return f"without one fold of {name}, {Outcome(outcome.code[outcome.code != Reason.MAXIMUM][0])}"


def _unsupported(player: Player, x: np.ndarray, extremes: np.ndarray) -> tuple[str, int] | None:
    """Why, and by which row, data lie outside the support of a player."""
    support = player.support if isinstance(player, Distribution) else player._data_support({})
    inside = np.all(support.contains(x[extremes].astype(np.float64)))
    if support.discrete:
        inside &= x.dtype.kind in "iub" or bool(np.all(x == np.floor(x)))
    if inside:
        return None
    message = outside_message("it", x.astype(np.float64), support)
    row = int(np.argmin(support.contains(x.astype(np.float64))))
    return message.split(". ")[0], row


def _worst(result: Score, x: np.ndarray, extremes: np.ndarray) -> tuple[int, float]:
    """The row of greatest surprise: an extreme one, if the density has a single peak."""
    rows, surprises = extremes, result.worst
    if not np.all(result.single_peaked):
        with float64_scope():
            rows, surprises = np.arange(len(x)), np.asarray(result.distribution.surprise(x.astype(np.float64)))
    worst = int(np.argmax(surprises))
    return int(rows[worst]), float(surprises[worst])


def _ranked(entries: list[Entry], samples: list[tuple[int, dict[str, np.ndarray]]]) -> tuple[Entry, ...]:
    """Entries in order, each with its distance to the best and the standard error of that distance.

    The distance is a mean over rows of differences of held-out log-densities; its error is their standard deviation / √rows,
    taken within each group (rows, sampled differences) and added up.
    """
    order = sorted(entries, key=lambda entry: entry.held_out)
    rows = sum(n for n, _ in samples)

    def error(entry: Entry) -> float:
        if not np.isfinite(entry.held_out):
            return float("nan")
        parts = [n * np.var(sample[order[0].name] - sample[entry.name], ddof=1) for n, sample in samples]
        return float(np.sqrt(np.sum(parts)) / rows)

    return tuple(
        replace(
            entry,
            behind=entry.held_out - order[0].held_out,
            behind_error=error(entry) if entry is not order[0] else 0.0,
        )
        for entry in order
    )


def _play_by_group(
    entrants: dict[str, Player], x: np.ndarray, rows: Any, groups: tuple[Any, np.ndarray], rules: _Rules
) -> Scoreboard:
    labels, codes = groups
    if len(codes) != len(x):
        raise ValueError(f"`by` needs one label per row; got {len(codes)} labels for {len(x)} rows of {rules.name}.")
    numbers = np.arange(len(x)) if rows is None else rows
    boards: dict[Any, Scoreboard] = {}
    samples: list[tuple[int, dict[str, np.ndarray]]] = []
    for i, label in rules.track(list(enumerate(labels))):
        inside = np.flatnonzero(codes == i)
        if len(inside) < 2:
            raise ValueError(
                f"A game takes at least 2 rows in each group; group {label!r} of {rules.name} has {len(inside)}."
            )
        boards[label], pointwise = _play(
            entrants, x[inside], numbers[inside], replace(rules, name=f"{rules.name}, {label}", track=iter)
        )
        samples.append((len(inside), pointwise))
    out = [
        Disqualified(d.name, f"in group {label!r}: {d.reason}", d.row)
        for entrant in entrants
        for label, d in [
            (label, d) for label, board in boards.items() for d in board.disqualified if d.name == entrant
        ][:1]
    ]
    playing = [entrant for entrant in entrants if entrant not in {d.name for d in out}]
    entries = _ranked([_summed(entrant, boards, len(x)) for entrant in playing], samples)
    return Scoreboard(entries, tuple(out), rules.name, len(x), rules.folds, rules.unit, rules.kind, groups=boards)


def _summed(entrant: str, boards: Mapping[Any, Scoreboard], n: int) -> Entry:
    parts = [(board[entrant], board.rows) for board in boards.values()]
    worst = max((e for e, _ in parts), key=lambda e: e.worst)
    return Entry(
        name=entrant,
        distribution=None,
        held_out=sum(e.held_out * rows for e, rows in parts) / n,
        total=sum(e.total for e, _ in parts),
        free=sum(e.free for e, _ in parts),
        aic=sum(e.aic for e, _ in parts),
        bic=2 * sum(e.total for e, _ in parts) + np.log(n) * sum(e.free for e, _ in parts),
        worst=worst.worst,
        worst_row=worst.worst_row,
        seconds=sum(e.seconds for e, _ in parts),
    )
