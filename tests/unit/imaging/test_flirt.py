"""FLIRT: its command line and matrix, and how it fails."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fsl.utils.platform import platform as fsl_platform
from fsl.wrappers import flirt

from factories.registration import fake_fsl, image_of, motion
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.flirt import flirt_arguments
from lumbarseg.imaging.registration.transforms import to_flirt

ROOT = Path(__file__).parents[3]


def test_flirt_arguments_are_those_that_work_on_thick_slices(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, "exit 1")))
    nib.save(image_of(0, size=30), session.fixed)
    nib.save(image_of(1, size=30), session.moving)
    command = flirt(str(session.moving), str(session.fixed), omat="6.mat", cmdonly=True, **flirt_arguments(6))
    text = " ".join(command)
    for part in ("-dof 6", "-cost mutualinfo", "-searchcost mutualinfo", "-nosearch", "-usesqform", "-omat 6.mat"):
        assert part in text
    assert f"-in {session.moving} -ref {session.fixed}" in text


@pytest.mark.parametrize("degrees_of_freedom", [6, 12])
def test_register_applies_the_matrix_of_flirt(session, tmp_path, monkeypatch, degrees_of_freedom):
    truth = motion((2, -1, 1), (1, -3, 4))
    fixed, moving = image_of(0, size=80), image_of(1, size=80, displaced=truth, seed=1)
    np.savetxt(tmp_path / "answer", to_flirt(truth, fixed, moving), fmt="%.10f")
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f'cp {tmp_path}/answer "$omat"')))
    found, report = session.run(fixed, moving, engine="flirt", degrees_of_freedom=degrees_of_freedom)
    np.testing.assert_allclose(found, truth, atol=1e-4)
    assert (report["engine"], report["version"]) == ("flirt", "FSL 6.0.7")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith("NIFTI_GZ ")
    assert "-dof 6 " in asked[0]
    if degrees_of_freedom == 12:  # only from its own rigid result
        assert "-dof 12 " in asked[1]
        assert f"-init {asked[0].split('-omat ')[1].split()[0]}" in asked[1]
    else:
        assert len(asked) == 1


@pytest.mark.parametrize(
    ("shift", "reason"), [(75, "mm, more than 20 mm"), (12, "mutual information lower than with the header geometry")]
)
def test_register_rejects_implausible_answers_of_flirt(session, tmp_path, monkeypatch, shift, reason):
    answer = f'printf "1 0 0 {shift}\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, answer)))
    found, report = session.run(image_of(0, size=80), image_of(1, size=80, seed=1), engine="flirt")
    assert report["fell_back_to_header"]
    assert reason in report["reason"]
    assert report["shift_length_mm"] == pytest.approx(shift, abs=0.1)
    np.testing.assert_allclose(found, np.eye(4), atol=1e-6)


def test_register_passes_cost_and_search_to_flirt(session, tmp_path, monkeypatch):
    fixed, moving = image_of(0, size=60), image_of(1, size=60, seed=1)
    np.savetxt(tmp_path / "answer", to_flirt(motion((0, 0, 0), (0, 0, 1)), fixed, moving), fmt="%.10f")
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f'cp {tmp_path}/answer "$omat"')))
    settings = {"cost": "normmi", "search_deg": 20}
    session.run(fixed, moving, engine="flirt", degrees_of_freedom=12, flirt=settings)
    rigid, affine = (tmp_path / "asked").read_text().splitlines()
    for axis in "xyz":
        assert f"-searchr{axis} -20.0 20.0" in rigid
    assert "-nosearch" not in rigid
    assert "-nosearch" in affine  # started from the rigid result, it has nothing to search
    assert "-cost normmi -searchcost normmi" in rigid
    assert "-cost normmi" in affine


def test_register_warns_when_it_falls_back_to_the_header(session, tmp_path, monkeypatch, caplog):
    answer = 'printf "1 0 0 6\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, answer)))
    with caplog.at_level("WARNING", "lumbarseg"):
        session.run(image_of(0, size=80), image_of(1, size=80, seed=1), max_shift_mm=4.0, engine="flirt")
    assert "t1w.nii.gz: registration to " in caplog.text
    assert "rejected (shift of 6.0 mm, more than 4 mm; mutual information lower" in caplog.text


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_register_reports_a_missing_fsl_in_one_sentence(session, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    if folder:
        monkeypatch.setenv("FSLDIR", str(tmp_path / folder))
    there = re.escape(str(tmp_path / folder)) if folder else r"\$FSLDIR"
    with pytest.raises(
        InputError,
        match=rf"flirt needs FSL, but there is no {there}/bin/flirt and no flirt in PATH; install FSL .*`engine: itk`",
    ):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


IDENTITY = 'printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"'


@pytest.mark.parametrize("fsldir", [None, "/nowhere"])
@pytest.mark.parametrize("linked", [False, True])
def test_register_uses_a_flirt_that_is_in_path_alone(session, tmp_path, monkeypatch, fsldir, linked):
    folder = fake_fsl(tmp_path, f'echo "$FSLDIR" > {tmp_path}/folder\n{IDENTITY}') / "bin"
    if linked:  # as a module that links programs into one folder
        (tmp_path / "tools").mkdir()
        (tmp_path / "tools/flirt").symlink_to(folder / "flirt")
        folder = tmp_path / "tools"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    if fsldir:
        monkeypatch.setenv("FSLDIR", fsldir)
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["version"] == "FSL 6.0.7"
    assert (tmp_path / "folder").read_text().strip() == str(tmp_path / "fsl")


def test_register_names_no_version_where_fsl_has_none(session, tmp_path, monkeypatch):
    folder = fake_fsl(tmp_path, IDENTITY)
    (folder / "etc/fslversion").unlink()
    monkeypatch.setattr(fsl_platform, "fsldir", str(folder))
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["version"] == "FSL of unknown version"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("true", "wrote no matrix"),
        (': > "$omat"', "wrote an empty matrix"),
        ('printf "1 0 0 0\\n0 1 0" > "$omat"', "wrote an incomplete matrix"),
        ('printf "1 0 0 0\\n0 1 0 0\\n" > "$omat"', "wrote a matrix of 2 × 4 numbers"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 1 0\\n0 0 0\\n" > "$omat"', "wrote an incomplete matrix"),
        ('printf "1 0 0\\n0 1 0\\n0 0 1\\n" > "$omat"', "wrote a matrix of 3 × 3 numbers"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 nan 0\\n0 0 0 1\\n" > "$omat"', "values that are not finite"),
        ('printf "1 0 0 inf\\n0 1 0 0\\n0 0 1 0\\n0 0 0 1\\n" > "$omat"', "values that are not finite"),
        ('printf "1 0 0 0\\n0 1 0 0\\n0 0 0 0\\n0 0 0 1\\n" > "$omat"', "singular or no motion"),
        ('printf "0 0 0 0\\n0 0 0 0\\n0 0 0 0\\n0 0 0 0\\n" > "$omat"', "without 0 0 0 1 in its last row"),
        ('printf "\\377\\376\\000garbage" > "$omat"', "wrote an incomplete matrix"),
    ],
)
@pytest.mark.parametrize("degrees_of_freedom", [6, 12])
def test_register_refuses_a_broken_matrix_of_flirt(session, tmp_path, monkeypatch, script, problem, degrees_of_freedom):
    if degrees_of_freedom == 12:  # the second matrix is the broken one
        script = f'if grep -q "dof 12" {tmp_path}/asked; then {script}; else {IDENTITY}; fi'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, script)))
    with pytest.raises(
        InputError, match=rf"t1w\.nii\.gz: FLIRT .*{problem}.*though it reported no error; free space in"
    ):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt", degrees_of_freedom=degrees_of_freedom)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -KILL $$", r"killed by SIGKILL \(exit code -9\).*too little memory: give the job more"),
        ("exit 137", r"killed by SIGKILL \(exit code 137\).*too little memory"),
        ("kill -TERM $$", r"killed by SIGTERM \(exit code -15\).*time limit"),
        ("exit 143", r"killed by SIGTERM \(exit code 143\).*time limit"),
        ("kill -SEGV $$", r"killed by SIGSEGV \(exit code -11\).*-version` works on this machine"),
        (
            "echo 'error while loading shared libraries' >&2; exit 127",
            r"exit code 127: error while loading.*-version` works",
        ),
        ("exit 3", r"\(exit code 3\); check that both images open in FSLeyes"),
    ],
)
def test_register_reports_how_flirt_ended(session, tmp_path, monkeypatch, script, reason):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, script)))
    with pytest.raises(InputError, match=rf"t1w\.nii\.gz: FLIRT .*{reason}"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


def test_register_reports_a_flirt_that_cannot_be_started(session, tmp_path, monkeypatch):
    folder = fake_fsl(tmp_path, "true")
    (folder / "bin/flirt").write_bytes(b"\x7fELF of another machine")
    monkeypatch.setattr(fsl_platform, "fsldir", str(folder))
    with pytest.raises(InputError, match=r"fsl/bin/flirt: cannot be started \(Exec format error\); install FSL again"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


def test_register_accepts_messages_of_flirt_in_any_encoding(session, tmp_path, monkeypatch):
    noise = 'printf "Aviso: volum\\351n \\377\\n" >&2'
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, f"{noise}\n{IDENTITY}")))
    _, report = session.run(image_of(0, size=40), image_of(1, size=40, seed=1), engine="flirt")
    assert report["engine"] == "flirt"


def test_register_quotes_messages_of_flirt_in_any_encoding(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, 'printf "volum\\351n" >&2; exit 1')))
    with pytest.raises(InputError, match="exit code 1: volum\ufffdn"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")


@pytest.mark.parametrize("script", ["exec sleep 60", "sleep 60", "trap '' TERM; sleep 60 & wait; sleep 60"])
def test_register_ends_flirt_with_its_job(session, tmp_path, script):
    """SIGTERM to the job, as at SLURM's time limit, leaves no FLIRT behind, nor what a shell script has started."""
    folder = fake_fsl(tmp_path, f"echo $$ > {tmp_path}/started\n{script}")
    nib.save(image_of(0, size=30), session.fixed)
    nib.save(image_of(1, size=30), session.moving)
    code = (
        "import sys; from pathlib import Path; from lumbarseg.workflow.joblog import job\n"
        "from lumbarseg.config.image_sections import Registration\n"
        "from lumbarseg.imaging.registration.session import register\n"
        "with job(sys.argv[1]): register(*sys.argv[2:7], Registration(engine='flirt'))"
    )
    paths = [session.fixed, session.moving, session.registered, session.matrix, session.report]
    environment = os.environ | {"FSLDIR": str(folder), "PYTHONPATH": str(ROOT / "workflow_scripts")}
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "log", *paths], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not ((tmp_path / "started").exists() and (tmp_path / "started").read_text().strip()):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        group = int((tmp_path / "started").read_text())
        process.terminate()
        assert process.wait(20) == 143
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 3
    while _alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(group)


def _alive(group):
    """Return whether any process of a group still runs; those that only wait to be collected do not count."""
    states = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = file.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        states += [state] if int(of_group) == group else []
    return any(state != "Z" for state in states)


def test_register_quotes_the_error_of_flirt(session, tmp_path, monkeypatch):
    monkeypatch.setattr(fsl_platform, "fsldir", str(fake_fsl(tmp_path, 'echo "Could not open volume" >&2; exit 1')))
    with pytest.raises(InputError, match=r"FLIRT could not register .*\(exit code 1: Could not open volume\)"):
        session.run(image_of(0, size=30), image_of(1, size=30), engine="flirt")
