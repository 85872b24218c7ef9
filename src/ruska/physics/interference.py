"""Periodic interference of a scanned micrograph: mains hum and pickup, found in the spectrum and subtracted.

What an instrument picks up while it scans runs on in time, not with the specimen. With line time T and pixel time t a
hum of frequency f is cos(2 pi f (y T + x t) + phase): over the frame a plane wave of one amplitude, on the specimen as
beside it, whose frequency lies nearly along the slow axis Y. Lattice planes and gratings are told from it by what they
are: reflections off that axis, many harmonics, an amplitude that changes with thickness and focus, grains and edges.
A wave is reported only where all of this speaks for hum, so faint hum, and hum on a crystal, are left alone.

Steps and stripes without a period are measured by `physics.stripes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Complex = NDArray[np.complex128]
    Real = NDArray[np.float64]

_SMALLEST = 128  # pixels a plane must have, each way
_BINS = 64  # columns are averaged to that many: hum changes little along a row
_STRIP = 1 << 22  # pixels that are read at once
_TILT = 5  # periods along a row, at most
_FEWEST = 10  # periods down the frame, at least: below, shading looks the same
_MOST = 8  # waves of one frame
_BACKGROUND = 24  # bins of the spectrum to either side of a line that say how strong its surroundings are
_LINE = 5  # bins from the middle of a line to where it has ended
_SURE = 40.0  # times its surroundings' power that a line must have
_FAINT = 8.0  # times its standard error that the amplitude of a multiple of a found wave must have
_AROUND = (49, 3)  # rows and bins over which a step's variance is taken
_WHOLE = (0.98, 0.9)  # share of unclipped pixels around a step that lets it count: the rest shows less of a wave
_ENOUGH = 0.3  # share of the steps that must be left of that; else the next is taken
_WEAK = 0.05  # share of the strongest wave's amplitude below which a further one is left
_UNEVEN = 0.25  # share of the amplitude by which blocks of the frame may differ in it
_TELLING = 0.4  # share of the blocks that must be quiet enough to tell
_OFF_AXIS = 0.25  # share of the amplitude that a reflection off the axis must have to speak for a lattice
_REFLECTIONS = ((256, 4.0, 2.5), (1024, 12.0, 4.0))
"""Edge of the tiles whose power is averaged; times the power around it that a reflection has; the same for one of about
the wave's own spacing."""
_ORDERS = 7  # multiples of a frequency that are looked for
_MULTIPLES = 2  # of one frequency that hum has, at most
_PROFILE = 0.1  # share of the first one's amplitude that makes them count
_PICTURE = 0.85  # share of a picture's variance above which waves are no interference but what it shows


