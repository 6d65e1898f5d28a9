"""The game: who is least surprised by the data?"""

from surprax.game.play import play
from surprax.game.scoreboard import Disqualified, Entry, Scoreboard

__all__ = ["Disqualified", "Entry", "Scoreboard", "play"]
