"""The challenge at the camera, on landmarks of a head that moves in space."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vision_app.faces.challenge import (
    BLINK,
    LIMIT,
    LOOK_AHEAD,
    MOVE_CLOSER,
    MOVES,
    NOT_RECOGNIZED,
    OUT_OF_SIGHT,
    SOMEONE_ELSE,
    TOO_SLOW,
    TURN_LEFT,
    TURN_RIGHT,
    WRONG_MOVE,
    Challenge,
    height,
)
from vision_app.faces.quality import POINTS

ORDERS = list(permutations(MOVES))
STEP = 0.2  # seconds from one frame to the next
YAWS = {TURN_LEFT: 35, TURN_RIGHT: -35}  # the person's left is the right of an image that is not mirrored


def head(yaw=0.0, size=40.0, x=320.0) -> np.ndarray:
    """(5, 2) where a camera sees a head; `size` is the distance between its eyes in pixels."""
    turned = Rotation.from_euler("y", -yaw, degrees=True).apply(POINTS)
    return size * turned[:, :2] + [x, 200]


def photo(yaw=0.0, size=40.0) -> np.ndarray:
    """(5, 2) where a camera sees a photo of a head that looks ahead, turned by an angle."""
    return size * POINTS[:, :2] * [np.cos(np.radians(yaw)), 1] + [320, 200]


def frames(move):
    """What the camera sees of a person who makes a move and looks ahead again."""
    if move == MOVE_CLOSER:
        return [head(size=size) for size in (40, 46, 52, 56, 50, 44, 40)]
    return [head(yaw) for yaw in YAWS[move] * np.array([0, 0.3, 0.6, 1, 0.6, 0.3, 0])]


def play(challenge, track, start=0.0, who="Ada"):
    """Let a challenge see landmarks one after the other."""
    for number, landmarks in enumerate(track):
        challenge = challenge.follow(landmarks, start + STEP * number, who)
    return challenge


@pytest.mark.parametrize("moves", ORDERS)
def test_the_moves_in_their_order_pass(moves):
    challenge, asked, now = Challenge(moves), [], 0.0
    while challenge.asked and now < 30:
        asked.append(challenge.asked)
        track = [head()] if challenge.asked == LOOK_AHEAD else frames(challenge.asked)
        challenge = play(challenge, track, now)
        now += STEP * len(track)
    assert challenge.passed and challenge.failure is None and challenge.done == 3
    assert asked == [LOOK_AHEAD, *moves]


@pytest.mark.parametrize("moves", ORDERS)
def test_the_moves_in_another_order_fail(moves):
    for others in ORDERS:
        track = [head(), *(frame for move in others for frame in frames(move))]
        challenge = play(Challenge(moves), track)
        assert (challenge.passed, challenge.failure) == ((True, None) if others == moves else (False, WRONG_MOVE))


@pytest.mark.parametrize("moves", ORDERS)
def test_a_turned_photo_does_not_pass(moves):
    track = [photo(yaw) for yaw in (0, 20, 40, 60, 40, 20, 0, -20, -40, -60, -40, -20, 0)]
    track += [photo(size=size) for size in (40, 50, 60, 50, 40)]
    assert not play(Challenge(moves), track).passed


def test_a_challenge_begins_with_a_known_face_that_looks_ahead():
    challenge = Challenge((TURN_LEFT, MOVE_CLOSER, TURN_RIGHT))
    waiting = play(challenge, [None, None, head(20)])
    assert waiting.asked == LOOK_AHEAD and waiting.who is None
    assert play(waiting, [head()], who=None).who is None
    assert play(waiting, [None] * 100 + [head(20)]).failure is None  # there is no hurry before
    begun = play(waiting, [head()], 50)
    assert (begun.asked, begun.who, begun.since) == (TURN_LEFT, "Ada", 50)
    assert begun.size == pytest.approx(height(head())) == pytest.approx(40 * 0.965)


def test_there_is_a_limit_for_each_move_and_for_looking_ahead():
    begun = Challenge((TURN_LEFT, MOVE_CLOSER, TURN_RIGHT)).follow(head(), 10, "Ada")
    waiting = [head()] * round(LIMIT / STEP)
    late = play(begun, waiting, 10 + STEP)
    assert late.failure is None
    assert late.follow(head(35), 10 + LIMIT + STEP, "Ada").failure == TOO_SLOW
    turned = late.follow(head(35), 10 + LIMIT, "Ada")
    assert (turned.done, turned.asked, turned.since) == (1, LOOK_AHEAD, 10 + LIMIT)
    assert play(turned, [head(35)] * (len(waiting) + 2), 10 + LIMIT + STEP).failure == TOO_SLOW


def test_the_face_must_stay_in_sight_and_must_not_jump():
    begun = Challenge((TURN_LEFT, MOVE_CLOSER, TURN_RIGHT)).follow(head(), 0, "Ada")
    assert begun.follow(None, 0.9 * BLINK, "Ada").failure is None
    assert begun.follow(None, 1.1 * BLINK, "Ada").failure == OUT_OF_SIGHT
    assert begun.follow(head(x=350), STEP, "Ada").failure is None
    assert begun.follow(head(x=420), STEP, "Ada").failure == SOMEONE_ELSE


def test_the_person_must_stay_the_same_to_the_end_and_after():
    moves = (TURN_LEFT, MOVE_CLOSER, TURN_RIGHT)
    begun = Challenge(moves).follow(head(), 0, "Ada")
    turned = begun.follow(head(35), STEP, "Bob")  # a turned head may look like anybody's
    assert turned.done == 1 and turned.failure is None
    assert turned.follow(head(), 2 * STEP, "Bob").failure == SOMEONE_ELSE
    unsure = turned.follow(head(), 2 * STEP, None)
    assert unsure.failure is None and unsure.asked == LOOK_AHEAD

    track = [head(), *(frame for move in moves for frame in frames(move))]
    passed, end = play(Challenge(moves), track), STEP * len(track)
    assert passed.passed
    assert passed.follow(head(), end, None).passed
    assert passed.follow(head(), end, "Bob").failure == SOMEONE_ELSE
    assert play(passed, [head()] * 100, end).passed
    for stranger in (head(), head(35)):
        unsure = play(passed, [stranger] * round(BLINK / STEP), end - STEP + 0.01, who=None)
        assert unsure.passed and play(unsure, [head()], end + BLINK).passed
        stayed = play(unsure, [stranger], end + BLINK, who=None)
        assert stayed.failure == NOT_RECOGNIZED and not stayed.passed
    gone = passed.follow(None, end + BLINK, None)
    assert gone.failure == OUT_OF_SIGHT and not gone.passed and gone.asked is None
    assert gone.follow(head(), end + 2, "Ada") is gone


def test_a_new_challenge_asks_all_moves_in_random_order():
    orders = {Challenge.new().moves for _ in range(200)}
    assert orders == set(ORDERS)