class Plane(Protocol):
    """An array (Y, X), or what reads rows of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, rows: slice, /) -> Any: ...


@dataclass(frozen=True)
class Wave:
    """One sinusoid: amplitude x cos(2 pi (frequency_y y + frequency_x x) + phase).

    frequency_y, frequency_x : cycles per pixel; the first > 0. amplitude : half of peak to peak, in grey levels.
    phase : in radians, at pixel (0, 0). snr : amplitude over its standard error.
    """

    frequency_y: float
    frequency_x: float
    amplitude: float
    phase: float
    snr: float

    def multiple(self, order: int) -> tuple[float, float]:
        """Frequency (y, x) of a multiple, as sampling shows it: between 0 and half a cycle per pixel along Y."""
        fy = (order * self.frequency_y + 0.5) % 1 - 0.5
        return (fy, order * self.frequency_x) if fy >= 0 else (-fy, -order * self.frequency_x)

    def at(self, y: Real, x: Real) -> Real:
        """Its value (Y, X) at rows ``y`` and columns ``x``."""
        down, along = 2 * np.pi * self.frequency_y * y + self.phase, 2 * np.pi * self.frequency_x * x
        found: Real = np.multiply.outer(self.amplitude * np.cos(down), np.cos(along))
        found -= np.multiply.outer(self.amplitude * np.sin(down), np.sin(along))
        return found


@dataclass(frozen=True)
class Interference:
    """The waves of one plane, and where they are.

    rows : first row and the one past the last; an information bar below the scan has none. low, high : grey levels at
    which the detector was clipped, which show no wave; None where it was not.
    """

    waves: tuple[Wave, ...] = ()
    rows: tuple[int, int] = (0, 0)
    low: float | None = None
    high: float | None = None

    @property
    def amplitude(self) -> float:
        """Of all waves together: that of one wave of the same power."""
        return float(np.sqrt(sum(wave.amplitude**2 for wave in self.waves)))

    def values(self, shape: tuple[int, int], origin: tuple[int, int] = (0, 0)) -> Real:
        """The waves over a box (Y, X) of the plane that begins at ``origin``."""
        y = np.arange(origin[0], origin[0] + shape[0], dtype=np.float64)
        x = np.arange(origin[1], origin[1] + shape[1], dtype=np.float64)
        total = np.zeros(shape)
        for wave in self.waves:
            total += wave.at(y, x)
        total[(y < self.rows[0]) | (y >= self.rows[1])] = 0.0
        return total

    def left_in(self, plane: NDArray[Any]) -> float:
        """Amplitude that the strongest wave has in another plane of the same shape, such as a restored one."""
        first, profile = self.waves[0], _Profile.of(plane)
        wave = _fitted(profile.between(*self.rows), first.frequency_y, first.frequency_x, tilt=_ORDERS * _TILT)
        return 0.0 if wave is None else wave.amplitude * float(np.cos(wave.phase - first.phase))

    def remove(self, values: NDArray[Any], origin: tuple[int, int] = (0, 0)) -> NDArray[Any]:
        """``values`` (Y, X), a box of the plane that begins at ``origin``, without the waves, in its own dtype.

        Each pixel by itself, so that boxes fit together. Integers are rounded and kept in range.
        """
        if not self.waves:
            return values
        clean = np.empty_like(values)
        step = max(1, _STRIP // (4 * values.shape[1]))  # little memory is taken at once
        for top in range(0, len(values), step):
            rows = slice(top, top + step)
            clean[rows] = self._removed(values[rows], (origin[0] + top, origin[1]))
        return clean

    def _removed(self, values: NDArray[Any], origin: tuple[int, int]) -> NDArray[Any]:
        kept = ~np.isfinite(values)
        for level in (self.low, self.high):
            if level is not None:
                kept |= values == level
        clean = values - self.values((values.shape[0], values.shape[1]), origin)
        if values.dtype.kind in "iu":
            limits = np.iinfo(values.dtype)
            clean = np.clip(np.rint(clean), limits.min, limits.max)
        return np.where(kept, values, clean.astype(values.dtype))


def find_interference(plane: NDArray[Any] | Plane) -> Interference:
    """Find the periodic interference of one whole plane (Y, X), rows scanned along X; nothing where it is uncertain.

    plane : at least 128 pixels each way, else nothing is found; any real dtype; NaN and infinite pixels are left out.
    Read in strips of rows, so it may be larger than memory. Raises GeometryError unless it is 2D.
    """
    if len(plane.shape) != 2:
        raise GeometryError("interference", f"got shape {plane.shape}, expected a plane (Y, X)")
    if min(plane.shape) < _SMALLEST:
        return Interference()
    profile = _Profile.of(plane)
    waves, rows = _waves(profile)
    if not waves:
        return Interference()
    middle = _middle(plane)
    if _grating(waves, middle) or _lattice(middle, plane.shape[1], waves):
        return Interference()
    return Interference(waves, rows, profile.low, profile.high)


@dataclass(frozen=True, eq=False)
class _Profile:
    """A plane with its columns averaged in bins, as steps from row to row, in which the specimen is weaker.

    steps : (Y - 1, bins). weights : of each, by the share of valid pixels and the variance around it.
    y, x : middle of each in pixels. width : of a bin in pixels.
    """

    steps: Real
    weights: Real
    y: Real
    x: Real
    width: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, plane: NDArray[Any] | Plane) -> _Profile:
        height, width = plane.shape
        bins = min(_BINS, width)
        edges = np.arange(bins) * width // bins
        pixels = np.diff(np.append(edges, width))
        low, high = _clipped(plane)
        mean, share = np.zeros((height, bins)), np.zeros((height, bins))
        step = max(1, _STRIP // width)
        for top in range(0, height, step):
            mean[top : top + step], share[top : top + step] = _binned(plane[top : top + step], edges, low, high)
        steps = np.diff(mean, axis=0)
        weights = _weights(steps, share)
        return cls(steps, weights, np.arange(height - 1) + 0.5, edges + (pixels - 1) / 2, width / bins, low, high)

    @property
    def height(self) -> int:
        return len(self.steps)

    def without(self, wave: Wave) -> _Profile:
        return replace(self, steps=self.steps - self.of_wave(wave))

    def between(self, first: int, last: int) -> _Profile:
        """Those of the rows ``first`` to ``last``, not included."""
        kept = slice(first, last - 1)
        return replace(self, steps=self.steps[kept], weights=self.weights[kept], y=self.y[kept])

    @property
    def columns(self) -> float:
        """Pixels along X."""
        return self.width * len(self.x)

    def gain(self, fy: float, fx: float) -> float:
        """What steps and the average over a bin make of the amplitude of a wave; its phase grows by a quarter turn."""
        return float(2 * np.sin(np.pi * fy) * np.sinc(fx * self.width))

    def of_wave(self, wave: Wave) -> Real:
        """The steps of a wave."""
        angle = 2 * np.pi * (wave.frequency_y * self.y[:, None] + wave.frequency_x * self.x[None, :])
        found: Real = -wave.amplitude * self.gain(wave.frequency_y, wave.frequency_x) * np.sin(angle + wave.phase)
        return found

    def carrier(self, fy: float, fx: float) -> Complex:
        found: Complex = np.exp(-2j * np.pi * fy * self.y)[:, None] * np.exp(-2j * np.pi * fx * self.x)[None, :]
        return found


def _binned(strip: Any, edges: NDArray[np.int_], low: float | None, high: float | None) -> tuple[Real, Real]:
    """Mean of the finite pixels in each bin of each row, and the share of pixels that are neither lost nor clipped.

    Clipped pixels stay in the mean: left out just where the hum is high, they would make it seem lower.
    """
    strip = np.asarray(strip)
    pixels = np.diff(np.append(edges, strip.shape[1]))
    lost = ~np.isfinite(strip) if strip.dtype.kind == "f" else None
    if lost is None or not lost.any():
        mean = np.add.reduceat(strip, edges, axis=1, dtype=np.float64) / pixels
    else:
        finite = np.add.reduceat(~lost, edges, axis=1, dtype=np.float64)
        mean = np.add.reduceat(np.where(lost, 0, strip), edges, axis=1, dtype=np.float64) / np.maximum(finite, 1)
    for level in (low, high):
        if level is not None:
            lost = (strip == level) | (False if lost is None else lost)
    share = np.ones(mean.shape) if lost is None else 1 - np.add.reduceat(lost, edges, axis=1, dtype=np.float64) / pixels
    return mean, share


def _weights(steps: Real, share: Real) -> Real:
    """Of each step: 0 where pixels are missing all around, less where the specimen or its noise are strong."""
    from scipy.ndimage import uniform_filter

    whole = uniform_filter(share, (9, 3), mode="nearest")
    usable = share
    for least in _WHOLE:
        if (whole > least).mean() > _ENOUGH:
            usable = share * (whole > least)
            break
    weights = np.minimum(usable[1:], usable[:-1])
    around = uniform_filter(weights, _AROUND, mode="nearest")
    variance = uniform_filter(weights * steps**2, _AROUND, mode="nearest") / np.maximum(around, 1e-9)
    typical = float(np.median(variance[weights > 0])) if np.any(weights > 0) else 0.0
    found: Real = weights * typical / np.maximum(variance + typical / 2, 1e-30)
    return found


def _clipped(plane: NDArray[Any] | Plane) -> tuple[float | None, float | None]:
    """Lowest and highest grey level of a plane, where more than a thousandth of its pixels have it."""
    height, width = plane.shape
    step = max(1, _STRIP // width)
    ends: list[tuple[float, float, int, int]] = []
    for top in range(0, height, step):
        strip = np.asarray(plane[top : top + step])
        if strip.dtype.kind == "f":
            strip = strip[np.isfinite(strip)]
        if strip.size:
            low, high = strip.min(), strip.max()
            ends.append((float(low), float(high), int((strip == low).sum()), int((strip == high).sum())))
    if not ends:
        return None, None
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    few = 1e-3 * height * width
    return (low if sum(e[2] for e in ends if e[0] == low) > few else None,
            high if sum(e[3] for e in ends if e[1] == high) > few else None)  # fmt: skip


def _waves(profile: _Profile) -> tuple[tuple[Wave, ...], tuple[int, int]]:
    """Every wave that stands out of the spectrum and is even over the frame, the strongest first; and their rows."""
    found: list[Wave] = []
    refused: list[tuple[float, float]] = []
    left, rows = profile, (0, profile.height + 1)
    spectrum = _spectrum(left)
    while len(found) < _MOST and len(refused) <= _MOST:
        start = _strongest(left, spectrum, found, refused)
        if start is None:
            break
        wave, part = _fitted(left, *_refined(left, *start)), left
        if wave is not None and not found and (ends := _extent(left, wave)) != rows:
            part = left.between(*ends)
            wave = _fitted(part, *_refined(part, wave.frequency_y, wave.frequency_x))
        if wave is None or not _even(part, wave):
            refused.append(start)
            continue
        if part is not left:
            left, rows = part, ends
        found.append(wave)
        left = left.without(wave)
        spectrum = _spectrum(left)
    for order in range(2, _ORDERS + 1) if found else ():
        wave = _harmonic(left, max(found, key=_amplitude), order, found)
        if wave is not None:
            found.append(wave)
            left = left.without(wave)
    weakest = _WEAK * max(map(_amplitude, found), default=0.0)
    return tuple(sorted((w for w in found if w.amplitude >= weakest), key=_amplitude, reverse=True)), rows


def _amplitude(wave: Wave) -> float:
    return wave.amplitude


def _harmonic(profile: _Profile, first: Wave, order: int, found: list[Wave]) -> Wave | None:
    """The wave at a multiple of the frequency of another, where there is one."""
    fy, fx = first.multiple(order)
    if any(abs(wave.frequency_y - fy) * profile.height < _LINE for wave in found):
        return None
    wave = _fitted(profile, *_refined(profile, fy, fx), tilt=order * _TILT)
    if wave is None or wave.snr < _FAINT or not _even(profile, wave, sure=0.0):
        return None
    near = abs(wave.frequency_y - fy) * profile.height < 1 and abs(wave.frequency_x - fx) * profile.columns < 1
    return wave if near else None


def _hann(n: int) -> Real:
    """Without the zeros at its ends."""
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def _tapered(profile: _Profile) -> Real:
    """Weights of the steps that fall off to the edges, lest the specimen leak over the spectrum."""
    return profile.weights * _hann(profile.height)[:, None] * _hann(len(profile.x))[None, :]


def _strongest(
    profile: _Profile, spectrum: tuple[Real, Real, Real], found: list[Wave], refused: list[tuple[float, float]]
) -> tuple[float, float] | None:
    """Frequency (y, x) of the line that most stands out of its surroundings; None where none does enough."""
    height = profile.height
    power, ratio, tilts = spectrum[0], spectrum[1].copy(), spectrum[2]
    frequencies = np.arange(height // 2) / height
    ratio[:_FEWEST] = 0
    ratio[height // 2 - 2 :] = 0
    for fy, fx in refused:
        near = np.abs(frequencies - fy) * height < _LINE
        ratio[np.ix_(near, np.abs(tilts - fx) * profile.columns < 3)] = 0
    for wave in found:
        ratio[np.abs(frequencies - wave.frequency_y) * height < _LINE] = 0
    row = int(np.argmax(ratio.max(1)))
    if ratio[row].max() < _SURE:
        return None
    column = int(np.argmax(np.where(ratio[row] > 0, power[row], 0)))
    return float(frequencies[row]), float(tilts[column])


def _spectrum(profile: _Profile) -> tuple[Real, Real, Real]:
    """Power (fy, tilts), how far each line stands out of what is around it, and the tilts as frequencies along X."""
    from scipy.ndimage import maximum_filter1d, median_filter

    tilts = np.arange(-_TILT, _TILT + 1) / profile.columns
    rows = (_tapered(profile) * profile.steps) @ np.exp(-2j * np.pi * profile.x[:, None] * tilts[None, :])
    power = np.abs(np.fft.fft(rows, axis=0)[: profile.height // 2]) ** 2
    around = median_filter(power, size=(2 * _BACKGROUND + 1, 1), mode="nearest") / np.log(2)
    # the strongest of what is beside the line, where a line of one bin has ended
    most = maximum_filter1d(power, 7, axis=0)
    beside = np.maximum(np.roll(most, _LINE + 3, axis=0), np.roll(most, -_LINE - 3, axis=0))
    return power, np.minimum(power / np.maximum(around, 1e-30), 10 * power / np.maximum(beside, 1e-30)), tilts


def _refined(profile: _Profile, fy: float, fx: float) -> tuple[float, float]:
    """The maximum of the tapered power near a bin of the spectrum, by Newton steps on its logarithm."""
    data = _tapered(profile) * profile.steps
    y, x = profile.y - profile.y.mean(), profile.x - profile.x.mean()
    limit = np.array([0.7 / profile.height, 0.7 / profile.columns])
    for _ in range(8):
        turned = data @ (np.exp(-2j * np.pi * fx * x)[:, None] * np.stack([np.ones_like(x), x, x * x], 1))
        moments = (np.exp(-2j * np.pi * fy * y) * np.stack([np.ones_like(y), y, y * y])) @ turned
        if moments[0, 0] == 0:
            break
        m = moments / moments[0, 0]
        # of the logarithm of the sum: gradient 2 Re(s' / s), Hessian 2 Re(s'' / s - s' s' / s^2)
        slope = -2j * np.pi * np.array([m[1, 0], m[0, 1]])
        bend = -4 * np.pi**2 * np.array([[m[2, 0], m[1, 1]], [m[1, 1], m[0, 2]]]) - np.outer(slope, slope)
        if np.linalg.eigvalsh(bend.real).max() >= 0:  # not yet near the top
            step = np.sign(slope.real) * limit / 2
        else:
            step = np.clip(-np.linalg.solve(bend.real, slope.real), -limit, limit)
        fy, fx = fy + step[0], fx + step[1]
        if np.all(np.abs(step) < 1e-6 * limit):
            break
    return float(fy), float(fx)


def _fitted(profile: _Profile, fy: float, fx: float, tilt: float = _TILT) -> Wave | None:
    """The wave of that frequency, by least squares with the tapered weights; None outside what hum may be."""
    height = profile.height
    if not (_FEWEST <= fy * height <= height / 2 - 1 and abs(fx) * profile.columns <= tilt):
        return None
    weights = _tapered(profile)
    turn = profile.carrier(fy, fx).conj()
    cells = weights * profile.steps
    normal = np.array([[(weights * a * b).sum() for a in (turn.real, turn.imag)] for b in (turn.real, turn.imag)])
    if np.linalg.det(normal) <= 1e-3 * normal.trace() ** 2 / 4:
        return None
    cosine, sine = np.linalg.solve(normal, [(cells * turn.real).sum(), (cells * turn.imag).sum()])
    gain = profile.gain(fy, fx)
    amplitude = float(np.hypot(cosine, sine)) / gain
    # what the surroundings in the spectrum would give by chance
    offsets = np.array([sign * d / height for d in (5, 6, 7, 8, 10, 12) for sign in (-1, 1)])
    turned = cells @ np.exp(-2j * np.pi * fx * profile.x)
    beside = np.exp(-2j * np.pi * (fy + offsets)[:, None] * profile.y[None, :]) @ turned
    chance = np.abs(beside) * 2 / weights.sum() / gain
    error = float(np.sqrt(np.median(chance**2) / np.log(2) / 2))
    phase = float(np.arctan2(-sine, cosine) - np.pi / 2)
    return Wave(fy, fx, amplitude, phase, amplitude / max(error, 1e-12 * amplitude))


def _even(profile: _Profile, wave: Wave, sure: float = _TELLING) -> bool:
    """Whether blocks of the frame agree in amplitude and phase, as far as what else is in them lets tell."""
    fy, fx = wave.frequency_y, wave.frequency_x
    strips = int(np.clip(fy * profile.height // 4, 2, 6))
    carrier = profile.carrier(fy, fx)
    expected = wave.amplitude * np.exp(1j * (wave.phase + np.pi / 2))
    agree, against, telling = 0, 0, 0
    for rows in np.array_split(np.arange(profile.height), strips):
        steps = np.array([-5, -4, -3, 3, 4, 5]) / len(rows)
        others = np.exp(-2j * np.pi * steps[:, None] * profile.y[rows][None, :])
        for columns in np.array_split(np.arange(len(profile.x)), 4):
            box = np.ix_(rows, columns)
            weights = profile.weights[box] * _hann(len(rows))[:, None] * _hann(len(columns))[None, :]
            total = weights.sum()
            if (profile.weights[box] > 0).mean() < 0.1:
                continue  # too few valid pixels
            lines = (weights * profile.steps[box] * carrier[box]).sum(1) * 2 / total / profile.gain(fy, fx)
            error = np.sqrt(np.median(np.abs(others @ lines) ** 2) / np.log(2))
            off = abs(lines.sum() - expected)
            agree += off <= _UNEVEN * wave.amplitude + 2.5 * error
            against += off > _UNEVEN * wave.amplitude + 2.5 * error
            telling += error < 0.35 * wave.amplitude
    return bool(telling >= sure * strips * 4 and against <= 0.15 * (agree + against))


def _grating(waves: tuple[Wave, ...], middle: Real) -> bool:
    """Whether the waves are what the picture shows, or the profile of bars: more multiples than hum has."""
    power = sum(wave.amplitude**2 for wave in waves) / 2
    return _multiples(waves) > _MULTIPLES or power > _PICTURE * middle.var()


def _multiples(waves: tuple[Wave, ...]) -> int:
    """Waves at multiples of the strongest one's frequency."""
    first = waves[0]
    places = [first.multiple(order) for order in range(2, _ORDERS + 1)]
    strong = [wave for wave in waves[1:] if wave.amplitude > _PROFILE * first.amplitude]
    return sum(min(abs(wave.frequency_y - fy) for fy, _ in places) < 1e-3 for wave in strong)


