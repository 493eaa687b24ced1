"""The singer clip: a drawn streamer sings in a room that never moves, while the words scroll by.

The first half shows the room, the second half a close-up: one cut. Whatever does not move is the same in every frame,
sample for sample. Frames are RGB; the sound is the melody that the mouth follows. Pure functions of their arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .drawing import Field, Image, Pen, blended, oversampling, reduced, smooth
from .room import close_room, wide_room

LYRICS = (
    "The window keeps the evening light,",
    "I fold the day and hold it small,",
    "and sing you back, by second sight,",
    "the missing colours of it all.",
)
SOUND_RATE = 48000
BEAT = 0.5  # seconds
# (note number with 69 = 440 Hz, or 0 to breathe; beats)
MELODY = [
    (64, 0.5), (67, 0.5), (69, 1), (67, 0.5), (64, 0.5), (62, 1),
    (60, 0.5), (62, 0.5), (64, 1), (67, 0.75), (0, 0.25), (69, 1),
    (72, 0.5), (71, 0.5), (69, 1), (67, 0.5), (69, 0.5), (64, 1),
    (62, 0.5), (64, 0.5), (67, 0.5), (62, 0.5), (60, 1.5), (0, 0.5),
]  # fmt: skip

SKIN, SKIN_SHADE, BLUSH = (246, 198, 166), (222, 160, 132), (240, 166, 142)
HAIR, HAIR_SHADE, HAIR_LIGHT = (70, 42, 52), (48, 28, 40), (116, 70, 72)
SWEATER, SWEATER_SHADE, STRIPE = (216, 128, 66), (176, 94, 52), (250, 226, 184)
LINE = (52, 32, 42)


@dataclass(frozen=True)
class _Pose:
    """The singer at one moment. Lengths in units, angles in radians, the rest 0 .. 1."""

    sway: float
    head_turn: float
    bob: float
    mouth: float
    roundness: float
    lids: float
    hand: tuple[float, float]


@dataclass(frozen=True)
class _Scene:
    """A still room, and where in it the singer stands: origin at the base of the neck."""

    room: Image
    figure: tuple[float, float, float]  # x, y, scale
    box: tuple[float, float, float, float]  # all that the figure may touch, in units
    words: _Words


def singer_frames(
    width: int = 640, height: int = 360, seconds: float = 4.0, fps: Fraction | float = 25
) -> Iterator[Image]:
    """Yield round(seconds * fps) frames (height, width, 3), uint8 RGB; the cut comes in the middle."""
    count = round(seconds * fps)
    factor = oversampling(height)
    for first, last, make_scene in ((0, count // 2, _wide_scene), (count // 2, count, _close_scene)):
        if first < last:
            scene = make_scene(width, height, factor)
            still = reduced(scene.room, factor)
            for n in range(first, last):
                yield _frame(scene, still, factor, float(n / fps))


def singer_sound(seconds: float = 4.0) -> Field:
    """The melody over soft chords: (2, samples) float32 within -1 .. 1, at SOUND_RATE."""
    count = round(seconds * SOUND_RATE)
    sound = np.zeros((2, count + SOUND_RATE), np.float64)
    start, index = 0.0, 0
    while start < seconds:
        note, beats = MELODY[index % len(MELODY)]
        if note:
            _add_tone(sound, start, note, beats * BEAT, level=0.34, pan=0.5)
        start, index = start + beats * BEAT, index + 1
    chords = ((48, 55, 64), (45, 52, 60), (53, 57, 60), (43, 50, 59))
    for bar in range(int(seconds / (4 * BEAT)) + 1):
        for voice, note in enumerate(chords[bar % len(chords)]):
            _add_tone(sound, bar * 4 * BEAT + 0.03 * voice, note, 4 * BEAT, level=0.10, pan=0.2 + 0.3 * voice)
    return sound[:, :count].astype(np.float32)


def _add_tone(sound: np.ndarray, start: float, note: int, seconds: float, level: float, pan: float) -> None:
    first = round(start * SOUND_RATE)
    t = np.arange(min(round((seconds + 0.15) * SOUND_RATE), sound.shape[1] - first)) / SOUND_RATE
    phase = (
        2 * np.pi * 440 * 2 ** ((note - 69) / 12) * (t + 0.0006 * np.sin(2 * np.pi * 5.2 * t) * np.clip(t - 0.2, 0, 1))
    )
    tone = np.sin(phase) + 0.35 * np.sin(2 * phase) * np.exp(-2 * t) + 0.12 * np.sin(3 * phase) * np.exp(-4 * t)
    envelope = np.clip(t / 0.02, 0, 1) * np.clip((seconds + 0.12 - t) / 0.12, 0, 1) * np.exp(-0.7 * t)
    sound[:, first : first + t.size] += level * tone * envelope * np.array([[1 - pan], [pan]])


def _note_at(t: float) -> tuple[int, float, float]:
    """The note sung at t, the seconds since it began and those until it ends."""
    at = t % (BEAT * sum(beats for _, beats in MELODY))
    for note, beats in MELODY:
        if at < beats * BEAT:
            return note, at, beats * BEAT - at
        at -= beats * BEAT
    return 0, 0.0, 0.0


def _pose(t: float) -> _Pose:
    note, since, left = _note_at(t)
    opened = min(since / 0.09, left / 0.10, 1.0) if note else 0.0
    wave = 2 * np.pi * t
    blink = min(abs((t + 1.1) % 2.3 - 0.1) / 0.07, 1.0)
    dreamy = 0.45 if left + since > 0.6 and since > 0.15 else 1.0  # long notes are sung with heavy lids
    return _Pose(
        sway=0.045 * np.sin(wave / 2.0),
        head_turn=0.10 * np.sin(wave / 2.0 - 0.5) + 0.03 * np.sin(wave),
        bob=1.6 * np.cos(wave / 1.0),
        mouth=float(opened * (0.55 + 0.45 * np.sin(note * 1.7) ** 2)),
        roundness=float(0.5 + 0.5 * np.sin(note * 2.3)),
        lids=float(min(blink, dreamy)),
        hand=(103 + 14 * np.sin(wave / 2.0 + 0.4), 6 + 17 * np.cos(wave / 2.0) + 4 * np.sin(wave)),
    )


def _wide_scene(width: int, height: int, factor: int) -> _Scene:
    words = _Words.column(width, height, factor, box=(424, 206, 624, 344))
    return _Scene(wide_room(width, height, factor), (302, 212, 1.12), (180, 84, 480, 360), words)


def _close_scene(width: int, height: int, factor: int) -> _Scene:
    words = _Words.row(width, height, factor, box=(0, 306, 640, 346))
    return _Scene(close_room(width, height, factor), (312, 296, 2.15), (60, 36, 640, 360), words)


def _frame(scene: _Scene, still: Image, factor: int, t: float) -> Image:
    frame = still.copy()
    pen = Pen.covering(scene.room)
    left, top, right, bottom = _pixel_box(pen, scene.box, factor)
    part = scene.room[top:bottom, left:right].copy()
    if part.size:
        _singer(pen.onto(part, left, top).moved(*scene.figure[:2], scale=scene.figure[2]), _pose(t))
        frame[top // factor : bottom // factor, left // factor : right // factor] = reduced(part, factor)
    scene.words.onto(frame, t)
    return frame


def _pixel_box(pen: Pen, box: tuple[float, float, float, float], factor: int) -> tuple[int, int, int, int]:
    """Canvas pixels (left, top, right, bottom) of a box in units, rounded to whole picture pixels, one at least."""
    corners = pen.pixels([box[:2], box[2:]]) / factor
    height, width = pen.image.shape[0] // factor, pen.image.shape[1] // factor
    first = np.clip(np.round(corners[0]), 0, (width - 1, height - 1))
    last = np.clip(np.round(corners[1]), first + 1, (width, height))
    x0, y0, x1, y1 = (int(side) * factor for side in (*first, *last))
    return x0, y0, x1, y1


def _shade(pen: Pen, factor: int, box: tuple[float, float, float, float], radius: float) -> Field:
    """What darkens the picture (h, w, 1) inside a box with round corners, as large as the box in picture pixels."""
    left, top, right, bottom = _pixel_box(pen, box, factor)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    x0, y0, x1, y1 = box[0] + radius, box[1] + radius, box[2] - radius, box[3] - radius
    spot = pen.onto(mask, left, top)
    spot.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], (255, 255, 255))
    spot.strokes([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], 2 * radius, (255, 255, 255), closed=True)
    return 1 - reduced(mask, factor)[..., None] * np.float32(0.58 / 255)


@dataclass(frozen=True)
class _Words:
    """Lyrics that scroll at a steady speed inside a darkened box."""

    strip: Image  # (H, W) how much ink, oversampled; repeats along the way it moves
    corner: tuple[int, int]  # picture pixels (left, top)
    ink: Field  # (h, w, 3) colour of the letters at each place
    fade: Field  # (h, w, 1) how visible letters are at each place
    shade: Field  # (h, w, 1) what the picture behind is multiplied with
    speed: tuple[float, float]  # oversampled pixels per second (down the strip, along the strip)
    factor: int

    @classmethod
    def column(cls, width: int, height: int, factor: int, box: tuple[float, float, float, float]) -> _Words:
        """Lines that climb; the one in the middle is lit."""
        pen = Pen.covering(np.zeros((height * factor, width * factor), np.uint8))
        left, top, right, bottom = _pixel_box(pen, box, factor)
        pitch = round(27 * pen.scale)
        strip = np.zeros((pitch * len(LYRICS), right - left), np.uint8)
        for n, line in enumerate(LYRICS):
            spot = Pen(strip, np.array([[pen.scale, 0, 0], [0, pen.scale, n * pitch]]))
            spot.text(10, 19, line, 8.0, (255, 255, 255))
        h, w = (bottom - top) // factor, (right - left) // factor
        down = np.linspace(0, 1, h, dtype=np.float32)[:, None].repeat(w, 1)
        lit = np.exp(-(((down - 0.47) / 0.10) ** 2))
        ink = blended((176, 184, 206), (255, 214, 130), lit)
        fade = (np.clip(down * 4, 0, 1) * np.clip((1 - down) * 4, 0, 1))[..., None]
        return cls(
            strip,
            (left // factor, top // factor),
            ink,
            fade,
            _shade(pen, factor, box, 9),
            (pitch / (2 * BEAT), 0.0),
            factor,
        )

    @classmethod
    def row(cls, width: int, height: int, factor: int, box: tuple[float, float, float, float]) -> _Words:
        """One line that runs to the left."""
        pen = Pen.covering(np.zeros((height * factor, width * factor), np.uint8))
        left, top, right, bottom = _pixel_box(pen, box, factor)
        h, w = (bottom - top) // factor, (right - left) // factor
        pitch = 330 * pen.scale
        strip = np.zeros((bottom - top, max(round(pitch * len(LYRICS)), right - left)), np.uint8)
        for n, line in enumerate(LYRICS):
            Pen(strip, np.array([[pen.scale, 0, n * pitch], [0, pen.scale, 0]])).text(
                10, 27, line, 13.0, (255, 255, 255)
            )
        ink = np.full((h, w, 3), (255, 232, 186), np.float32)
        across = np.linspace(0, 1, w, dtype=np.float32)[None, :].repeat(h, 0)
        fade = (np.clip(across * 12, 0, 1) * np.clip((1 - across) * 12, 0, 1))[..., None]
        return cls(
            strip,
            (left // factor, top // factor),
            ink,
            fade,
            _shade(pen, factor, box, 0),
            (0.0, 110 * pen.scale),
            factor,
        )

    def onto(self, frame: Image, t: float) -> None:
        """Darken the box and print the words as they stand at t."""
        h, w = self.ink.shape[:2]
        if not h or not w:
            return
        down = (round(self.speed[0] * t) + np.arange(h * self.factor)) % self.strip.shape[0]
        along = (round(self.speed[1] * t) + np.arange(w * self.factor)) % self.strip.shape[1]
        letters = reduced(self.strip[down][:, along], self.factor)[..., None] * (self.fade * np.float32(1 / 255))
        box = frame[self.corner[1] : self.corner[1] + h, self.corner[0] : self.corner[0] + w]
        dark = box * self.shade
        box[:] = np.rint(dark + (self.ink - dark) * letters)


def _singer(pen: Pen, pose: _Pose) -> None:
    """The figure from the back to the front; the pen's origin is the base of the neck."""
    body = pen.moved(0, 130).moved(0, -130 + pose.bob * 0.4, pose.sway * 0.6)
    head = body.moved(0, -2 + pose.bob * 0.5, pose.head_turn).moved(0, -46)
    _hair_behind(head)
    body.stroke([(0, -16), (0, 10)], 25, SKIN_SHADE)
    _torso(body)
    _arm(body, (49, 24), pose.hand, upper=52, fore=50)
    _head(head, pose)
    mic = head.moved(-8, 40)
    _microphone(mic)
    hold = np.linalg.solve(body.matrix[:, :2], mic.pixels([(-12, 26)])[0] - body.matrix[:, 2])
    _arm(body, (-49, 24), (float(hold[0]), float(hold[1])), upper=47, fore=66, holding=True)


