"""Which tables and figures a study has, and what its page of results says of it."""

import yaml


def iou_table_columns():
    """By table, the experiments that are its columns; a table set to null is not made."""
    return {name: plan.study.columns(entries) for name, entries in config["tables"].items() if entries is not None}


def companions():
    """By table, the files that set its cells beside the paper's; none for classes other than the paper's."""
    if plan.class_names != published.class_names():
        return {}
    return {name: paths.table(f"{name}_published") for name in iou_table_columns()}


def all_tables():
    """Every table in every format."""
    names = [f"table_{number}" for number in range(1, 7)] + list(iou_table_columns())
    # Made together with what is found out of the images, which are not copied with the metrics.
    names += [] if plan.metrics_only else ["table_selection", *(["table_registration"] if plan.has_t1w else [])]
    names += ["table_measures"] if plan.measured else []
    names += ["table_wilcoxon_slice", "table_wilcoxon_patient", "table_ranking"]
    names += [] if plan.metrics_only else ["table_usage"]
    return [path for name in names for path in paths.table(name)] + [
        path for paths in companions().values() for path in paths
    ]


def all_figures():
    """Every figure in both formats."""
    names = [
        "fig_2",
        "fig_3",
        *(["registration"] if plan.has_t1w and not plan.metrics_only else []),
        "learning_loss",
        "learning_accuracy",
        "learning_iou",
    ]
    names += ["fig_7"] if config["figures"]["cases"] else []
    names += ["fig_8"] if config["figures"]["box_plots"] else []
    names += ["threshold_curves"] if "TH" in config["labellings"] and shown_models() else []
    names += ["calibration"] if shown_models() else []
    # Drawn from maps of the test sessions, which are not copied with the metrics.
    names += ["uncertainty"] if plan.uncertain_model and not plan.metrics_only else []
    names += ["fig_9"] if plan.study.ensembles else []
    names += ["ranking", *(["confusion", "patients"] if plan.measured else [])]
    names += [f"errors_{experiment}" for experiment in plan.worst_slices()]
    names += [f"network_{topology}" for topology in plan.study.networks]
    return [path for name in names for path in paths.figure(name)]


def shown_models():
    """The models whose predictions stand in Figure 7."""
    shown = {experiment.rpartition("+")[0] for experiment in config["figures"]["cases"]}
    return [model for model in plan.study.models if model.name in shown]


def facts():
    """What was run, for the page of results: the settings that change a result."""
    training, stacking = config["training"], config["stacking"]
    return {
        "Channels": " and ".join(plan.channels),
        "Registration": (
            f"{config['registration']['engine']}, {config['registration']['degrees_of_freedom']} degrees of freedom"
            if plan.has_t1w
            else "none, one contrast"
        ),
        "Normalisation": f"z-score of each {config['normalisation']['scope']}, non-zero voxels",
        "Patches": f"{config['patches']['patch_size']} × {config['patches']['patch_size']}, stride {config['patches']['stride']}",
        "Folds": f"{config['split']['folds']}, seed {config['split']['seed']}",
        "Networks": f"{', '.join(plan.study.networks)}; m = {training['base_filters']}, {training['epochs']} epochs, batch "
        f"{training['batch_size']}, {training['precision']}, best epoch by {training['monitor']}, seed {training['seed']}",
        "Ensembles": "; ".join(f"{name}: {' '.join(members)}" for name, members in plan.study.ensembles.items()),
        "Combiners": f"{', '.join(config['combine']['combiners'])}; meta-learners {stacking['epochs']} epochs",
        "Labelling": ", ".join(config["labellings"]),
    }


def differences_from():
    """Which settings differ from the paper's study: key, this study's value, the paper's."""
    home = Path(workflow.basedir)
    paper = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    return plan.study.differences_from(Study(paper))
