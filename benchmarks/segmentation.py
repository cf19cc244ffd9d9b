"""Measure the segmentation of a new patient on a CPU: inference engines, and time and memory of a session.

python benchmarks/segmentation.py engines U1          # one patch with Keras, XLA, bfloat16, ONNX Runtime, OpenVINO
python benchmarks/segmentation.py session UMD 2       # slices of 512 x 512 with a bundle of this model; a session is extrapolated
python benchmarks/segmentation.py starter             # a patient with the starter networks, from DICOM to page
python benchmarks/segmentation.py labels BUNDLE T2W T1W   # labels in bfloat16 and in float32, trained networks

`engines` needs the packages of benchmarks/requirements.txt. Networks are untrained, m = 64, 256 x 256 x 2, 12 classes; two threads.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
import yaml

from lumbarseg.config.study import Model
from lumbarseg.deployment import segmenter as module
from lumbarseg.deployment.bundle import META_LEARNER, Bundle, network_entry, write_bundle
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.models.build import build_network, multiply_accumulates, with_head_input
from lumbarseg.models.ensemble import build_meta_learner
from lumbarseg.models.metadata import network_metadata, save_network
from lumbarseg.phantom.patients import draw_patient
from lumbarseg.phantom.series import write_series
from lumbarseg.phantom.spine import build_spine

REPOSITORY = Path(__file__).parents[1]
CONFIG = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
SIDE, STRIDE, SLICE, SLICES, WIDTH, THREADS = 256, 192, 512, 12, 64, 2


def network(name):
    """Build an untrained network of the paper's size."""
    return build_network(
        CONFIG["topologies"][name], side=SIDE, channels=2, classes=12, base_filters=WIDTH, seed=1, name=name
    )


def fastest(call, repetitions=5):
    """Return the shortest duration of some calls after a first one, in seconds, and the result."""
    result, times = call(), []
    for _ in range(repetitions):
        started = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - started)
    return min(times), result


def convolution_rate():
    """Return the multiply-accumulates per second of a 3 x 3 convolution of the size of the first or third level."""
    rates = []
    for channels, side in ((64, 256), (256, 64)):
        kernel, image = tf.random.normal((3, 3, channels, channels)), tf.random.normal((1, side, side, channels))
        convolve = tf.function(lambda tensor, kernel=kernel: tf.nn.conv2d(tensor, kernel, 1, "SAME"))
        seconds, _ = fastest(lambda convolve=convolve, image=image: convolve(image).numpy())
        rates.append(side**2 * 9 * channels**2 / seconds)
    return max(rates)


def in_bfloat16(plain):
    """Copy a network for bfloat16 convolutions, with the same weights and float32 scores."""

    def remade(layer):
        precision = "float32" if layer.name == "scores" else "mixed_bfloat16"
        return type(layer).from_config(layer.get_config() | {"dtype": precision})

    copy = keras.models.clone_model(plain, clone_function=remade)
    copy.set_weights(plain.get_weights())
    return copy


def engines(name):
    """Time one patch with each engine and compare its labels with those of Keras in float32."""
    import onnxruntime
    import openvino

    plain = network(name)
    operations = multiply_accumulates(plain)
    patch = np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 2)).astype(np.float32)
    given = tf.constant(patch)

    def run(model, **options):
        forward = tf.function(lambda tensor: with_scores(tensor, training=False), **options)
        with_scores = with_head_input(model)
        return lambda: [tensor.numpy() for tensor in forward(given)]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        exported = with_head_input(plain)
        exported(patch)
        exported.export(path, format="onnx", verbose=False)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        core, compiled = openvino.Core(), {}
        for precision in ("f32", "bf16"):
            model = core.read_model(path)
            model.reshape(list(patch.shape))
            hints = {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": THREADS,
                "PERFORMANCE_HINT": "LATENCY",
            }
            compiled[precision] = core.compile_model(model, "CPU", hints)

    def by_openvino(precision):
        return lambda: [compiled[precision](patch)[output].copy() for output in compiled[precision].outputs]

    calls = {
        "Keras, float32": run(plain), "Keras, XLA": run(plain, jit_compile=True), "Keras, bfloat16": run(in_bfloat16(plain)),
        "ONNX Runtime": lambda: session.run(None, {session.get_inputs()[0].name: patch}),
        "OpenVINO, float32": by_openvino("f32"), "OpenVINO, bfloat16": by_openvino("bf16"),
    }  # fmt: skip
    reference = calls["Keras, float32"]()[1]
    for engine, call in calls.items():
        seconds, (_, scores) = fastest(call)
        same = float((scores.argmax(-1) == reference.argmax(-1)).mean())
        difference = float(np.abs(scores - reference).max())
        print(
            f"| {name} | {engine} | {seconds:.3f} | {operations / seconds / 1e9:.0f} | {difference:.1e} | {100 * same:.2f} |",
            flush=True,
        )
    print(
        f"{name}: {operations / 1e9:.1f} G multiply-accumulates; a single convolution reaches {convolution_rate() / 1e9:.0f} G/s"
    )