def _torso(pen: Pen) -> None:
    outline = [(13, 1), (34, 6), (53, 18), (61, 42), (55, 86), (56, 190)]
    pen.mirrored_blob([(x * 1.025, y - 1) for x, y in outline], LINE)
    pen.mirrored_blob(outline, SWEATER)
    pen.blob([(54, 24), (60, 42), (54, 86), (55, 186), (34, 186), (38, 90), (46, 50)], SWEATER_SHADE)
    for y in (46.0, 70.0, 94.0, 118.0, 142.0):
        reach = float(np.interp(y, (42, 86, 190), (58.5, 53, 54)))
        pen.stroke([(-reach, y - 3), (-reach / 2, y + 2), (0, y + 4), (reach / 2, y + 2), (reach, y - 3)], 5.5, STRIPE)
    knit = []
    for y in np.arange(26, 150, 6.0):
        for x in np.arange(-46, 48, 6.0):
            dip = 4 - (x / 26) ** 2
            knit.append([(x - 2.2, y + dip - 2), (x, y + dip + 1.4), (x + 2.2, y + dip - 2)])
    pen.strokes(knit, 0.7, (190, 106, 54))
    pen.stroke([(-15, 2), (-9, 10), (0, 13), (9, 10), (15, 2)], 6.0, SWEATER_SHADE)
    pen.stroke([(-15, 1), (-9, 9), (0, 12), (9, 9), (15, 1)], 2.0, STRIPE)


