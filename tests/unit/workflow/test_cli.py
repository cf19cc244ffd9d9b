"""The command `lumbarseg`: its help, its two forms of paths, its errors."""

import contextlib
import io
import json
import pkgutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

import lumbarseg
from factories.workflow import ROOT, write_cohort
from lumbarseg.deployment.manifest_model import networks_of
from lumbarseg.errors import InputError
from lumbarseg.temporary_files import PART, owned_name
from lumbarseg.workflow import joblog
from lumbarseg.workflow.cli import segment
from lumbarseg.workflow.cli.main import main
from lumbarseg.workflow.cli.results import results_job

CLASSES = [{"id": number, "name": name} for number, name in enumerate(("Background", "Vert", "Nerve-Root"))]
HEAVY = ("tensorflow", "keras", "numpy", "pandas", "scipy", "matplotlib", "nibabel", "SimpleITK", "pydicom", "pydantic")


@pytest.fixture
def bundle(monkeypatch):
    """A bundle of T2w and T1w, whatever its file, and commands that report what they would work on."""
    opened = SimpleNamespace(
        path=Path("best.zip"),
        manifest={"channels": ["T2w", "T1w"], "classes": CLASSES, "background": 0},
        model=SimpleNamespace(networks=("UD",)),
    )
    monkeypatch.setattr("lumbarseg.deployment.bundle.Bundle", lambda path: opened)
    monkeypatch.setattr(joblog, "job", lambda log: contextlib.nullcontext())
    opened.calls = []

    def record(bundle, sources, out, device, terminal):
        opened.calls.append((sources, out[0].parent, device))
        for name in opened.results:
            (out[0] / name).write_text("new")
        return []

    monkeypatch.setattr(segment, "_segment", record)
    opened.results = ()
    return opened