def session(name, slices):
    """Segment slices with a bundle of a model as `lumbarseg segment` does; print the time of a session."""
    ensemble, _, combiner = name.partition("+")
    members = tuple(CONFIG["ensembles"].get(ensemble, [ensemble]))
    model = Model(name, members, combiner)
    names = [tissue["name"] for tissue in CONFIG["classes"]]
    epoch = {"epoch": 1, "of": 1} | dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "val_patch_iou"))
    manifest = {
        "experiment": f"{name}+TH", "study": "benchmark", "model": {"name": name, "networks": list(members), "combiner": combiner},
        "labelling": "TH", "fold": 1, "classes": CONFIG["classes"], "background": 0, "channels": ["T2w", "T1w"], "registration": {},
        "normalisation": {"scope": "volume"}, "patches": {"patch_size": SIDE, "stride": STRIDE},
        "topologies": {topology: CONFIG["topologies"][topology] for topology in members}, "ranges": {},
        "patients": {"train": 1, "validation": 0, "test": 0}, "versions": {"keras": keras.__version__, "tensorflow": "any"},
        "training": {"base_filters": WIDTH, "batch_size": 20}, "stacking": {"channels": 64}, "test_iou": {},
        "thresholds": dict.fromkeys(names, 0.05), "epochs": dict.fromkeys(members, epoch),
        "validation": {"iou": dict.fromkeys(names), "mean_by_fold": {"1": None}, "models": {name: None}, "number_of_models": 1},
    }  # fmt: skip
    operations, files = 0, {}
    with tempfile.TemporaryDirectory() as folder:
        for topology in members:
            made = network(topology)
            operations += multiply_accumulates(made)
            files[network_entry(topology)] = Path(folder, f"{topology}.keras")
            save_network(made, files[network_entry(topology)], network_metadata(topology, 1, ["T2w", "T1w"], names))
        if model.is_stacked:
            files[META_LEARNER] = Path(folder, "meta_learner.keras")
            meta_learner = build_meta_learner(model, side=SIDE, classes=12, base_filters=WIDTH, channels=64, seed=1)
            save_network(meta_learner, files[META_LEARNER], network_metadata(name, 1, ["T2w", "T1w"], names))
        write_bundle(Path(folder, "bundle.zip"), manifest, files, "")
        size = Path(folder, "bundle.zip").stat().st_size
        started = time.perf_counter()
        segmenter = module.Segmenter(Bundle(Path(folder, "bundle.zip")))
        loading = time.perf_counter() - started
    spent = 0.0

    def timed(forward):
        def call(images):
            nonlocal spent
            begun = time.perf_counter()
            features = forward(images)
            for tensor in features.values():
                tensor.numpy()
            spent += time.perf_counter() - begun
            return features

        return call

    images = np.random.default_rng(0).normal(size=(slices, SLICE, SLICE, 2)).astype(np.float32)
    segmenter.segment(images[:1, :SIDE, :SIDE], (1.0, 1.0))  # traces and compiles
    predictor = segmenter._predictor
    predictor._forward = [timed(forward) for forward in predictor._forward]
    started = time.perf_counter()
    segmenter.segment(images, (1.0, 1.0))
    seconds = time.perf_counter() - started
    rate, patches = convolution_rate(), 9
    print(
        json.dumps(
            {
                "model": name,
                "bundle_MiB": round(size / 2**20),
                "loading_s": round(loading, 1),
                "slice_s": round(seconds / slices, 2),
                "of_slices": slices,
                "session_s": round(loading + SLICES * seconds / slices, 1),
                "in_networks_%": round(100 * spent / seconds, 1),
                "G_multiply_accumulates_per_slice": round(patches * operations / 1e9),
                "convolution_G_per_second": round(rate / 1e9, 1),
                "floor_of_a_slice_s": round(patches * operations / rate, 2),
                "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def labels(bundle, t2w, t1w):
    """Compare the labels of trained networks in bfloat16 with those in float32, on a session's registered images."""
    images = [load_image(path) for path in (t2w, t1w)]
    views = [zscore(sagittal_view(image.get_fdata(dtype=np.float32), image.affine)) for image in images]
    channels = np.stack(views, axis=-1)
    plain = module.Segmenter(Bundle(bundle)).segment(channels, (1.0, 1.0)).labels
    module.with_dtype = in_bfloat16
    faster = module.Segmenter(Bundle(bundle)).segment(channels, (1.0, 1.0)).labels
    tissue = plain != 0
    print(
        f"same label: {100 * (plain == faster).mean():.2f} % of pixels, {100 * (plain == faster)[tissue].mean():.2f} % of tissue"
    )


def starter():
    """Time `lumbarseg segment` without a bundle on a phantom patient of 12 slices, after a run that does not count."""
    patient = draw_patient(1, "phantom01", 1, (SLICE,), (SLICES, SLICES))
    spine = build_spine(patient.body)
    with tempfile.TemporaryDirectory() as folder:
        series = {contrast: Path(folder, contrast) for contrast in ("T2w", "T1w")}
        for contrast, place in series.items():
            write_series(place, patient, spine, contrast)
        for contrasts in (["T2w"], ["T2w", "T1w"]):
            command = [
                sys.executable,
                "-m",
                "lumbarseg",
                "segment",
                "--overwrite",
                "--output",
                str(Path(folder, "out")),
            ]
            for contrast in contrasts:
                command += [f"--{contrast.lower()}", str(series[contrast])]
            seconds = []
            for _ in range(4):
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds.append(time.perf_counter() - started)
            memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            print(
                f"{' and '.join(contrasts)}: {statistics.median(seconds[1:]):.1f} s (median of three), at most {memory} MiB"
            )


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    part, *given = sys.argv[1:]
    if part == "session":
        session(given[0], int(given[1]))
    else:
        {"engines": engines, "labels": labels, "starter": starter}[part](*given)