def _arm(
    pen: Pen, shoulder: tuple[float, float], hand: tuple[float, float], upper: float, fore: float, holding: bool = False
) -> None:
    """Upper arm, forearm and hand; the elbow hangs where their lengths put it."""
    s, h = np.array(shoulder), np.array(hand)
    reach = h - s
    distance = float(np.clip(np.hypot(*reach), 20, upper + fore - 1))
    along = reach / np.hypot(*reach)
    h = s + along * distance
    near = (upper**2 - fore**2 + distance**2) / (2 * distance)
    elbow = s + along * near + np.array([-along[1], along[0]]) * np.sqrt(max(upper**2 - near**2, 0.0))
    wrist = elbow + (h - elbow) * 0.86
    turn = float(np.arctan2(*(h - elbow)[::-1]))
    palm = pen.moved(float(h[0]), float(h[1]), turn)
    if not holding:
        _open_hand(palm)
    for width, colour in ((27, LINE), (24.6, SWEATER)):
        pen.stroke([s, (s + elbow) / 2, elbow], width, colour)
        pen.strokes([[elbow, wrist]], width - 4, colour)
    pen.ellipse(s[0] * 0.84, s[1] + 6, 12, 14, SWEATER)  # no seam at the shoulder
    side = np.array([-(wrist - elbow)[1], (wrist - elbow)[0]]) / np.hypot(*(wrist - elbow))
    for t in (0.42, 0.72):
        c = elbow + (wrist - elbow) * t
        pen.strokes([[c - side * 9.2, c + side * 9.2]], 4.6, STRIPE)
    pen.strokes([[wrist - side * 9.0, wrist + side * 9.0]], 5.0, SWEATER_SHADE)
    if holding:
        _fist(palm)