def exit_status(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def test_help_lists_the_commands_and_loads_no_large_package():
    code = (
        "import contextlib, sys\nfrom lumbarseg.workflow.cli.main import main\n"
        "with contextlib.suppress(SystemExit):\n    main(['--help'])\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env={"PYTHONPATH": str(ROOT / "workflow_scripts")},
    )  # fmt: skip
    for command in ("segment", "export", "watch", "clear"):
        assert f"\n    {command} " in done.stdout
    assert done.stdout.endswith("loaded: []\n")


@pytest.mark.parametrize("command", ["segment", "export", "watch", "clear"])
def test_help_of_a_command_describes_it_with_examples(command, capsys):
    assert exit_status(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"examples:\n  lumbarseg {command}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_version_is_that_of_the_library_its_metadata_and_its_citation(capsys):
    assert exit_status("--version") == 0
    assert capsys.readouterr().out == f"lumbarseg {lumbarseg.__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "lumbarseg.__version__"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == lumbarseg.__version__


def test_the_installed_command_and_the_module_are_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pkgutil.resolve_name(project["scripts"]["lumbarseg"]) is main
    assert pkgutil.resolve_name("lumbarseg.__main__:main") is main


@pytest.mark.parametrize(
    "paths",
    [
        ["--t2w", "dicom/T2", "--t1w", "dicom/T1", "--output", "OUT", "--bundle", "best.zip"],
        ["best.zip", "dicom/T2", "dicom/T1", "OUT"],
        ["--device", "cpu", "best.zip", "dicom/T2", "dicom/T1", "OUT"],
    ],
)
def test_segment_takes_named_and_positional_paths(bundle, paths, tmp_path):
    paths = [str(tmp_path / "out") if path == "OUT" else path for path in paths]
    assert main(["segment", *paths, "--device", "cpu", "--threads", "1"]) == 0
    sources = {"T2w": Path("dicom/T2"), "T1w": Path("dicom/T1")}
    assert bundle.calls == [(sources, tmp_path / "out", ("cpu", 1, []))]


def test_segment_leaves_classes_out_that_the_bundle_has(bundle, tmp_path, capsys):
    paths = ["best.zip", "dicom/T2", "dicom/T1", str(tmp_path / "out"), "--leave-out", "Nerve-Root"]
    assert main(["segment", *paths]) == 0
    assert bundle.calls[0][2].left_out == ["Nerve-Root"]
    assert main(["segment", *paths, "--leave-out", "Background"]) == 1
    assert "--leave-out Background: not a class of best.zip; choose of Vert, Nerve-Root" in capsys.readouterr().err


def test_segment_takes_t2w_alone_for_a_bundle_of_t2w(bundle, tmp_path):
    bundle.manifest["channels"] = ["T2w"]
    assert main(["segment", "best.zip", "t2.mha", str(tmp_path / "out")]) == 0
    assert main(["segment", "--bundle", "best.zip", "--t2w", "t2.mha", "--output", str(tmp_path / "out")]) == 0
    assert [sources for sources, *_ in bundle.calls] == [{"T2w": Path("t2.mha")}] * 2


@pytest.mark.parametrize(
    ("channels", "images", "message"),
    [
        (["T2w", "T1w"], ["t2.mha"], "best.zip: trained with T2w and T1w images; add the T1w series (--t1w)\n"),
        (["T2w"], ["t2.mha", "t1.mha"], "best.zip: trained with T2w images only; leave out the T1w series (--t1w)\n"),
    ],
)
def test_segment_refuses_images_that_do_not_match_the_bundle(bundle, channels, images, message, tmp_path, capsys):
    bundle.manifest["channels"] = channels
    assert main(["segment", "best.zip", *images, str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment"], "the following arguments are required: --t2w, --output"),
        (["segment", "--bundle", "best.zip", "--t2w", "t2.mha"], "the following arguments are required: --output"),
        (["segment", "best.zip", "t2.mha"], "give the paths alone in the order of the second usage line"),
        (["segment", "best.zip", "t2.mha", "out", "--t1w", "t1.mha"], "name every path by its option, or give"),
        (["segment", "best.zip", "t2.mha", "out", "--threads", "0"], "invalid whole number above 0 value: '0'"),
        (["segment", "best.zip", "t2.mha", "out", "--device", "tpu"], "invalid choice: 'tpu'"),
        (["segment", "best.zip", "t2.mha", ""], "invalid path value: ''"),
        (["segment", "--bundle", "best.zip", "--t2w", " ", "--output", "out"], "invalid path value: ' '"),
        (
            ["segment", "best.zip", "t2.mha", "t1.mha", "out", "--threads", "200000"],
            "--threads 200000: this process may use",
        ),
        (["export", "best.zip"], "give the paths alone in the order of the second usage line"),
        (["forget"], "invalid choice: 'forget'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_arguments_end_with_status_2_and_the_usage(arguments, message, capsys):
    assert exit_status(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: lumbarseg")
    assert message in error


def test_an_error_of_the_input_is_one_sentence_and_status_1(tmp_path, capsys):
    assert main(["segment", str(tmp_path / "none.zip"), "t2.mha", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path}/none.zip: ")
    assert error.count("\n") == 1
    assert main(["watch", "--runs", str(tmp_path / "runs")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/runs: no record of a run")


@pytest.mark.parametrize("command", [["segment", "best.zip", "t2.mha", "t1.mha"], ["export", "best.zip"]])
def test_an_output_that_is_a_file_is_one_sentence_and_status_1(bundle, command, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main([*command, str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/out: cannot create the folder (File exists); name another one as --output\n"
    )


def test_export_takes_named_and_positional_paths(bundle, tmp_path, monkeypatch):
    exported = []
    module = SimpleNamespace(export_onnx=lambda bundle, made, told: exported.append((bundle, made.parent)))
    monkeypatch.setitem(sys.modules, "lumbarseg.deployment.export", module)
    out = tmp_path / "onnx"
    assert main(["export", "best.zip", str(out)]) == 0
    assert main(["export", "--bundle", "best.zip", "--output", str(out)]) == 0
    assert exported == [(bundle, out)] * 2


@pytest.mark.parametrize(
    ("earlier", "left"),
    [
        ({"name": "E2+Geo", "networks": ["U1", "UA"], "combiner": "Geo"}, {"UD.onnx", "mine.onnx", "export.log"}),
        (
            {"name": "a", "networks": ["../out/mine", "U1"], "combiner": ""},
            {"UD.onnx", "U1.onnx", "UA.onnx", "mine.onnx", "export.log"},
        ),
    ],
)
def test_export_leaves_no_network_of_another_bundle_next_to_its_manifest(bundle, tmp_path, monkeypatch, earlier, left):
    out = tmp_path / "onnx"
    out.mkdir()
    for name in ("U1.onnx", "UA.onnx", "mine.onnx"):
        (out / name).write_text("old")
    (out / "bundle.json").write_text(json.dumps({"model": earlier}))
    bundle.model = SimpleNamespace(networks=["UD"])
    module = SimpleNamespace(export_onnx=lambda bundle, made, told: (made / "UD.onnx").write_text("new"))
    monkeypatch.setitem(sys.modules, "lumbarseg.deployment.export", module)
    assert main(["export", "best.zip", str(out), "--overwrite"]) == 0
    assert {path.name for path in out.iterdir()} == left


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"model": 5}', b"\xff", b"[" * 10**5, b" " * 300000])
def test_export_takes_nothing_from_an_earlier_manifest_that_is_none(tmp_path, content):
    (tmp_path / "bundle.json").write_bytes(content)
    assert networks_of(tmp_path / "bundle.json") == []
    assert networks_of(tmp_path / "none.json") == []


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_segment_never_replaces_images_that_are_read(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("t2w.nii.gz", "t1w.nii.gz"):
        Path(name).write_text(name)
    Path("elsewhere").mkdir()
    Path("elsewhere/t1w.nii.gz").symlink_to(tmp_path / "t1w.nii.gz")
    bundle.results = ("labels.nii.gz", "t2w.nii.gz", "t1w.nii.gz")
    for out, options in ((".", ()), (tmp_path, ("--overwrite",)), ("elsewhere", ("--overwrite",))):
        assert main(["segment", *options, "best.zip", "t2w.nii.gz", "t1w.nii.gz", str(out)]) == 1
        assert "read, and would be replaced by a result; name another folder as --output" in capsys.readouterr().err
    assert main(["segment", "best.zip", "elsewhere", "t1w.nii.gz", "elsewhere"]) == 1
    assert capsys.readouterr().err == "elsewhere: a folder that is read; name another one as --output\n"
    assert Path("t2w.nii.gz").read_text() == "t2w.nii.gz"
    assert Path("t1w.nii.gz").read_text() == "t1w.nii.gz"
    assert not bundle.calls


def test_segment_replaces_earlier_results_only_if_asked_and_then_all_of_them(bundle, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    earlier = {"labels.nii.gz": "corrected", "labels.dcm": "old", "notes.txt": "mine"}
    for name, text in earlier.items():
        (out / name).write_text(text)
    bundle.results = ("labels.nii.gz", "page.pdf")
    arguments = ["segment", "best.zip", "t2.mha", "t1.mha", str(out)]
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        f"{out}: has labels.nii.gz, labels.dcm already; name another folder as --output, or replace them with --overwrite\n"
    )
    assert texts(out) == earlier
    assert main([*arguments, "--overwrite"]) == 0
    assert texts(out) == {"labels.nii.gz": "new", "page.pdf": "new", "notes.txt": "mine", "segment.log": ""}


def test_segment_never_replaces_a_log_or_the_sidecar_of_an_image(bundle, tmp_path, capsys):
    bundle.manifest["channels"] = ["T2w"]
    notes, out = tmp_path / "notes.txt", tmp_path / "out"
    out.mkdir()
    notes.write_text("mine")
    (out / "segment.log").symlink_to(notes)
    (out / "segment-2.log").mkdir()
    assert main(["segment", "best.zip", "t2.mha", str(out)]) == 0
    assert notes.read_text() == "mine"
    assert {path.name for path in out.iterdir()} == {"segment.log", "segment-2.log", "segment-3.log"}
    for name in ("session.nii.gz", "session.json"):
        (out / name).write_text(name)
    assert main(["segment", "--overwrite", "best.zip", str(out / "session.nii.gz"), str(out)]) == 1
    assert capsys.readouterr().err.startswith(f"{out}/session.json: read, and would be replaced by a result")
    assert (out / "session.json").read_text() == "session.json"


def test_segment_refuses_a_folder_that_another_run_writes_to(bundle, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    statuses = []

    def run_again(bundle, sources, made, device, terminal):
        if not statuses:
            statuses.append(None)
            statuses.append(main(["segment", "best.zip", "other.mha", "t1.mha", str(out)]))
        return []

    monkeypatch.setattr(segment, "_segment", run_again)
    assert main(["segment", "best.zip", "t2.mha", "t1.mha", str(out)]) == 0
    assert statuses == [None, 1]
    error = capsys.readouterr().err
    assert f"{out}: another run writes there (" in error
    assert texts(out) == {"segment.log": ""}
    assert main(["segment", "best.zip", "t2.mha", "t1.mha", str(out)]) == 0


def test_segment_begins_where_a_killed_run_was(bundle, tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom lumbarseg.workflow.cli.results import results_job\n"
        "with results_job('segment', Path(sys.argv[1]), ['labels.nii.gz'], [], False) as made:\n"
        "    (made / 'labels.nii.gz').write_text('half')\n    Path(sys.argv[2]).touch()\n    time.sleep(60)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, out, tmp_path / "begun"], env={"PYTHONPATH": str(ROOT / "workflow_scripts")}
    )
    while not (tmp_path / "begun").exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    assert (out / ".lumbarseg.lock").exists()
    bundle.results = ("labels.nii.gz",)
    assert main(["segment", "best.zip", "t2.mha", "t1.mha", str(out)]) == 0
    assert (out / "labels.nii.gz").read_text() == "new"
    assert not (out / ".lumbarseg.lock").exists()


def test_segment_leaves_nothing_of_a_session_that_fails(bundle, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def fail(bundle, sources, made, device, terminal):
        (made[0] / "t2w.nii.gz").write_text("new")
        raise RuntimeError

    monkeypatch.setattr(segment, "_segment", fail)
    out.mkdir()
    (out / "labels.nii.gz").write_text("old")
    with pytest.raises(RuntimeError):
        main(["segment", "--overwrite", "best.zip", "t2.mha", "t1.mha", str(out)])
    assert texts(out) == {"labels.nii.gz": "old", "segment.log": ""}


@pytest.mark.parametrize("command", [["segment", "best.zip", "t2.mha", "t1.mha"], ["export", "best.zip"]])
def test_an_output_that_cannot_be_written_to_is_one_sentence_and_status_1(
    bundle, command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main([*command, str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/out: no permission to write to the folder; name another one as --output\n"
    )


WORDS = [
    "segment", "export", "watch", "clear", "--bundle", "--t2w", "--t1w", "--output", "--device", "--threads", "--runs", "--every",
    "--overwrite", "--help", "best.zip", "t2.mha", "-1", "0", "nan", "", "--", "-", "cpu", "x" * 5000,
]  # fmt: skip


@given(arguments=st.lists(st.sampled_from(WORDS), max_size=7))
@example(arguments=["segment"])
@example(arguments=["segment", "best.zip"])
@example(arguments=["watch", "--every", "-1"])
def test_any_arguments_end_in_usage_or_a_sentence(arguments, tmp_path_factory):
    with contextlib.chdir(tmp_path_factory.mktemp("empty")), contextlib.suppress(SystemExit):
        with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(io.StringIO()):
            status = main(arguments)
        assert (status, error.getvalue().count("\n")) == (1, 1), error.getvalue()


def test_errors_name_files_whose_names_are_not_utf8(tmp_path):
    code = "import os, sys\nfrom lumbarseg.workflow.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    arguments = [b"segment", b"--bundle", b"caf\xe9.zip", b"--t2w", b"t\xe92", b"--output", b"out"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "workflow_scripts"), "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(r"caf\udce9.zip: ")
    assert "Traceback" not in done.stderr


def test_results_job_removes_what_a_killed_command_left_and_keeps_what_another_one_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(joblog, "job", lambda log: contextlib.nullcontext())
    owner = owned_name().split("-")
    killed, running = (f"{PART}{'-'.join([*owner[:4], started, owner[5]])}" for started in ("1", owner[4]))
    for name in (killed, running):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t2w.nii.gz").write_text("a patient")
    with results_job("segment", tmp_path, ["labels.nii.gz"], [], overwrite=False) as made:
        (made / "labels.nii.gz").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [running, "labels.nii.gz", "segment.log"]


def test_segment_refuses_to_replace_the_results_of_another_image(tmp_path):
    write_cohort(tmp_path / "cohort", 2)
    first, second = ({"T2w": tmp_path / f"cohort/{number}_T2w.nii.gz"} for number in (0, 1))
    made, scratch = tmp_path / "out/made", tmp_path / "scratch"
    for folder in (made, scratch):
        folder.mkdir(parents=True)
    segment._prepare(SimpleNamespace(), first, made, scratch, None)
    (made / "t2w.nii.gz").replace(tmp_path / "out/t2w.nii.gz")
    segment._prepare(SimpleNamespace(), first, made, scratch, None)
    with pytest.raises(
        InputError, match=r"out/t2w\.nii\.gz: not of the T2w image that is read, so the results in .*out may be"
    ):
        segment._prepare(SimpleNamespace(), second, made, scratch, None)