def _lattice(middle: Real, columns: int, waves: tuple[Wave, ...]) -> bool:
    """Whether the spectrum has reflections off the slow axis that are not far weaker than the strongest wave.

    Of about the wave's own spacing, as the other planes of its lattice would have, fainter ones count.
    """
    first = waves[0]
    own = np.hypot(first.frequency_y, first.frequency_x)
    for edge, prominent, alike in _REFLECTIONS:
        power, wide = _off_axis(middle, edge)
        fy = ((np.arange(len(power)) / len(power) + 0.5) % 1 - 0.5)[:, None]
        fx = (np.arange(power.shape[1]) / wide)[None, :]
        spacing = np.hypot(fy, fx)
        needed = np.where((spacing > own / 2) & (spacing < 2 * own), alike, prominent)
        strong = (power > (_OFF_AXIS * first.amplitude) ** 2) & (power > needed * _ringed(power))
        slack = 2.5 / len(power), 2.5 / wide
        for row, column in np.argwhere(strong):
            place = float(fy[row, 0]), float(fx[0, column])
            if not any(_explains(wave, *place, *slack, columns) for wave in waves):
                return True
    return False


def _explains(wave: Wave, fy: float, fx: float, slack_y: float, slack_x: float, columns: int) -> bool:
    """Whether a place in the spectrum is on the slow axis, or a multiple of the wave's frequency, within the slack."""
    if abs(fx) <= _TILT / columns + slack_x:
        return True
    for order in range(1, _ORDERS + 1):
        y, x = wave.multiple(order)
        for sign in (-1, 1):
            away = abs((sign * y - fy + 0.5) % 1 - 0.5)
            if away <= slack_y and abs(sign * x - fx) <= slack_x:
                return True
    return False