def _open_hand(pen: Pen) -> None:
    """A hand that points along +x."""
    fingers = [[(4.0, y * 0.6), (20 - abs(y - 1) * 0.6, y * 1.6)] for y in (-5, -1.6, 1.8, 5)]
    thumb = [[(-2.0, -5.0), (8.0, -14.0)]]
    for width, colour in ((6.4, LINE), (4.8, SKIN)):
        pen.strokes(fingers + thumb, width, colour)
        pen.ellipse(1.5, 0, 8.6 + (width - 4.8) / 2, 7.6 + (width - 4.8) / 2, colour)
    pen.strokes(fingers, 4.6, SKIN)


def _fist(pen: Pen) -> None:
    """Fingers closed round the microphone."""
    pen.ellipse(3, 0, 10.4, 9.6, LINE)
    pen.ellipse(3, 0, 9.6, 8.8, SKIN)
    fingers = [[(0, y), (11, y * 0.9)] for y in (-6, -2, 2, 6)]
    pen.strokes(fingers, 4.8, SKIN_SHADE)
    pen.strokes(fingers, 3.6, SKIN)


def _microphone(pen: Pen) -> None:
    """Head at the origin, handle down to the left."""
    pen.strokes([[(-1.5, 5), (-15, 38)]], 8.4, LINE)
    pen.strokes([[(-1.5, 5), (-15, 38)]], 6.6, (58, 60, 74))
    pen.strokes([[(-3.2, 6), (-16, 37)]], 1.2, (124, 128, 146))
    pen.ellipse(0, 0, 9.6, 9.6, LINE)
    pen.ellipse(0, 0, 8.8, 8.8, (150, 154, 168))
    mesh = []
    for k in np.linspace(-7, 7, 7):
        reach = np.sqrt(8.4**2 - k**2)
        mesh += [[(k, -reach), (k, reach)], [(-reach, k), (reach, k)]]
    pen.strokes(mesh, 0.5, (92, 96, 112))
    pen.ellipse(-2.6, -3, 2.6, 2.0, (216, 220, 230), angle=-0.6)
    pen.strokes([[(-7.2, 5.2), (7.2, 5.2)]], 2.2, (208, 172, 90))


