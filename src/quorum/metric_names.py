"""Names of metrics, as history, runs and reports have them. Each is written here once.

By epoch: SPLIT/METRIC for train and val, and LR (of the first batch), EPOCH_SECONDS and IMAGES_PER_SECOND. Where
weights are averaged, val is of the average, and val_network of the network itself. Of a finished training:
best/epoch, best/val_METRIC and test/METRIC of the best epoch's weights, last/epoch, last/val_METRIC and
last/test_METRIC of the last epoch's, and last/val_network_METRIC where weights are averaged. Of a trial: each of
those over its seeds but the epochs, as `trial_metric` names it, followed by MEAN or STD; and TRIAL_N, the number of
seeds, which is the same for all.
"""

TRAIN_LOSS, TRAIN_ACCURACY, VAL_LOSS, VAL_ACCURACY = "train/loss", "train/accuracy", "val/loss", "val/accuracy"
LR, EPOCH_SECONDS, IMAGES_PER_SECOND = "lr", "epoch_seconds", "images_per_second"

BEST_EPOCH, LAST_EPOCH = "best/epoch", "last/epoch"
BEST, LAST, TEST, LAST_TEST = "best/val_", "last/val_", "test/", "last/test_"  # followed by the metric
LAST_NETWORK = f"{LAST}network_"
BEST_VAL_ACCURACY, BEST_VAL_LOSS, LAST_VAL_ACCURACY = f"{BEST}accuracy", f"{BEST}loss", f"{LAST}accuracy"
TEST_ACCURACY, LAST_TEST_ACCURACY = f"{TEST}accuracy", f"{LAST_TEST}accuracy"
OF_TRAININGS = (BEST, LAST, TEST, LAST_TEST)  # beginnings of the names of metrics that a trial summarizes

VAL_NETWORK = "val_network"
SPLITS = ("train", "val", VAL_NETWORK)  # that an epoch measures
MEAN, STD = "/mean", "/std"
TRIAL_N = "val_accuracy/n"


def split_metric(split: str, metric: str) -> str:
    """The name of a metric of a split: `val/accuracy`."""
    return f"{split}/{metric}"


def is_of_epochs(name: str) -> bool:
    """Whether a metric is one that every epoch has, rather than one of a whole training."""
    return name in (LR, EPOCH_SECONDS, IMAGES_PER_SECOND) or name.partition("/")[0] in SPLITS


def is_loss(metric: str) -> bool:
    """Whether a metric is better when lower."""
    return "loss" in metric


def trial_metric(metric: str) -> str:
    """What a training's metric is called on its trial: `best/val_accuracy` is `val_accuracy`, `test/loss` `test_loss`,
    `last/val_accuracy` `last_val_accuracy`."""
    return metric.removeprefix("best/").replace("/", "_")


def stage_metric(stage: str) -> str:
    """What the mean of a stage's best trial is called on its sweep."""
    return f"val_accuracy/{stage}"


def training_metric(metric: str) -> str:
    """The metric of a training whose mean is a metric of trials: `val_loss/mean` is that of `best/val_loss`."""
    return "best/" + metric.removesuffix(MEAN)


def vote_metric(split: str) -> str:
    """The accuracy of a study's vote on a split, as its sweep logs mean, std and n over the seeds."""
    return f"vote/{split}_accuracy"
