"""Spin-echo signal of tissues, and the effects of a scanner: coil profile, saturation, sampling, noise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tissue:
    """Parameters of the spin-echo equation for one tissue at 1.5 T.

    Attributes:
        t1: longitudinal relaxation time in ms.
        t2: transverse relaxation time in ms.
        density: proton density, pure water = 1.
    """

    t1: float
    t2: float
    density: float


# Relaxation times at 1.5 T. Sources:
#  [B] de Bazelaire CMJ et al., MR imaging relaxation times of abdominal and pelvic tissues measured in vivo at 3.0 T,
#      Radiology 230:652-659, 2004 (its 1.5 T measurements).
#  [G] Gold GE et al., Musculoskeletal MRI at 3.0 T: relaxation times and image contrast, AJR 183:343-351, 2004 (1.5 T).
#  [S] Stanisz GJ et al., T1, T2 relaxation and magnetization transfer in tissue at 3T, MRM 54:507-512, 2005 (1.5 T).
#  [R] Rooney WD et al., Magnetic field and tissue dependencies of human brain longitudinal 1H2O relaxation in vivo,
#      MRM 57:308-318, 2007.
#  [P] Piechnik SK et al., Functional changes in CSF volume estimated using measurement of water T2 relaxation,
#      MRM 61:579-586, 2009.
#  [N] Marinelli NL et al., T2 relaxation times correlated with stage of lumbar intervertebral disk degeneration and
#      patient age, AJNR 31:1278-1282, 2010: centre of discs 132 ms in the twenties, 53 ms at Pfirrmann grade IV.
#  [H] Henkelman RM et al., Why fat is bright in RARE and fast spin-echo imaging, JMRI 4:533-540, 1994: trains of
#      refocusing pulses lengthen the apparent T2 of fat, hence [G]'s long value and not [B]'s 58 ms. Pai A et al., Magn
#      Reson Imaging 26:1215-1220, 2008, measured 41 to 143 ms in subcutaneous fat at 3 T, depending on the sequence.
# Proton densities are relative to water; bone, ligament, fascia and skin have hardly any signal at clinical echo times
# and have effective values.
TISSUES: Mapping[str, Tissue] = {
    "fat": Tissue(288.0, 165.0, 0.90),  # [G] subcutaneous fat, [H]
    "marrow fat": Tissue(288.0, 165.0, 0.90),  # [G]
    "marrow water": Tissue(750.0, 49.0, 0.55),  # T2 [B]; T1 above [B]'s 549 ms, which is that of fat and water together
    "muscle": Tissue(1008.0, 44.0, 0.79),  # [S]; [B] 856/27, [G] 1130/35
    "cerebrospinal fluid": Tissue(4000.0, 2000.0, 1.00),  # [R], [P]
    "cord": Tissue(745.0, 74.0, 0.72),  # [S]
    "nerve": Tissue(815.0, 77.0, 0.74),  # [S] optic nerve
    "nucleus": Tissue(1250.0, 130.0, 0.88),  # T2 [N], discs without degeneration; T1 chosen
    "degenerate nucleus": Tissue(800.0, 58.0, 0.66),  # T2 near [N], grade IV; T1 chosen
    "annulus": Tissue(800.0, 42.0, 0.58),  # chosen, below the degenerate nucleus
    "blood": Tissue(1441.0, 290.0, 0.80),  # [S]
    "liver": Tissue(576.0, 46.0, 0.75),  # [S]; [B] 586/46
    "bowel wall": Tissue(900.0, 60.0, 0.75),  # as smooth muscle, between muscle and kidney in [B]
    "bowel content": Tissue(1300.0, 120.0, 0.70),  # watery mucus, shortened by solids
    "bone": Tissue(500.0, 12.0, 0.10),
    "ligament": Tissue(600.0, 14.0, 0.30),
    "skin": Tissue(700.0, 30.0, 0.50),
}


def spin_echo(tissue: Tissue, repetition_time: float, echo_time: float) -> float:
    """Compute the signal of a spin echo, PD · (1 − exp(−TR/T1)) · exp(−TE/T2).

    This form holds for TE much shorter than TR (Hendrick RE, Basic physics of MR contrast, RadioGraphics 14:829-846, 1994).

    Args:
        tissue: T1 and T2 in ms, proton density.
        repetition_time: TR in ms.
        echo_time: TE in ms.

    Returns:
        The signal, 0 … proton density.
    """
    recovered = 1.0 - np.exp(-repetition_time / tissue.t1)
    return float(tissue.density * recovered * np.exp(-echo_time / tissue.t2))


def personal_tissues(random: np.random.Generator) -> dict[str, Tissue]:
    """Draw the tissues of one person: T1 and T2 vary by 5 % (at most 10 %), proton density by 2 % (at most 5 %)."""
    table = {}
    for name, tissue in TISSUES.items():
        t1, t2 = np.clip(random.normal(1.0, 0.05, 2), 0.9, 1.1)
        density = np.clip(random.normal(1.0, 0.02), 0.95, 1.05)
        table[name] = replace(tissue, t1=tissue.t1 * t1, t2=tissue.t2 * t2, density=tissue.density * density)
    return table


def coil_profile(anterior: Array, superior: Array, coil: tuple[float, float], depth: float, strength: float) -> Array:
    """Compute the sensitivity of a spine surface coil behind the patient.

    Args:
        anterior: world A coordinate of the pixels, mm.
        superior: world S coordinate of the pixels, mm, of a shape that broadcasts with `anterior`.
        coil: A of the coil's plane and S of its centre, mm.
        depth: distance from the coil at which the raw sensitivity is halved, mm.
        strength: 0 (fully corrected by a filter) … 1 (raw profile).

    Returns:
        Factors, float32; 1 at 60 mm from the coil opposite its centre.
    """
    distance = np.maximum(anterior - np.float32(coil[0]), 0.0)
    along = np.abs(superior - np.float32(coil[1]))
    raw = 1.0 / (1.0 + distance / depth) ** 1.6 / (1.0 + np.exp((along - 185.0) / 16.0))
    unit = 1.0 / (1.0 + 60.0 / depth) ** 1.6
    return np.asarray((raw / unit) ** strength, dtype=np.float32)


def saturation_band(anterior: Array, superior: Array, edge: tuple[float, float, float]) -> Array:
    """Compute the signal that remains under a saturation slab over the abdomen (1 behind its edge, 0.06 in front of it).

    Args:
        anterior: world A coordinate of the pixels, mm.
        superior: world S coordinate of the pixels, mm.
        edge: A of the slab's rear face at S = 0 (mm), its change in A per mm of S, and the width of its edge (mm).

    Returns:
        Factors, float32.
    """
    position, slope, width = edge
    depth = (anterior - np.float32(position) - np.float32(slope) * superior) / np.float32(width)
    return np.asarray(0.06 + 0.94 / (1.0 + np.exp(np.clip(depth, -30.0, 30.0))), dtype=np.float32)


def _zero_fill(spectrum: NDArray[Any], size: int, axis: int) -> NDArray[Any]:
    """Extend a spectrum (in FFT order) along an axis with zeros at the highest frequencies."""
    samples = spectrum.shape[axis]
    if samples == size:
        return spectrum
    low, high = np.split(spectrum, [(samples + 1) // 2], axis)
    shape = list(spectrum.shape)
    shape[axis] = size - samples
    return np.concatenate([low, np.zeros(shape, spectrum.dtype), high], axis)


def acquire(
    signal: Array, size: int, noise: float, ghosting: tuple[float, float], random: np.random.Generator
) -> Array:
    """Simulate the acquisition of a slice: k-space lines, receiver noise, zero filling, magnitude.

    The samples of `signal` lie at the position of the first pixel and then every `size / n` pixels. Their spectrum is
    apodised (Hann edge over the outer fifth), complex white noise is added, and it is zero-filled to `size`, so the
    magnitude image has Rician noise (Gudbjartsson and Patz, MRM 34:910-914, 1995) with the smoothness of interpolated
    matrices.

    Args:
        signal: noise-free transverse magnetisation, (n, n), n ≤ `size`.
        size: rows and columns of the image.
        noise: standard deviation of the noise in each of the two channels, in units of the signal.
        ghosting: relative amplitude, and cycles per field of view, of a periodic motion along the phase-encoded columns.
        random: source of the noise.

    Returns:
        The magnitude image, (size, size), float32.
    """
    samples = signal.shape[0]
    spectrum: NDArray[Any] = fft.fft2(signal.astype(np.complex64))
    white = random.standard_normal((2, samples, samples), dtype=np.float32)
    # noise of unit variance per pixel has a spectrum of variance samples²; zero filling scales signal and noise alike
    spectrum += np.float32(noise * samples) * (white[0] + np.complex64(1j) * white[1])
    frequency = np.abs(fft.fftfreq(samples).astype(np.float32)) * 2.0
    window = np.where(frequency > 0.8, 0.5 + 0.5 * np.cos(np.pi * (frequency - 0.8) / 0.2), 1.0).astype(np.float32)
    phase = np.arange(samples, dtype=np.float32) * np.float32(2.0 * np.pi * ghosting[1] / samples)
    lines = window * (1.0 + np.float32(ghosting[0]) * np.cos(phase))
    spectrum *= window[:, None] * lines[None, :]
    image = spectrum
    for axis in (0, 1):  # one axis at a time, because empty columns need no transform along the rows
        image = fft.ifft(_zero_fill(image, size, axis), axis=axis)
    image *= np.float32((size / samples) ** 2)
    return np.abs(image).astype(np.float32)