def _hair_behind(pen: Pen) -> None:
    pen.mirrored_blob([(0, -51), (30, -42), (44, -14), (46, 16), (44, 38), (30, 50), (0, 44)], LINE)
    pen.mirrored_blob([(0, -50), (29, -41), (43, -14), (45, 16), (43, 37), (29, 48), (0, 42)], HAIR_SHADE)


def _head(pen: Pen, pose: _Pose) -> None:
    face = [(0, -42), (24, -34), (34, -8), (32, 14), (18, 36), (0, 43)]
    pen.mirrored_blob([(x * 1.03, y * 1.03) for x, y in face], LINE)
    pen.mirrored_blob(face, SKIN)
    pen.blob([(33, -8), (31.5, 14), (18, 36), (2, 42.4), (16, 32), (26, 12), (29, -10)], SKIN_SHADE)
    for side in (-1, 1):
        pen.ellipse(side * 21, 14, 6.5, 4.2, BLUSH)
        _eye(pen.moved(side * 14.5, -2, flip=side < 0), pose.lids)
        lift = 2.5 * pose.mouth
        pen.stroke(
            [(side * 7.5, -16.5 - lift), (side * 15, -18.6 - lift), (side * 23, -15 - lift * 0.6)], 1.9, HAIR_SHADE
        )
    pen.stroke([(-0.5, 4), (2.6, 10), (-1.2, 11.6)], 1.3, SKIN_SHADE)
    _mouth(pen.moved(0, 24), pose)
    _fringe(pen)
    pen.stroke([(-38, -6), (-36, -32), (-18, -50), (0, -54), (18, -50), (36, -32), (38, -6)], 6.4, LINE)
    pen.stroke([(-38, -6), (-36, -32), (-18, -50), (0, -54), (18, -50), (36, -32), (38, -6)], 4.8, (66, 76, 100))
    pen.stroke([(-33, -36), (-17, -51), (0, -55), (14, -52)], 1.2, (136, 148, 176))
    for side in (-1, 1):
        pen.ellipse(side * 38.5, 1, 8.2, 14.6, LINE)
        pen.ellipse(side * 38.5, 1, 7.2, 13.6, (82, 96, 124))
        pen.ellipse(side * 40, 1, 4.4, 9.6, (98, 196, 190))