def _middle(plane: NDArray[Any] | Plane) -> Real:
    """The central 1024 x 1024 pixels or fewer, with the mean in place of what is not finite."""
    top, left = (max(0, (n - 1024) // 2) for n in plane.shape)
    middle = np.asarray(plane[top : top + 1024])[:, left : left + 1024].astype(np.float64)
    valid = np.isfinite(middle)
    return middle if valid.all() else np.where(valid, middle, middle[valid].mean() if valid.any() else 0.0)


def _off_axis(middle: Real, edge: int) -> tuple[Real, int]:
    """Squared amplitudes (fy, fx >= 0) and columns of a tile, averaged over overlapping tiles of ``edge`` pixels."""
    height, wide = (min(edge, n) for n in middle.shape)
    taper = _hann(height)[:, None] * _hann(wide)[None, :]
    total = np.zeros((height, wide // 2 + 1))
    for top in _starts(middle.shape[0], height):
        for left in _starts(middle.shape[1], wide):
            tile = middle[top : top + height, left : left + wide]
            level = (taper * tile).sum() / taper.sum()
            total += np.abs(np.fft.rfft2((tile - level) * taper) * 2 / taper.sum()) ** 2
    power = total / (len(_starts(middle.shape[0], height)) * len(_starts(middle.shape[1], wide)))
    return power, wide


def _starts(n: int, edge: int) -> list[int]:
    count = int(np.ceil(2 * n / edge - 1))
    return [round(k * (n - edge) / max(1, count - 1)) for k in range(count)]


def _ringed(power: Real) -> Real:
    """The most in a ring of 4 to 6 bins around each bin: beside a reflection there is little, beside an edge more."""
    from scipy.ndimage import maximum_filter

    y, x = np.mgrid[-6:7, -6:7]
    distance = np.hypot(y, x)
    found: Real = maximum_filter(power, footprint=(distance >= 4) & (distance <= 6.5), mode="wrap")
    return found


def _extent(profile: _Profile, wave: Wave) -> tuple[int, int]:
    """First row of a wave and the one past its last: where taking it away begins and ends to leave less.

    All rows, unless those beyond clearly differ and are a small part: a data bar.
    """
    cells = profile.of_wave(wave)
    gain = (profile.weights * (2 * profile.steps * cells - np.square(cells))).sum(1)
    middle = len(gain) // 2
    spread = float(gain[middle // 2 : middle + middle // 2].std())
    ends = []
    for half in (gain[middle:], gain[:middle][::-1]):
        total = np.cumsum(half)
        best = int(np.argmax(total)) + 1
        lost, by_chance = total[best - 1] - total[-1], spread * np.sqrt(len(half) - best)
        ends.append(best if lost > 5 * by_chance and best > 0.6 * len(half) else len(half))
    bottom = middle + ends[0]
    return middle - ends[1], bottom + (bottom == len(gain))
