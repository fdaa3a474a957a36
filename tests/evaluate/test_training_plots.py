"""The learning curves: what train leaves as tables, and the picture of it."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from stages.evaluate.training_plots import plot_curves, read_curves
from stages.lib.core.errors import DataError

LOSS, ACCURACY = [1.5, 1.0, 0.75], [0.25, 0.5, 0.625]


def write_curves(folder: Path, **sides_of_models: list[str]) -> Path:
    for score, values in (("loss", LOSS), ("accuracy", ACCURACY)):
        rows = [
            f"{epoch},{model},{side},{value}"
            for model, sides in sides_of_models.items()
            for side in sides
            for epoch, value in enumerate(values, start=1)
        ]
        (folder / f"{score}.csv").write_text("\n".join([f"epoch,model,side,{score}", *rows]) + "\n")
    return folder


def test_curves_are_read_by_epoch_and_without_validation_too(tmp_path):
    write_curves(tmp_path, all=["training"], fold_1=["training", "validation"])
    curves = read_curves(tmp_path)
    assert list(curves) == ["all", "fold_1"]
    assert list(curves["all"]) == ["training_loss", "training_accuracy"]
    assert curves["fold_1"].index.tolist() == [1, 2, 3]
    assert curves["fold_1"]["validation_loss"].tolist() == LOSS


def test_the_picture_draws_the_values_of_the_tables(tmp_path):
    write_curves(tmp_path, fold_1=["training", "validation"], fold_2=["training"])
    figure = plot_curves(read_curves(tmp_path), "Tones")
    lines = [{line.get_label(): list(line.get_ydata()) for line in axis.get_lines()} for axis in figure.axes]
    assert lines == [
        {"training": LOSS, "validation": LOSS},
        {"training": ACCURACY, "validation": ACCURACY},
        {"training": LOSS},
        {"training": ACCURACY},
    ]
    assert "training may look worse than validation" in figure.get_supxlabel()
    assert not plt.get_fignums()  # nothing is left open


def test_missing_curves_name_the_stage_that_writes_them(tmp_path):
    with pytest.raises(DataError, match=r"loss\.csv: cannot be read .*; run 'dvc repro train'"):
        read_curves(tmp_path)
    write_curves(tmp_path, fold_1=["training"])
    (tmp_path / "loss.csv").write_text("epoch,other\n1,2\n")
    with pytest.raises(DataError, match=r"loss\.csv: has no column loss; run 'dvc repro train'"):
        read_curves(tmp_path)