def _eye(pen: Pen, lids: float) -> None:
    if lids < 0.15:
        pen.stroke([(-7, 1), (0, 3.4), (7.5, 0.6)], 1.8, LINE)
        return
    tall = 6.4 * lids
    white = [(-7.4, 1), (-3.6, -tall * 0.8), (1, -tall), (5.6, -tall * 0.7), (8.2, 0), (4, 4.6), (-3.6, 4.6)]
    pen.blob(white, (255, 252, 246))
    drop = (1 - lids) * 2
    pen.ellipse(0.4, -0.4 + drop, 4.6, min(5.2, tall * 0.5 + 2.6), (62, 122, 116))
    pen.ellipse(0.4, 0.2 + drop, 2.5, min(3.0, tall * 0.5 + 1), (24, 32, 40))
    pen.ellipse(-1.2, -2 + drop, 1.5, 1.5, (255, 255, 255))
    upper = [(-7.6, 1), (-3.6, -tall * 0.8), (1, -tall), (5.6, -tall * 0.7), (9.6, -0.6)]
    skin = [(-8, -1), (-3.6, -7.6), (1, -8.6), (6, -7.4), (9, -1)]
    if lids < 0.9:
        pen.fill(np.concatenate([smooth(upper, closed=False), smooth(skin, closed=False)[::-1]]), SKIN_SHADE)
    pen.stroke(upper, 1.9, LINE)
    pen.strokes([[(7.4, -1.6), (10.8, -4.2)], [(5.4, -tall * 0.7), (8.4, -tall * 0.7 - 2.6)]], 1.1, LINE)


def _mouth(pen: Pen, pose: _Pose) -> None:
    if pose.mouth < 0.08:
        pen.stroke([(-8, -0.6), (0, 1.6), (8, -0.6)], 1.7, (150, 62, 66))
        return
    half, tall = 10.5 - 4.0 * pose.roundness, 3.0 + 8.6 * pose.mouth
    top = -1.5 - 1.5 * pose.mouth
    shape = [
        (-half, top + 1),
        (-half * 0.5, top - 0.8),
        (half * 0.5, top - 0.8),
        (half, top + 1),
        (half * 0.6, top + tall * 0.86),
        (0, top + tall),
        (-half * 0.6, top + tall * 0.86),
    ]
    pen.blob([(x * 1.16, top + (y - top) * 1.14 - 0.4) for x, y in shape], (196, 84, 84))
    pen.blob(shape, (104, 30, 42))
    pen.blob(
        [(-half * 0.76, top + 0.6), (half * 0.76, top + 0.6), (half * 0.6, top + 2.8), (-half * 0.6, top + 2.8)],
        (252, 246, 236),
    )
    if tall > 6:
        pen.ellipse(0, top + tall * 0.78, half * 0.5, tall * 0.16, (214, 104, 104))


def _fringe(pen: Pen) -> None:
    """Hair over the forehead, parted on one side."""
    right = [
        (-10, -47),
        (14, -50),
        (36, -34),
        (43, -6),
        (44, 22),
        (40, 40),
        (34, 30),
        (35, 8),
        (31, -10),
        (18, -22),
        (-4, -32),
    ]
    left = [
        (-8, -48),
        (-30, -42),
        (-42, -14),
        (-44, 18),
        (-41, 38),
        (-34, 30),
        (-35, 6),
        (-32, -12),
        (-24, -26),
        (-8, -36),
    ]
    for lock in (right, left):
        pen.blob(lock, HAIR)
    strands = []
    for k in np.linspace(0, 1, 13):
        strands.append(
            smooth(
                [(-9, -46), (12 + 14 * k, -45 + 18 * k), (30 + 9 * k, -22 + 12 * k), (37 + 5 * k, 10 + 6 * k)],
                closed=False,
            )
        )
        strands.append(
            smooth(
                [(-10, -46), (-22 - 8 * k, -42 + 16 * k), (-34 - 6 * k, -18 + 8 * k), (-37 - 5 * k, 12 + 8 * k)],
                closed=False,
            )
        )
    pen.strokes(strands[::2], 0.6, HAIR_LIGHT)
    pen.strokes(strands[1::2], 0.6, HAIR_SHADE)


__all__ = ["BEAT", "LYRICS", "MELODY", "SOUND_RATE", "singer_frames", "singer_sound"]
