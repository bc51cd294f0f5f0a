"""A challenge at the camera: turn the head or come closer, as asked, in an order that cannot be known before.

It makes it harder to pass with a photo: a flat image that is turned or bent shows no turned head. It does not tell a
living person from a video that shows the right moves, a mask or a screen that is driven by a program.
"""

import math
from dataclasses import dataclass, field, replace
from random import SystemRandom

import numpy as np

from vision_app.faces.quality import pose

TURN_LEFT, TURN_RIGHT, MOVE_CLOSER = "turn_left", "turn_right", "move_closer"
MOVES = (TURN_LEFT, TURN_RIGHT, MOVE_CLOSER)
"""What may be asked; the sides are the person's."""
LOOK_AHEAD = "look_ahead"
"""What is asked before and after each move."""

TOO_SLOW, WRONG_MOVE, OUT_OF_SIGHT = "too_slow", "wrong_move", "out_of_sight"
SOMEONE_ELSE, NOT_RECOGNIZED = "someone_else", "not_recognized"

AHEAD, TURNED = 15.0, 25.0  # degrees of yaw: at most, and at least
CLOSER = 1.3  # times as large in the frame
LIMIT = 8.0  # seconds for a move and for looking ahead
BLINK = 1.0  # seconds for which no face may be seen, or the face of a person who has passed may be unrecognized
JUMP = 2.0  # face heights (eyes to mouth) that a face may move from one frame to the next


@dataclass(frozen=True, eq=False)
class Challenge:
    """How far a person has come. `follow` gives the next state; a failed one stays as it is.

    Attributes:
        moves: What is asked, in this order.
        done: How many of them were made.
        passed: Whether all were made, the face looked ahead again, and it has stayed in sight and recognized since.
        failure: Why it failed: "too_slow", "wrong_move", "out_of_sight" (or several faces), "someone_else" or
            "not_recognized"; or None.
        who: Whom the face was recognized as when it began; None: not begun.
        since: When what is asked now was asked, in seconds.
        size: Height of the face in pixels when it looked ahead before the move that is asked now; None: it is to look
            ahead.
        landmarks, seen: (5, 2) where the face was seen last, in pixels of the frame, and when.
        recognized: When it was last recognized as who it is.
    """

    moves: tuple[str, ...]
    done: int = 0
    passed: bool = False
    failure: str | None = None
    who: str | None = None
    since: float = 0.0
    size: float | None = None
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((5, 2)))
    seen: float = 0.0
    recognized: float = 0.0

    @classmethod
    def new(cls) -> "Challenge":
        """Return a challenge of all moves in random order."""
        return cls(tuple(SystemRandom().sample(MOVES, len(MOVES))))

    @property
    def asked(self) -> str | None:
        """What the person is to do now: one of `MOVES` or "look_ahead"; None when it is over."""
        if self.failure or self.passed:
            return None
        return LOOK_AHEAD if self.size is None else self.moves[self.done]

    def follow(self, landmarks: np.ndarray | None, seconds: float, who: str | None) -> "Challenge":
        """Return the state after another frame.

        Args:
            landmarks: (5, 2) of the only face, in pixels of the frame, see `align.LANDMARKS`; None: there is no face,
                or several.
            seconds: When the frame came, on a clock that does not go back.
            who: Whom the face was recognized as; None: nobody. Until it has passed, this counts only while the face
                looks ahead: a turned one is hard to recognize.
        """
        if self.failure:
            return self
        begun = self.who is not None
        if begun and (failure := self._interruption(landmarks, seconds)):
            return self._failed(failure)
        if landmarks is None:
            return self
        yaw = pose(landmarks)[0]
        ahead = abs(yaw) <= AHEAD
        if begun and ahead and who not in (None, self.who):
            return self._failed(SOMEONE_ELSE)
        recognized = seconds if who == self.who else self.recognized
        if self.passed and seconds - recognized > BLINK:
            return self._failed(NOT_RECOGNIZED)
        here = replace(self, landmarks=landmarks, seen=seconds, recognized=recognized)
        if self.passed:
            return here
        if self.size is not None:
            return here._judge_move(yaw, self.size)
        if not ahead or who is None:
            return here
        if self.done == len(self.moves):
            return replace(here, passed=True)
        return replace(here, who=who, since=seconds, size=height(landmarks))

    def _failed(self, why: str) -> "Challenge":
        return replace(self, failure=why, passed=False)

    def _interruption(self, landmarks: np.ndarray | None, seconds: float) -> str | None:
        """Return why it cannot continue, if so."""
        if seconds - self.seen > BLINK:
            return OUT_OF_SIGHT
        if not self.passed and seconds - self.since > LIMIT:
            return TOO_SLOW
        if landmarks is not None:
            moved = math.dist(self.landmarks.mean(axis=0), landmarks.mean(axis=0))
            if moved / max(height(self.landmarks), 1.0) > JUMP:
                return SOMEONE_ELSE
        return None

    def _judge_move(self, yaw: float, size: float) -> "Challenge":
        """Return the state when the move that is asked was made, another one was, or none yet."""
        closer = abs(yaw) <= AHEAD and height(self.landmarks) > CLOSER * size
        move = TURN_LEFT if yaw > TURNED else TURN_RIGHT if yaw < -TURNED else MOVE_CLOSER if closer else None
        if move is None:
            return self
        if move != self.moves[self.done]:
            return self._failed(WRONG_MOVE)
        return replace(self, done=self.done + 1, size=None, since=self.seen)


def height(landmarks: np.ndarray) -> float:
    """Return the distance from the middle of the eyes to that of the mouth, in pixels. A turned head keeps it."""
    return math.dist(landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0))
